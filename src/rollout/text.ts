/** The result for a terminal: a row for each stop, and where the numbers come from. */
import type { Interval } from "../probe/statistics/bootstrap.ts";
import { short } from "../probe/result/words.ts";
import type { RolloutResult } from "./result.ts";

/** Where the numbers come from, in one line without a date. */
export function stampLine({ model, device, dtype, seed, versions }: RolloutResult): string {
  const revision = model.revision === "unversioned" ? "" : `, ${model.revision.slice(0, 12)}`;
  return [
    `${model.name} (${model.trained_on === "random" ? "random weights" : `trained: ${model.trained_on}`}${revision})`,
    `weights sha256 ${model.weights_sha256.slice(0, 12)}`,
    `${device.name}${device.software ? ", software" : ""}`,
    dtype,
    `seed ${seed}`,
    `version ${versions.project ?? "?"}`,
  ].join("  ·  ");
}

/**
 * @param files what was written, as [what it is, path].
 * @param seconds how long the run took
 */
export function rolloutText(
  result: RolloutResult,
  files: readonly (readonly [string, string])[],
  seconds: number,
): string {
  const { measures, offline, stops, world, episodes } = result;
  const heads = ["stop", ...measures.map(({ title }) => title), ...(offline ? ["offline error"] : [])];
  const rows = stops.map((stop, k) => [
    String(stop),
    ...measures.map(({ kind, stops: at }) => {
      const { mean, interval } = at[k];
      return kind === "share" ? share(mean, interval) : amount(mean, interval);
    }),
    ...(offline ? [amount(offline.stops[k].mean, offline.stops[k].interval)] : []),
  ]);
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i].length)));
  const lineOf = (cells: readonly string[]): string =>
    cells.map((cell, i) => cell.padStart(widths[i])).join("   ");
  const nameWidth = Math.max(...files.map(([what]) => what.length));
  return [
    stampLine(result),
    `${episodes} trials a stop in ${world.name}, ${world.actions_per_query} actions a query, at most ${world.queries} queries; ${Math.round(seconds)} s`,
    "",
    lineOf(heads),
    ...rows.map(lineOf),
    "",
    ...(offline ? [`Offline error: ${offline.source}, ${offline.units}.`] : []),
    result.statement,
    "",
    ...files.map(([what, path]) => `${what.padEnd(nameWidth)}  ${path}`),
  ].join("\n");
}

const share = (mean: number | null, interval: Interval | null): string =>
  mean === null
    ? "–"
    : `${percent(mean)} %${interval ? ` (${percent(interval.low)}–${percent(interval.high)})` : ""}`;
const percent = (value: number): string => String(Math.round(100 * value));
const amount = (mean: number | null, interval: Interval | null): string =>
  mean === null
    ? "–"
    : `${short(mean)}${interval ? ` (${short(interval.low)}–${short(interval.high)})` : ""}`;
