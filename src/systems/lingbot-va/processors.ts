/**
 * What LeRobot keeps beside a policy: how observations are named and normalised before it, and actions behind it, each a JSON list of steps
 * with its numbers in a safetensors file.
 */
import { FormatError, UsageError } from "../../errors.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { ActionStatistics } from "./statistics.ts";

const [BEFORE, AFTER] = ["policy_preprocessor.json", "policy_postprocessor.json"];

export interface Processors {
  /** observation key of the data → that of the policy, where they differ */
  readonly renamed: Readonly<Record<string, string>>;
  readonly statistics: ActionStatistics;
  /** mean action of the training data in the robot's units, where the file says it */
  readonly mean?: readonly number[];
  /** files that were read */
  readonly files: readonly string[];
}

interface Step {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly state?: string;
}

/** Files of the processors among a folder's. */
export const processorFiles = (paths: readonly string[]): string[] =>
  paths.filter((path) => /^policy_(pre|post)processor[^/]*\.(json|safetensors)$/.test(path));

/**
 * Reads both processors; a folder without them normalises nothing.
 * @param dimensions of an action
 * @throws FormatError for a malformed file, UsageError for a step or a normalisation that is not known here
 */
export async function readProcessors(files: ModelFiles, dimensions: number): Promise<Processors> {
  const read: string[] = [];
  let renamed: Readonly<Record<string, string>> = {};
  for (const { name, config } of await steps(files, BEFORE, read)) {
    if (name === "rename_observations_processor")
      renamed = (config.rename_map ?? {}) as Record<string, string>;
    else if (name === "normalizer_processor") {
      const used = Object.entries((config.norm_map ?? {}) as Record<string, string>);
      // Pictures have their own range, and the state is not read.
      const bad = used.find(([kind, how]) => kind === "VISUAL" && how !== "IDENTITY");
      if (bad)
        throw new UsageError(
          `${files.name}/${BEFORE}: ${bad.join(" ")} is not supported; supported: VISUAL IDENTITY`,
        );
    } else if (!IGNORED.has(name)) throw unknown(files, BEFORE, name);
  }
  let statistics = new ActionStatistics(undefined, dimensions, files.name);
  let mean: readonly number[] | undefined;
  for (const { name, config, state } of await steps(files, AFTER, read)) {
    if (name !== "unnormalizer_processor") {
      if (!IGNORED.has(name)) throw unknown(files, AFTER, name);
      continue;
    }
    const { ACTION: how = "IDENTITY" } = (config.norm_map ?? {}) as { ACTION?: string };
    if (how === "IDENTITY") continue;
    if (how !== "QUANTILES")
      throw new UsageError(
        `${files.name}/${AFTER}: actions normalised by ${how}; supported: QUANTILES, IDENTITY`,
      );
    if (state === undefined || !files.paths.includes(state)) continue;
    read.push(state);
    const numbers = await statesOf(files, state);
    const [q01, q99] = [numbers.get("action.q01"), numbers.get("action.q99")];
    mean = numbers.get("action.mean");
    if (mean?.length !== dimensions) mean = undefined;
    if (!q01 || !q99) continue;
    const { eps } = config as { eps?: number };
    statistics = new ActionStatistics({ q01, q99, epsilon: eps }, dimensions, `${files.name}/${state}`);
  }
  return { renamed, statistics, mean, files: read };
}

/** Of batches and devices. */
const IGNORED = new Set(["to_batch_processor", "device_processor"]);

const unknown = ({ name }: ModelFiles, file: string, step: string): UsageError =>
  new UsageError(`${name}/${file}: the step ${JSON.stringify(step)} is not supported`);

async function steps(files: ModelFiles, path: string, read: string[]): Promise<readonly Step[]> {
  if (!files.paths.includes(path)) return [];
  read.push(path);
  const { steps: list } = ((await files.json(path)) ?? {}) as { steps?: unknown };
  if (!Array.isArray(list)) throw new FormatError(`${files.name}/${path} has no list of "steps"`);
  return list.map((step: unknown) => {
    const { registry_name: name, config = {}, state_file: state } = (step ?? {}) as Record<string, unknown>;
    if (typeof name !== "string")
      throw new FormatError(`${files.name}/${path}: a step has no "registry_name"`);
    return { name, config: config as Step["config"], state: state as string | undefined };
  });
}

async function statesOf(files: ModelFiles, path: string): Promise<ReadonlyMap<string, readonly number[]>> {
  const source = await files.weights(path);
  const numbers = new Map<string, readonly number[]>();
  try {
    for (const { name, dtype } of source.tensors.values()) {
      if (name.startsWith("action.") && (dtype === "F32" || dtype === "F64" || dtype === "BF16"))
        numbers.set(name, [...toFloat32(await source.read(name), dtype)]);
    }
  } finally {
    await source.close();
  }
  return numbers;
}
