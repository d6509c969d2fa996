/** What a run looks like, as data and as lines of text. */
import type { AdapterDescription } from "../src/gpu/gpu.ts";
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
  readonly measure: Measure;
}

export interface Run {
  readonly adapter: AdapterDescription;
  readonly node: string;
  readonly date: string;
  readonly command: string;
  readonly roof: Roof;
  readonly rows: readonly Row[];
  readonly steps: readonly Step[];
}

const engineering = (value: number, unit: string): string => {
  const [scale, prefix] = value >= 1e12 ? [1e12, "T"] : value >= 1e9 ? [1e9, "G"] : [1e6, "M"];
  return `${(value / scale).toPrecision(3)} ${prefix}${unit}`;
};
const milliseconds = (seconds: number): string => `${(seconds * 1e3).toPrecision(3)} ms`;

/** One line: time, rate, fraction of the roof, and how many times as long the others took. */
export function describeRow(row: Row, roof: Roof): string {
  const [ours, ...others] = row.measures;
  const left = row.rejected.map((reason) => `\n    left out: ${reason}`).join("");
  if (!ours) return `${row.name}${left}`;
  const [count, unit, top] =
    row.boundBy === "arithmetic"
      ? [row.flop, "FLOP/s", roof.flopPerSecond]
      : [row.bytes, "B/s", roof.bytesPerSecond];
  const rate = count / ours.seconds;
  const spread = `${milliseconds(ours.lowest)} to ${milliseconds(ours.highest)}`;
  const ratios = others.map((o) => `${o.name} ×${o.ratio.toFixed(2)} (cpu ×${o.cpuRatio.toFixed(2)})`);
  return (
    `${row.name.padEnd(30)} ${milliseconds(ours.seconds).padStart(9)} (${spread})  ` +
    `${engineering(rate, unit)}, ${((100 * rate) / top).toFixed(0)} % of the roof  [${row.variant}]  ${ratios.join("  ")}${left}`
  );
}

const ratiosOver = (rows: readonly Row[], peers: readonly string[], key: "ratio" | "cpuRatio"): number[] =>
  rows.flatMap(({ measures }) => {
    const found = measures.filter((m) => peers.includes(m.name)).map((m) => m[key]);
    return found.length > 0 ? [Math.min(...found)] : [];
  });

/** The lines before and after the table. */
export const summarise = {
  head: (adapter: AdapterDescription, roof: Roof): string =>
    `${adapter.description || adapter.device} (${adapter.origin}): ` +
    `multiply-add ${engineering(roof.flopPerSecond, "FLOP/s")}, copy ${engineering(roof.bytesPerSecond, "B/s")}`,

  /** Medians over the cases of the ratio to the faster peer, which is what this project promises, and of the steps. */
  tail: ({ rows, steps }: Run): string => {
    const lines = ["linear", "attention", "norm"].flatMap((kernel) => {
      const own = rows.filter((r) => r.kernel === kernel);
      const [wall, cpu] = (["ratio", "cpuRatio"] as const).map((k) => ratiosOver(own, ["tfjs", "jax-js"], k));
      if (wall.length === 0) return [];
      return [
        `${kernel}: the faster peer takes ${median(wall).toFixed(2)} times as long (median of ${wall.length} sizes; ` +
          `in processor time ${median(cpu).toFixed(2)})`,
      ];
    });
    for (const { name, dispatches, measure: m } of steps) {
      lines.push(
        `${name}: ${dispatches} dispatches, ${milliseconds(m.seconds)}, cpu ${milliseconds(m.cpuSeconds)}`,
      );
    }
    return lines.join("\n");
  },
};

/** How this run's times relate to an earlier one's, in processor time on a software adapter and wall time elsewhere. */
export function compareRuns(before: Run, after: Run): string {
  const key = after.adapter.software ? "cpuSeconds" : "seconds";
  const lines = [`against ${before.date}, ${before.adapter.description} (${key}):`];
  for (const row of after.rows) {
    const old = before.rows.find((r) => r.name === row.name)?.measures[0];
    const now = row.measures[0];
    if (old && now) lines.push(`  ${row.name.padEnd(30)} ×${(now[key] / old[key]).toFixed(2)}`);
  }
  return lines.join("\n");
}
