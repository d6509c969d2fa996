/** The command line of the bench. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { MimicVideoError, UsageError } from "../src/errors.ts";
import { CASES } from "./cases.ts";
import { PEER_NAMES } from "./peers/peer.ts";
import { type BenchOptions, matches, type Output, runBench } from "./run.ts";
import { STEPS } from "./steps.ts";

const HELP = `npm run bench -- [FILTER…] [options]     times kernels and steps whose names contain a FILTER; all by default
npm run bench -- probe [--json FILE]     a small probe of the toy with the chosen kernels, and with naive ones only;
                                         added to a kept run
npm run bench -- weights                 reading of checkpoints
npm run bench -- page FILE…              writes the tables and the figure of bench/README.md from stored runs

Every kernel is checked, then timed against the measured roof, its naive version, and peers.

  --list               names of all cases and steps
  --rounds N           batches of each contender, at most (5)
  --budget SECONDS     time for the batches of one case, at most (8)
  --step-budget S      a case or step that needs longer at the measured roof runs only when asked for by its whole name (10)
  --peers NAME,…       ${PEER_NAMES.join(", ")} (all that start), or none
  --python PATH        a Python with torch (MIMIC_VIDEO_PYTHON, or python3)
  --variant K=NAME     forces kernel K to a variant; may be repeated
  --arithmetic f16     products of halves, sums in float32, where the adapter has shader-f16
  --adapter NAME       the GPU to use, by a part of its name, or "software" (the best there is)
  --json FILE          keeps the run
  --compare FILE       how this run's times relate to a kept one's
`;

const PARSING = {
  allowPositionals: true as const,
  options: {
    help: { type: "boolean" as const, default: false },
    list: { type: "boolean" as const, default: false },
    rounds: { type: "string" as const, default: "5" },
    budget: { type: "string" as const, default: "8" },
    "step-budget": { type: "string" as const, default: "10" },
    peers: { type: "string" as const },
    python: { type: "string" as const },
    variant: { type: "string" as const, multiple: true, default: [] as string[] },
    adapter: { type: "string" as const },
    arithmetic: { type: "string" as const, default: "f32" },
    json: { type: "string" as const },
    compare: { type: "string" as const },
  },
} satisfies ParseArgsConfig;

const TERMINAL: Output & { readonly error: (text: string) => void } = {
  line: (text) => {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
    console.log(text);
  },
  progress: (text) => {
    if (!process.stderr.isTTY) return;
    process.stderr.write(`\r\x1b[2K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  },
  error: (text) => console.error(text),
};

/** @returns the exit code: 0 done, 1 failed, 2 wrong options */
export async function main(words: readonly string[], output = TERMINAL): Promise<number> {
  try {
    await command(words, output);
    return 0;
  } catch (error) {
    if (!(error instanceof MimicVideoError)) throw error;
    output.error(error.message);
    return error instanceof UsageError ? 2 : 1;
  }
}

async function command(words: readonly string[], output: Output): Promise<void> {
  const { values, positionals } = parse(words);
  const [first, ...rest] = positionals;
  if (values.help) return output.line(HELP);
  if (values.list) {
    for (const { name } of [...CASES, ...STEPS]) if (matches(name, positionals)) output.line(name);
    return;
  }
  if (first === "weights") return void (await (await import("./weights.ts")).main());
  if (first === "probe")
    return (await import("./probe.ts")).runProbes({ adapter: values.adapter, json: values.json }, output);
  if (first === "page") return (await import("./page.ts")).writePage(rest, output.line);
  await runBench(readOptions(values, positionals), output);
}

type Values = ReturnType<typeof parseArgs<typeof PARSING>>["values"];

function parse(words: readonly string[]) {
  try {
    return parseArgs({ ...PARSING, args: [...words] });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${HELP}`);
  }
}

function readOptions(values: Values, filters: readonly string[]): BenchOptions {
  const positive = (name: "rounds" | "budget" | "step-budget"): number => {
    const value = Number(values[name]);
    if (!(value > 0) || (name === "rounds" && !Number.isInteger(value)))
      throw new UsageError(
        `--${name} ${values[name]}: a positive ${name === "rounds" ? "whole " : ""}number is needed`,
      );
    return value;
  };
  const peers = values.peers === "none" ? [] : values.peers?.split(",");
  const unknown = peers?.find((name) => !PEER_NAMES.includes(name));
  if (unknown !== undefined)
    throw new UsageError(
      `--peers ${values.peers}: there is no "${unknown}", only ${PEER_NAMES.join(", ")}, and none`,
    );
  const variants = values.variant.map((text) => text.split("="));
  if (variants.some((pair) => pair.length !== 2))
    throw new UsageError(
      `--variant ${values.variant.join(" ")}: write it as KERNEL=NAME, such as linear=naive`,
    );
  const { arithmetic } = values;
  if (arithmetic !== "f32" && arithmetic !== "f16")
    throw new UsageError(`--arithmetic ${arithmetic}: f32 or f16 is needed`);
  return {
    ...{ filters, arithmetic },
    rounds: positive("rounds"),
    budget: positive("budget"),
    stepBudget: positive("step-budget"),
    peers,
    python: values.python,
    variants: Object.fromEntries(variants) as Record<string, string>,
    adapter: values.adapter,
    json: values.json,
    compare: values.compare,
  };
}
