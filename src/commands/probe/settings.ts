/** From typed options to the settings of a run: numbers are read strictly and every refusal says what to write instead. */
import { UsageError } from "../../errors.ts";
import { readVariants } from "../../kernels/variants.ts";
import type { Reference } from "../../probe/figure/style.ts";
import { parseRename } from "../../weights/rename.ts";
import type { ProbeSettings, Shard } from "../../probe/experiment/measurement.ts";
import type { TypedOptions } from "./options.ts";

/** How a run is shown and where it is kept; what it measures is in `settings`. */
export interface ProbeCommand {
  settings: ProbeSettings;
  reference: Reference;
  /** How much worse than the last a sufficient step may be, squared normalised units; undefined: a share of a floor's error. */
  margin?: number;
  /** Undefined: a folder named by model and date under results/. */
  out?: string;
  resume: boolean;
  quiet: boolean;
  json: boolean;
}

/**
 * @param typed from `readOptions`.
 * @param defaultModelDir the checkpoint that ships.
 * @throws UsageError for a value out of range or not of the form that `--help` shows.
 */
export function probeCommand(typed: TypedOptions, defaultModelDir: string): ProbeCommand {
  const videoSteps =
    typed["video-steps"] === undefined ? undefined : wholeNumber("video-steps", typed["video-steps"], 1);
  const probeSteps = typed["probe-steps"] === undefined ? undefined : ascendingSteps(typed["probe-steps"]);
  if (typed.resume !== undefined && typed.out === undefined)
    throw new UsageError(
      "--resume needs to know which run to continue. Add --out with the folder of that run.",
    );
  return {
    settings: {
      modelDir: typed.model ?? defaultModelDir,
      dataDir: typed.data,
      ...recording(typed),
      noiseFile: typed.noise,
      episodes:
        typed.episodes === undefined || typed.episodes === "all"
          ? typed.episodes
          : /^\d+$/.test(typed.episodes)
            ? wholeNumber("episodes", typed.episodes, 1)
            : countOrList("episodes", typed.episodes),
      videoSteps,
      probeSteps,
      actionSteps:
        typed["action-steps"] === undefined
          ? undefined
          : wholeNumber("action-steps", typed["action-steps"], 1),
      budgets: typed.budgets === undefined ? undefined : ascendingSteps(typed.budgets, "budgets", 1),
      videoSeeds:
        typed["video-seeds"] === undefined ? undefined : countOrList("video-seeds", typed["video-seeds"]),
      actionSeeds:
        typed["action-seeds"] === undefined || typed["action-seeds"] === "same"
          ? typed["action-seeds"]
          : countOrList("action-seeds", typed["action-seeds"]),
      adapter: typed.adapter,
      dtype: typed.dtype === undefined ? undefined : oneOf("dtype", typed.dtype, ["f32", "bf16", "f16"]),
      policy: typed.policy,
      stateTime:
        typed["state-time"] === undefined ? undefined : oneOf("state-time", typed["state-time"], ["r", "t"]),
      frozen: typed.frozen,
      text: typed.text,
      encodeText: typed["encode-text"] !== undefined,
      oracle: typed.oracle !== undefined,
      straightness: typed.straightness !== undefined,
      gpuMemory: typed["gpu-memory"] === undefined ? undefined : gigabytes(typed["gpu-memory"]),
      arithmetic: oneOf("arithmetic", typed.arithmetic ?? "f32", ["f32", "f16"]),
      variants: typed.variants === undefined ? undefined : readVariants(typed.variants),
      rename: typed.rename?.split(",").map(parseRename),
      nonFinite: typed["allow-nonfinite"] === undefined ? "refuse" : "ignore",
      verify: typed["no-verify"] === undefined,
      unexpected: typed["ignore-unexpected"] === undefined ? "refuse" : "ignore",
      shard: typed.shard === undefined ? undefined : shard(typed.shard),
    },
    reference: referenceOf(typed.reference),
    margin: typed.margin === undefined ? undefined : positiveNumber("margin", typed.margin),
    out: typed.out,
    resume: typed.resume !== undefined,
    quiet: typed.quiet !== undefined,
    json: typed.json !== undefined,
  };
}

