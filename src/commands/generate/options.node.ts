/** The options of `node dist/generate.js`. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { UsageError } from "../../errors.ts";
import { readVariants } from "../../kernels/variants.ts";
import { checkSeed } from "../../sampling/noise.ts";
import { parseRename } from "../../weights/rename.ts";
import type { ModelSettings } from "../load-model.node.ts";
import { gigabytes, oneOf, wholeNumber, wholeNumbers } from "../probe/settings.ts";
import { helpText } from "../terminal.node.ts";

/** The checkpoint that ships; the package is three folders up from here, in src as in dist. */
const DIGITS = fileURLToPath(new URL("../../../weights/digits", import.meta.url));

/** What is asked of the command. */
export interface GenerateCommand {
  readonly model: ModelSettings;
  /** undefined: each class in turn */
  readonly classes?: readonly number[];
  readonly calls: number;
  /** undefined: as many as the noise has, or 64 */
  readonly count?: number;
  readonly seed: number;
  readonly rule?: string;
  readonly guidance?: number;
  readonly guided?: readonly [from: number, to: number];
  readonly noise?: string;
  readonly out: string;
  /** pixels of the sheet for a pixel of a picture; undefined: what makes it a hand wide */
  readonly scale?: number;
  readonly perRow?: number;
  readonly quiet: boolean;
}

/** The text of `--help`. */
export const generateHelp = (): string =>
  helpText(
    "Usage: node dist/generate.js [options] --out FILE.png     (samples of a class from a MeanFlow model, in one call of its network or many)",
    [
      ["--model DIR|owner/name", "the checkpoint (default: the digits that ship)"],
      ["--class C", "0, 1, …; several separated by commas are taken in turn (default: every class in turn)"],
      ["--calls N", "calls of the network a sample (default 1)"],
      ["--count N", "how many samples (default 64, or the rows of --noise)"],
      [
        "--rule average|instant",
        "steps of the average velocity (MeanFlow), or Euler steps of the instantaneous one",
      ],
      [
        "--cfg-scale S",
        "guidance towards the class; 1 is none, and costs one evaluation a call where others cost two",
      ],
      [
        "--cfg-interval A,B",
        "times of a network that is told its guidance between which it holds, such as 0.4,0.65",
      ],
      ["--seed N", "sample i of a class starts from the noise of seed N + i (default 0)"],
      [
        "--noise FILE",
        'start from "noise" (rows, …) of a safetensors file, of classes "labels" (rows) where it has them',
      ],
      [
        "--out FILE",
        ".png: all samples on one sheet; .safetensors: their numbers, which is all that latents and vectors have",
      ],
      ["--scale N", "a pixel becomes N × N"],
      ["--per-row N", "samples in a row of the sheet (default: a square)"],
      [
        "--state-time r|t",
        "at which end of an interval the training had the state, where the checkpoint does not say",
      ],
      ["--policy NAME", "which checkpoint of a folder that holds several, by a part of its name"],
      ["--adapter NAME|software", "the GPU, by a part of its name"],
      ["--dtype f32|bf16|f16", "how weights are kept on the GPU"],
      ["--arithmetic f32|f16", "in what matrix products multiply"],
      ["--gpu-memory GB", "memory of the graphics card"],
      ["--variants K=V,…", "force programs of kernels by name"],
      ["--rename OLD=NEW,…", "prefixes of the checkpoint's keys"],
      ["--ignore-unexpected", "load a checkpoint that has tensors the model does not know"],
      ["--no-verify", "read a torch checkpoint although its checksums are wrong"],
      ["--quiet", "no progress"],
      ["--help", "this text"],
    ],
  );

const value = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const helpFlag = { type: "boolean", short: "h" } as const;
const OPTIONS = {
  ...{ model: value, class: value, calls: value, count: value, rule: value, seed: value, noise: value },
  ...{ "cfg-scale": value, "cfg-interval": value, out: value, scale: value, "per-row": value },
  ...{ "state-time": value, policy: value, adapter: value, dtype: value, arithmetic: value },
  ...{ "gpu-memory": value, variants: value, rename: value, "ignore-unexpected": flag, "no-verify": flag },
  ...{ quiet: flag, help: helpFlag },
} as const;

/** @returns undefined when help is asked for. @throws UsageError for an option that is none or out of range */
export function generateCommand(words: readonly string[]): GenerateCommand | undefined {
  const { values, positionals } = parsed(words);
  if (values.help) return undefined;
  if (positionals.length > 0)
    throw new UsageError(`"${positionals[0]}" belongs to no option. Every setting has a name: see --help.`);
  const { out } = values;
  if (out === undefined || !/\.(png|safetensors)$/.test(out))
    throw new UsageError(`--out ${out ?? ""}: name a file for the samples, FILE.png or FILE.safetensors.`);
  const whole = (name: keyof typeof OPTIONS, least: number): number | undefined => {
    const text = values[name];
    return typeof text === "string" ? wholeNumber(name, text, least) : undefined;
  };
  const seed = whole("seed", 0) ?? 0;
  checkSeed(seed);
  return {
    model: {
      model: values.model ?? DIGITS,
      policy: values.policy,
      stateTime:
        values["state-time"] === undefined
          ? undefined
          : oneOf("state-time", values["state-time"], ["r", "t"]),
      adapter: values.adapter,
      dtype: values.dtype === undefined ? undefined : oneOf("dtype", values.dtype, ["f32", "bf16", "f16"]),
      arithmetic: oneOf("arithmetic", values.arithmetic ?? "f32", ["f32", "f16"]),
      gpuMemory: values["gpu-memory"] === undefined ? undefined : gigabytes(values["gpu-memory"]),
      variants: values.variants === undefined ? undefined : readVariants(values.variants),
      rename: values.rename?.split(",").map(parseRename),
      unexpected: values["ignore-unexpected"] ? "ignore" : "refuse",
      verify: !values["no-verify"],
    },
    classes: values.class === undefined ? undefined : wholeNumbers("class", values.class),
    calls: whole("calls", 1) ?? 1,
    count: whole("count", 1),
    seed,
    rule: values.rule === undefined ? undefined : oneOf("rule", values.rule, ["average", "instant"]),
    guidance: values["cfg-scale"] === undefined ? undefined : finite("cfg-scale", values["cfg-scale"]),
    guided: values["cfg-interval"] === undefined ? undefined : intervalOf(values["cfg-interval"]),
    ...{ noise: values.noise, out, scale: whole("scale", 1), perRow: whole("per-row", 1) },
    quiet: values.quiet ?? false,
  };
}

function finite(name: string, text: string): number {
  const number = Number(text);
  if (!/^[+-]?\d*\.?\d+(e[+-]?\d+)?$/i.test(text) || !Number.isFinite(number))
    throw new UsageError(`--${name} ${text}: write a number, such as 1.5.`);
  return number;
}

/** "0.4,0.65" → from the larger down, as noise levels go. */
function intervalOf(text: string): readonly [number, number] {
  const ends = text.split(",").map((part) => finite("cfg-interval", part.trim()));
  const fits = ends.length === 2 && ends[0] >= 0 && ends[0] < ends[1] && ends[1] <= 1;
  if (!fits)
    throw new UsageError(
      `--cfg-interval ${text}: write two times from 0 to 1, the smaller first, such as 0.4,0.65.`,
    );
  return [ends[1], ends[0]];
}

function parsed(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n${generateHelp()}`, { cause: error });
  }
}
