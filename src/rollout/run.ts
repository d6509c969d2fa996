/** All trials of a rollout, in groups that are kept as they are finished. */
import type { Policy } from "../systems/policy.ts";
import type { World } from "../worlds/world.ts";
import type { RolloutSettings } from "./result.ts";
import { runTrials, type Trial } from "./trial.ts";

/**
 * Scenes that run side by side. SwiftShader on two cores, the toy at stop 5, milliseconds a query: 2100 alone, 1000 of four, 700 of
 * eight, 1200 of sixteen (2026-11-26, while others used the cores too).
 */
export const SIDE_BY_SIDE = 8;

/** Where finished trials are kept. */
export interface TrialKeeper {
  /** Trials of these scenes at a stop that were finished before. */
  load(stop: number, scenes: readonly number[]): Promise<readonly Trial[] | undefined>;
  save(stop: number, scenes: readonly number[], trials: readonly Trial[]): Promise<void>;
}

/**
 * Every scene at every stop. Groups take all stops in turn, so that what an interrupt leaves has met them alike.
 * @returns the trials, and how many of them had been kept
 * @throws what the policy throws; the signal's reason when aborted: finished groups are kept
 */
export async function runRollout(
  policy: Policy,
  world: World,
  { stops, episodes, seed }: RolloutSettings,
  keeper: TrialKeeper,
  {
    signal,
    onTrial,
  }: { readonly signal?: AbortSignal; readonly onTrial?: (over: number, all: number) => void },
): Promise<{ trials: Trial[]; resumed: number }> {
  const all = stops.length * episodes;
  const trials: Trial[] = [];
  let [over, resumed] = [0, 0];
  const count = (n: number): void => onTrial?.((over += n), all);
  count(0);
  for (let first = 0; first < episodes; first += SIDE_BY_SIDE) {
    const scenes = Array.from({ length: Math.min(SIDE_BY_SIDE, episodes - first) }, (_, i) => first + i);
    for (const stop of stops) {
      const kept = await keeper.load(stop, scenes);
      if (kept) {
        resumed += kept.length;
        count(kept.length);
        trials.push(...kept);
        continue;
      }
      const ran = await runTrials(policy, world, scenes, { stop, seed, signal, onOver: () => count(1) });
      await keeper.save(stop, scenes, ran);
      trials.push(...ran);
    }
  }
  return { trials, resumed };
}