/** Options of recorded data sets; none where none was typed, so that what is kept of other runs stays as it is. */
function recording(typed: TypedOptions): Pick<ProbeSettings, "recording"> {
  const words = [
    "camera",
    "state",
    "action",
    "task",
    "fps",
    "resample",
    "every",
    "ends",
    "embodiment",
  ] as const;
  const given = words.filter((word) => typed[word] !== undefined);
  if (given.length === 0) return {};
  if (typed.data === undefined)
    throw new UsageError(
      `--${given[0]} chooses of a LeRobot data set. Name one with --data, or leave it out.`,
    );
  const number = (name: "fps" | "every"): number | undefined =>
    typed[name] === undefined ? undefined : positiveNumber(name, typed[name]);
  const { state, action, task, embodiment } = typed;
  return {
    recording: {
      cameras: typed.camera?.split(",").map((key) => key.trim()),
      ...{ state, action, task, embodiment, fps: number("fps"), every: number("every") },
      ...(typed.resample !== undefined && { resample: true }),
      ...(typed.ends !== undefined && { ends: oneOf("ends", typed.ends, ["drop", "pad"]) }),
    },
  };
}

/** @throws UsageError for a word that names none */
export const referenceOf = (typed = "both"): Reference =>
  oneOf("reference", typed, ["final", "truth", "both"]);

function shard(text: string): Shard {
  const [, index, count] = (/^(\d{1,9})\/(\d{1,9})$/.exec(text) ?? []).map(Number);
  if (count === undefined || index >= count)
    throw new UsageError(
      `--shard ${text}: write i/n with i from 0 to n − 1, such as 0/4 for the first of four.`,
    );
  return { index, count };
}

export function positiveNumber(name: string, text: string): number {
  const value = Number(text);
  if (!/^\d*\.?\d+(e[+-]?\d+)?$/i.test(text) || !(value > 0 && value < Number.POSITIVE_INFINITY))
    throw new UsageError(`--${name} ${text}: write a number above 0, such as 0.05.`);
  return value;
}

export function gigabytes(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value <= 0)
    throw new UsageError(`--gpu-memory ${text}: write a number of gigabytes, such as 12 or 7.5.`);
  return value * 2 ** 30;
}

/** Whether they lie on the schedule is known when the system is (experiment/settings.ts). */
function ascendingSteps(text: string, name = "probe-steps", least = 0): number[] {
  const steps = wholeNumbers(name, text, least);
  const misplaced = steps.findIndex((step, i) => i > 0 && step <= steps[i - 1]);
  if (misplaced > 0) {
    const [before, step] = [steps[misplaced - 1], steps[misplaced]];
    const what = before === step ? `${step} is there twice` : `${step} comes after ${before}`;
    const sorted = Array.from(new Set(steps)).sort((a, b) => a - b);
    throw new UsageError(`--${name} ${text}: ${what}. Write them ascending: ${sorted.join(",")}.`);
  }
  return steps;
}

/** "3" is 0, 1, 2; "3,7" is 3 and 7; "3," is 3. */
function countOrList(name: string, text: string): number[] {
  if (!text.includes(",")) {
    const count = wholeNumber(name, text, 1);
    return Array.from({ length: count }, (_, i) => i);
  }
  const list = wholeNumbers(name, text.replace(/,$/, ""));
  const twice = list.find((value, i) => list.indexOf(value) !== i);
  if (twice !== undefined)
    throw new UsageError(
      `--${name} ${text}: ${twice} is there twice. Give each once: ${Array.from(new Set(list)).join(",")}.`,
    );
  return list;
}

export function wholeNumbers(name: string, text: string, least = 0): number[] {
  return text.split(",").map((part) => wholeNumber(name, part.trim(), least, text));
}

// 2³² bounds seeds, and keeps a slip of the keyboard from asking for terabytes.
export function wholeNumber(name: string, part: string, least: number, text = part): number {
  const value = Number(part);
  if (!/^[+-]?\d+$/.test(part) || value < least || value >= 2 ** 32)
    throw new UsageError(
      `--${name} ${text}: "${part}" is not a whole number of at least ${least}${value >= 2 ** 32 ? " and below 4294967296" : ""}. See --help for its form.`,
    );
  return value;
}

export function oneOf<const T extends string>(name: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (!found)
    throw new UsageError(`--${name} ${value}: use ${choices.join(", ").replace(/, ([^,]*)$/, " or $1")}.`);
  return found;
}
