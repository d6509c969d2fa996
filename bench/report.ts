/** What a run looks like, as data and as lines of text. */
import { FormatError } from "../src/errors.ts";
import { type AdapterDescription, nameOf } from "../src/gpu/gpu.ts";
import { type Measure, median } from "./measure.ts";
import type { Roof } from "./roof.ts";

/** One case; `measures[0]` is ours as the engine runs it. */
export interface Row {
  readonly name: string;
  readonly kernel: string;
  readonly flop: number;
  readonly bytes: number;
  readonly boundBy: "arithmetic" | "memory";
  readonly variant: string;
  readonly dispatches: number;
  /** contenders left out, and why */
  readonly rejected: readonly string[];
  readonly measures: readonly Measure[];
}

/** A whole step of a model. */
export interface Step {
  readonly name: string;
  readonly dispatches: number;
  /** as many are allowed */
  readonly dispatchLimit?: number;
  /** why there are more, or fewer elsewhere */
  readonly dispatchNote?: string;
  readonly flop?: number;
  readonly measure: Measure;
  /** share of a part of the step, 0 to 1: in operations as we compute it and as the reference does, and in time */
  readonly part?: {
    readonly name: string;
    readonly flop: number;
    readonly referenceFlop: number;
    readonly time: number;
  };
  /** what the step's ratios are over, measured in turns with it */
  readonly over?: { readonly name: string; readonly dispatches: number; readonly flop: number };
}

/** A step that was not run, and why. */
export interface Skipped {
  readonly name: string;
  readonly reason: string;
}

/** A small probe of the toy with the chosen kernels, and with naive ones only; see probe.ts. */
export interface ProbeComparison {
  readonly adapter: string;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly naiveSeconds: number;
  readonly naiveCpuSeconds: number;
  /** relative difference of the decoded actions */
  readonly difference: number;
}

/** The format of a stored run; another one is not compared. */
const FORMAT = 2;

export interface Run {
  readonly format: typeof FORMAT;
  readonly adapter: AdapterDescription;
  readonly cores: number;
  /** processes that wanted to run when it began: others than this one disturb a software adapter */
  readonly load: number;
  readonly versions: Readonly<Record<string, string>>;
  /** what a reader of the peers' figures should know */
  readonly notes: readonly string[];
  /** peers that ran on the same adapter */
  readonly sameAdapter: readonly string[];
  readonly date: string;
  readonly command: string;
  readonly roof: Roof;
  readonly rows: Row[];
  readonly steps: Step[];
  readonly skipped: Skipped[];
  readonly probe?: ProbeComparison;
}

/** @throws FormatError for anything but a run stored by this version of the bench */
export function readRun(text: string): Run {
  let run: Partial<Run> | null;
  try {
    run = JSON.parse(text) as Partial<Run> | null;
  } catch (error) {
    throw new FormatError(`the stored run is no JSON: ${(error as Error).message}`);
  }
  if (run?.format !== FORMAT || !Array.isArray(run.rows) || !Array.isArray(run.steps))
    throw new FormatError(
      `the stored run has format ${JSON.stringify(run?.format)}, this bench writes ${FORMAT}; measure it again with --json`,
    );
  return run as Run;
}

export const engineering = (value: number, unit: string): string => {
  const [scale, prefix] = value >= 1e12 ? [1e12, "T"] : value >= 1e9 ? [1e9, "G"] : [1e6, "M"];
  return `${(value / scale).toPrecision(3)} ${prefix}${unit}`;
};
export const time = (seconds: number): string =>
  seconds < 1 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`;
export const percent = (fraction: number): string => `${(100 * fraction).toFixed(0)} %`;

/** What a row does a second, in words, and as a fraction of the roof: of time, and of processor time. */
export function rateOf(row: Row, roof: Roof): { text: string; fraction: number; cpuFraction: number } {
  const { seconds, cpuSeconds } = row.measures[0];
  const [count, unit, top, cpuTop] =
    row.boundBy === "arithmetic"
      ? [row.flop, "FLOP/s", roof.flopPerSecond, roof.flopPerCpuSecond]
      : [row.bytes, "B/s", roof.bytesPerSecond, roof.bytesPerCpuSecond];
  return {
    text: engineering(count / seconds, unit),
    fraction: count / seconds / top,
    cpuFraction: count / cpuSeconds / cpuTop,
  };
}

/** The lines before the table. */
export const head = ({ adapter, roof, cores, load, versions, notes }: Run): string =>
  `${nameOf(adapter)} (${adapter.origin}), ${cores} cores, load ${load.toFixed(1)}; ` +
  `${Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}\n` +
  notes.map((note) => `${note}\n`).join("") +
  `roof: multiply-add ${engineering(roof.flopPerSecond, "FLOP/s")}, copy ${engineering(roof.bytesPerSecond, "B/s")}\n` +
  `Behind each row: the others' time ÷ ours (above 1 ours is faster). In brackets the same of processor time.`;

