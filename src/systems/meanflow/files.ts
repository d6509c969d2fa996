/** Which files of a folder are a MeanFlow model: a model.json with its weights, or a checkpoint that says itself what it is. */
import { FormatError, UsageError } from "../../errors.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { weightsNamed } from "./description.ts";
import { layoutOf } from "./layouts.ts";

export const DESCRIPTION = "model.json";
const WEIGHTS = "weights.safetensors";
/** What evaluates samples, and noise, that may lie beside the weights. */
export const EVALUATION = "eval.safetensors";
const BESIDE: readonly string[] = [EVALUATION, "noise.safetensors", "reference.safetensors"];
/** More files than this are no folder of checkpoints of one kind. */
const MOST_CANDIDATES = 16;

/** Files at the top that may be checkpoints. */
function candidates({ paths }: ModelFiles): readonly string[] {
  return paths.filter(
    (path) => /^[^/]+\.(safetensors|pth|pt|ckpt|bin)$/.test(path) && !BESIDE.includes(path),
  );
}

/** A folder that a file describes belongs to whoever knows that file. */
const isDescribed = ({ paths }: ModelFiles): boolean =>
  paths.some((path) => /^(model|config|model_index)\.json$/.test(path));

/** What is missing for this to be one; empty where nothing is. */
export async function missing(files: ModelFiles): Promise<readonly string[]> {
  if (files.paths.includes(DESCRIPTION)) {
    const json = (await files.json(DESCRIPTION)) as { kind?: unknown } | null;
    if (json?.kind === "meanflow") return [];
    return [
      `"kind": "meanflow" in ${DESCRIPTION}, which describes ${JSON.stringify(json?.kind ?? "nothing")}`,
    ];
  }
  const alone = isDescribed(files) ? [] : await checkpoints(files);
  return alone.length > 0
    ? []
    : [`${DESCRIPTION}, or a checkpoint with the keys of such a network at the top`];
}

/** Checkpoints of known layouts. */
async function checkpoints(files: ModelFiles): Promise<readonly string[]> {
  const found: string[] = [];
  const possible = candidates(files);
  if (possible.length > MOST_CANDIDATES) return [];
  for (const path of possible) {
    try {
      const source = await files.weights(path);
      if (layoutOf(source.tensors)) found.push(path);
      await source.close();
    } catch (error) {
      // Of another kind, or damaged: then it is not this one that is opened.
      if (!(error instanceof FormatError)) throw error;
    }
  }
  return found;
}

/** The file with the weights, and what describes it. */
export interface Chosen {
  readonly weights: string;
  readonly json: unknown;
}

/**
 * @param name part of a checkpoint's name, where a folder has several
 * @throws UsageError when several fit, or none
 */
export async function choose(files: ModelFiles, name?: string): Promise<Chosen> {
  const json = files.paths.includes(DESCRIPTION) ? await files.json(DESCRIPTION) : undefined;
  const named = json === undefined ? undefined : weightsNamed(json, `${files.name}/${DESCRIPTION}`);
  if (named !== undefined) return { weights: named, json };
  if (json !== undefined && files.paths.includes(WEIGHTS)) return { weights: WEIGHTS, json };
  const all = json === undefined ? await checkpoints(files) : candidates(files);
  const fitting = name === undefined ? all : all.filter((path) => path.includes(name));
  if (fitting.length === 1) return { weights: fitting[0], json };
  throw new UsageError(
    fitting.length === 0
      ? `${files.name} has no checkpoint${name === undefined ? "" : ` named like ${name}`}; it has ${all.join(", ") || "none"}.`
      : `${files.name} has several checkpoints: ${fitting.join(", ")}. Name one by a part of its name: --policy ${fitting[0].replace(/\.\w+$/, "")}`,
  );
}
