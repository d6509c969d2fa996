/** The words of `rollout`, read strictly. Pure: files and folders are named here but not touched. */
import { parseArgs } from "node:util";
import { UsageError } from "../../errors.ts";
import type { RolloutSettings } from "../../rollout/result.ts";

/** What a rollout is asked, and where it is kept. */
export interface RolloutCommand {
  readonly modelDir: string;
  readonly policy?: string;
  readonly frozen?: string;
  readonly dataDir?: string;
  readonly settings: RolloutSettings;
  /** a probe.json whose offline error stands beside the trials */
  readonly offline?: string;
  readonly adapter?: string;
  /** undefined: a folder named by model and date under results/ */
  readonly out?: string;
  readonly resume: boolean;
  readonly quiet: boolean;
  readonly json: boolean;
}

export const USAGE =
  "node dist/rollout.js [options]: a policy acts in its world after fewer denoising steps.";

export const LINES = [
  ["--model DIR|owner/name", "a checkpoint whose policy has a world (default: the toy that ships)"],
  ["--frozen DIR|owner/name", "parts that the checkpoint leaves to another (default: what it names)"],
  [
    "--data DIR",
    "recorded episodes to act in, for a policy whose world is recorded (default: the model's own)",
  ],
  ["--policy NAME", "which policy of a folder that holds several"],
  ["--stop k,k,…", "denoising steps before the actions are read (default: 0,5,20,50)"],
  ["--episodes N", "trials a stop: scenes 0 to N − 1 of the seed (default: 64)"],
  ["--seed S", "of scenes and noise; every stop meets the same (default: 0)"],
  [
    "--offline probe.json",
    "the probe's error at the same stops, to stand beside the trials (default: that of each trial's first chunk against the expert's)",
  ],
  ["--adapter NAME", '"software", or a part of an adapter\'s name'],
  ["--out DIR", "folder for rollout.json, rollout.png, run.json and finished trials (default: results/…)"],
  ["--resume", "continue the interrupted run in --out with the same options"],
  ["--quiet", "no progress and no summary"],
  ["--json", "print rollout.json to stdout, everything else to stderr"],
  ["--help", "this text"],
] as const;

/**
 * @returns undefined when help is asked for
 * @throws UsageError for a word or a value that is not of the form that `--help` shows
 */
export function rolloutCommand(
  words: readonly string[],
  defaultModelDir: string,
): RolloutCommand | undefined {
  const typed = read(words);
  if (typed.help) return undefined;
  if (typed.resume && typed.out === undefined)
    throw new UsageError(
      "--resume needs to know which run to continue. Add --out with the folder of that run.",
    );
  const stops = (typed.stop ?? "0,5,20,50").split(",").map((part) => wholeNumber("stop", part.trim(), 0));
  const twice = stops.find((stop, i) => stops.indexOf(stop) !== i);
  if (twice !== undefined) throw new UsageError(`--stop ${typed.stop}: ${twice} is there twice.`);
  return {
    modelDir: typed.model ?? defaultModelDir,
    policy: typed.policy,
    frozen: typed.frozen,
    dataDir: typed.data,
    settings: {
      stops: stops.sort((a, b) => a - b),
      episodes: wholeNumber("episodes", typed.episodes ?? "64", 1),
      seed: wholeNumber("seed", typed.seed ?? "0", 0),
    },
    offline: typed.offline,
    adapter: typed.adapter,
    out: typed.out,
    resume: typed.resume ?? false,
    quiet: typed.quiet ?? false,
    json: typed.json ?? false,
  };
}

function read(words: readonly string[]) {
  const text = { type: "string" } as const;
  const yes = { type: "boolean" } as const;
  try {
    return parseArgs({
      args: [...words],
      options: {
        ...{
          model: text,
          frozen: text,
          data: text,
          policy: text,
          stop: text,
          episodes: text,
          seed: text,
          offline: text,
        },
        ...{ adapter: text, out: text, resume: yes, quiet: yes, json: yes },
        help: { ...yes, short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message} See --help.`, { cause: error });
  }
}

function wholeNumber(name: string, part: string, least: number): number {
  const value = Number(part);
  if (!/^\d+$/.test(part) || value < least || value >= 2 ** 32)
    throw new UsageError(`--${name}: "${part}" is not a whole number of at least ${least}. See --help.`);
  return value;
}
