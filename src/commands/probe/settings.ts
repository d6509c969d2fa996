/** From typed options to the settings of a run: numbers are read strictly and every refusal says what to write instead. */
import { UsageError } from "../../errors.ts";
import { readVariants } from "../../kernels/variants.ts";
import type { Reference } from "../../probe/figure/style.ts";
import type { ProbeSettings } from "../../probe/experiment/measurement.ts";
import type { TypedOptions } from "./options.ts";

/** Probe steps of the default N = 50, as fractions of N. */
const DEFAULT_PROBE_FRACTIONS = [0.1, 0.2, 0.4, 0.6, 0.8, 1];

/** How a run is shown and where it is kept; what it measures is in `settings`. */
export interface ProbeCommand {
  settings: ProbeSettings;
  reference: Reference;
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
    typed["video-steps"] === undefined ? 50 : wholeNumber("video-steps", typed["video-steps"], 1);
  const probeSteps =
    typed["probe-steps"] === undefined
      ? scaledSteps(videoSteps)
      : readProbeSteps(typed["probe-steps"], videoSteps);
  if (typed.resume !== undefined && typed.out === undefined)
    throw new UsageError(
      "--resume needs to know which run to continue. Add --out with the folder of that run.",
    );
  return {
    settings: {
      modelDir: typed.model ?? defaultModelDir,
      dataDir: typed.data,
      noiseFile: typed.noise,
      episodes: typed.episodes === undefined ? undefined : countOrList("episodes", typed.episodes),
      videoSteps,
      probeSteps,
      actionSteps:
        typed["action-steps"] === undefined
          ? undefined
          : wholeNumber("action-steps", typed["action-steps"], 1),
      videoSeeds: countOrList("video-seeds", typed["video-seeds"] ?? "2"),
      actionSeeds: countOrList("action-seeds", typed["action-seeds"] ?? "1"),
      adapter: typed.adapter,
      dtype: oneOf("dtype", typed.dtype ?? "f32", ["f32", "bf16", "f16"]),
      variants: typed.variants === undefined ? undefined : readVariants(typed.variants),
      unexpected: typed["ignore-unexpected"] === undefined ? "refuse" : "ignore",
    },
    reference: oneOf("reference", typed.reference ?? "both", ["final", "truth", "both"]),
    out: typed.out,
    resume: typed.resume !== undefined,
    quiet: typed.quiet !== undefined,
    json: typed.json !== undefined,
  };
}

/** The default probe steps, scaled to N and without repetition. */
function scaledSteps(N: number): number[] {
  return Array.from(new Set(DEFAULT_PROBE_FRACTIONS.map((fraction) => Math.round(fraction * N))));
}

function readProbeSteps(text: string, N: number): number[] {
  const steps = wholeNumbers("probe-steps", text);
  const beyond = steps.filter((step) => step > N);
  if (beyond.length > 0)
    throw new UsageError(
      `--probe-steps ${text}: ${beyond.join(", ")} lies beyond the ${N} video steps. Use steps in 0..${N}, or a larger --video-steps.`,
    );
  const misplaced = steps.findIndex((step, i) => i > 0 && step <= steps[i - 1]);
  if (misplaced > 0) {
    const [before, step] = [steps[misplaced - 1], steps[misplaced]];
    const what = before === step ? `${step} is there twice` : `${step} comes after ${before}`;
    const sorted = Array.from(new Set(steps)).sort((a, b) => a - b);
    throw new UsageError(`--probe-steps ${text}: ${what}. Write them ascending: ${sorted.join(",")}.`);
  }
  // The decode at N is the reference of all others.
  return steps[steps.length - 1] === N ? steps : [...steps, N];
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

function wholeNumbers(name: string, text: string): number[] {
  return text.split(",").map((part) => wholeNumber(name, part.trim(), 0, text));
}

// 2³² bounds seeds, and keeps a slip of the keyboard from asking for terabytes.
function wholeNumber(name: string, part: string, least: number, text = part): number {
  const value = Number(part);
  if (!/^[+-]?\d+$/.test(part) || value < least || value >= 2 ** 32)
    throw new UsageError(
      `--${name} ${text}: "${part}" is not a whole number of at least ${least}${value >= 2 ** 32 ? " and below 4294967296" : ""}. See --help for its form.`,
    );
  return value;
}

function oneOf<const T extends string>(name: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (!found)
    throw new UsageError(`--${name} ${value}: use ${choices.join(", ").replace(/, ([^,]*)$/, " or $1")}.`);
  return found;
}