/** One line: time, rate, fraction of the roof, variant, and how many times as long the others took. */
export function describeRow(row: Row, roof: Roof): string {
  const [ours, ...others] = row.measures;
  const left = row.rejected.map((reason) => `\n    left out: ${reason}`).join("");
  if (!ours) return `${row.name}${left}`;
  const { text, fraction, cpuFraction } = rateOf(row, roof);
  const spread = `${time(ours.lowest)} to ${time(ours.highest)}, ${ours.rounds} × ${ours.times}`;
  const ratios = others.map((o) => `${o.name} ${o.ratio.toFixed(2)} (${o.cpuRatio.toFixed(2)})`);
  return (
    `${row.name.padEnd(30)} ${time(ours.seconds).padStart(7)} (${spread})  ` +
    `${text}, ${percent(fraction)} (${percent(cpuFraction)}) of the roof  [${row.variant}]  ${ratios.join("  ")}${left}`
  );
}

/** One line of a step, or why there is none. */
export function describeStep(step: Step | Skipped, roof: Roof): string {
  if ("reason" in step) return `${step.name}: not run; ${step.reason}`;
  const { name, dispatches, dispatchLimit, dispatchNote, flop, measure: m, part, over } = step;
  const allowed = [dispatchLimit && `limit ${dispatchLimit}`, dispatchNote].filter(Boolean).join("; ");
  const words = [
    `${dispatches} dispatches${allowed && ` (${allowed})`}`,
    `${time(m.seconds)} (${time(m.lowest)} to ${time(m.highest)}, ${m.rounds} × ${m.times})`,
    `${time(m.cpuSeconds)} of processor time`,
  ];
  if (flop)
    words.push(
      `${engineering(flop, "FLOP")}: ${engineering(flop / m.seconds, "FLOP/s")}, ${percent(flop / m.seconds / roof.flopPerSecond)} of the roof`,
    );
  if (part)
    words.push(
      `${part.name}: ${percent(part.flop)} of the operations (${percent(part.referenceFlop)} as the reference writes them), ${percent(part.time)} of the time`,
    );
  if (over)
    words.push(
      `${m.ratio.toFixed(2)} times ${over.name} (processor time ${m.cpuRatio.toFixed(2)}, operations ${((flop ?? 0) / over.flop).toFixed(2)}, dispatches ${(dispatches / over.dispatches).toFixed(2)})`,
    );
  return `${name}: ${words.join("; ")}`;
}

/** The peers that the project measures itself against. */
const MEASURED_AGAINST = ["tfjs", "jax-js"];

/** For each row, how many times as long as ours the fastest of these takes. */
export const fasterOf = (
  rows: readonly Row[],
  peers: readonly string[],
  key: "ratio" | "cpuRatio",
): { readonly row: Row; readonly ratio: number }[] =>
  rows.flatMap((row) => {
    const found = row.measures.filter(({ name }) => peers.includes(name)).map((m) => m[key]);
    return found.length > 0 ? [{ row, ratio: Math.min(...found) }] : [];
  });

/** The lines after the table: medians over the sizes against the faster of the peers. */
export function tail({ rows }: Pick<Run, "rows">): string {
  const lines = (["linear", "attention", "norm", "conv3d"] as const).flatMap((kernel) => {
    const own = rows.filter((r) => r.kernel === kernel);
    const [wall, cpu] = (["ratio", "cpuRatio"] as const).map((key) =>
      fasterOf(own, MEASURED_AGAINST, key).map(({ ratio }) => ratio),
    );
    if (wall.length === 0) return [];
    const name = kernel === "linear" ? "matmul" : kernel;
    return [
      `${name}: the faster of ${MEASURED_AGAINST.join(" and ")} takes ${median(wall).toFixed(2)} times as long as ours ` +
        `(median of ${wall.length} sizes, ${Math.min(...wall).toFixed(2)} to ${Math.max(...wall).toFixed(2)}; processor time ${median(cpu).toFixed(2)})`,
    ];
  });
  return lines.join("\n");
}

/** Times and ratio of the two probes. */
export const describeProbes = (p: ProbeComparison): string =>
  `toy probe, chosen ÷ naive kernels: ${(p.seconds / p.naiveSeconds).toFixed(3)} of the time ` +
  `(${time(p.seconds)} of ${time(p.naiveSeconds)}), ${(p.cpuSeconds / p.naiveCpuSeconds).toFixed(3)} of the processor time; ` +
  `the actions differ by ${p.difference.toExponential(1)}`;

/** How this run's times relate to an earlier one's: processor time on a software adapter, wall time elsewhere. */
export function compareRuns(before: Run, after: Run): string {
  const key = after.adapter.software ? "cpuSeconds" : "seconds";
  const what = after.adapter.software ? "processor time" : "time";
  const lines = [`${what} ÷ that of ${before.date} (below 1 is faster):`];
  if (before.adapter.description !== after.adapter.description)
    lines.push(
      `  another adapter: ${before.adapter.description} then, ${after.adapter.description} now; the ratios tell of both`,
    );
  const compare = (name: string, old: Measure | undefined, now: Measure | undefined): void => {
    if (old && now) lines.push(`  ${name.padEnd(44)} ${(now[key] / old[key]).toFixed(2)}`);
  };
  for (const row of after.rows)
    compare(row.name, before.rows.find(({ name }) => name === row.name)?.measures[0], row.measures[0]);
  for (const step of after.steps)
    compare(step.name, before.steps.find(({ name }) => name === step.name)?.measure, step.measure);
  if (lines.length === 1) lines.push("  no case is in both runs");
  return lines.join("\n");
}
