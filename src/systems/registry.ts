/** Every system, a line each, and the opener that finds out which one a folder is. */
import { FormatError, UsageError } from "../errors.ts";
import type { ModelFiles } from "../weights/model-files.ts";
import { lingbotVa } from "./lingbot-va/system.ts";
import { diffusionPolicy } from "./diffusion-policy/system.ts";
import { meanFlowSystem } from "./meanflow/system.ts";
import { mimicVideo } from "./mimic-video/system.ts";
import { mimicVideoRelease } from "./mimic-video-release/system.ts";
import type { TensorSource } from "../weights/source.ts";
import type { Conversion, System } from "./system.ts";

export const SYSTEMS: readonly System[] = [
  mimicVideo,
  mimicVideoRelease,
  diffusionPolicy,
  lingbotVa,
  meanFlowSystem,
];

/** A checkpoint whose layout one of the systems knows, on its way to its network's own keys; undefined where none does. */
export function conversionOf(stored: TensorSource): Conversion | undefined {
  for (const system of SYSTEMS) {
    const found = system.convert?.(stored);
    if (found) return found;
  }
  return undefined;
}

/**
 * The system that a folder or repository belongs to.
 * @throws FormatError saying what each system missed; UsageError when several recognise it
 */
export async function recognise(files: ModelFiles, systems: readonly System[] = SYSTEMS): Promise<System> {
  const found: System[] = [];
  const missed: string[] = [];
  for (const system of systems) {
    const answer = await system.recognise(files);
    if ("found" in answer) found.push(system);
    else missed.push(`  ${system.name}: ${answer.missing.join("; ")}`);
  }
  if (found.length === 1) return found[0];
  if (found.length > 1)
    throw new UsageError(
      `${files.name} could be ${found.map(({ name }) => name).join(" or ")}. Give each model a folder of its own.`,
    );
  throw new FormatError(
    `${files.name} is no model that is known here. What each kind misses among its ${files.paths.length} files:\n${missed.join("\n")}`,
  );
}
