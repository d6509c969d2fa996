/** The worlds there are. One belongs to a policy that sees what it shows and says what it does. */
import { UsageError } from "../errors.ts";
import type { PolicyDescription } from "../systems/policy.ts";
import { table } from "./table.ts";
import type { World } from "./world.ts";

export const worlds: readonly World[] = [table];

/** @throws UsageError where a policy has no world, with what each misses */
export function worldOf(policy: PolicyDescription): World {
  const found = worlds.find((world) => world.misfit(policy) === undefined);
  if (found) return found;
  const reasons = worlds.map((world) => `${world.name}: ${world.misfit(policy)}`);
  throw new UsageError(
    `there is no world here in which ${policy.name} could act (${reasons.join("; ")}). The toy has one: --model weights/toy.`,
  );
}
