/** Errors by what dimensions mean: degrees, moments, the data's units, beside the squared error in normalised ones. */
import { COLOUR } from "../figure/style.ts";
import type { ProbeResult } from "../result/result.ts";
import { axisName, lastStep, short, truthWords } from "../result/sentences.ts";
import { stepAxis } from "./axes.ts";
import { type Chart, type ChartCurve, type Table, withInterval } from "./chart.ts";

type Part = ProbeResult["by_part"][number];

/** Most figures; the table has all. */
const MOST = { figures: 6, rows: 100 } as const;

const MEANING: Readonly<Record<Part["kind"], string>> = {
  squared: "distance",
  rotation6d: "angle between the rotations",
  rotvec: "angle between the rotations",
  event: "time between the first switches, where both switch",
  logits: "share of positions with another class",
};

const unitOf = ({ kind, unit }: Part): string => (kind === "logits" || unit === "" ? "" : ` (${unit})`);

/** A figure for each part that has an error at all. */
export function partCharts(result: ProbeResult): Chart[] {
  return result.by_part
    .filter(({ error }) =>
      [error.mse_to_truth, error.mse_to_last].some((one) => one?.some((e) => e !== null)),
    )
    .slice(0, MOST.figures)
    .map((part, i) => partChart(result, part, i));
}

function partChart(result: ProbeResult, part: Part, index: number): Chart {
  const { probe_steps: steps } = result;
  const { name, kind, error, error_interval: ends, seconds_per_position: pace } = part;
  const last = lastStep(result);
  const curve = (key: "mse_to_truth" | "mse_to_last", words: string, color: string, symbol: string) => {
    const values = error[key];
    const kept = steps.map((_, k) => k).filter((k) => values && values[k] !== null);
    if (!values || kept.length === 0) return [];
    const intervals = kept.map((k) => ends[key]?.[k] ?? null);
    return [
      {
        ...{ name: words, x: kept.map((k) => steps[k]), y: kept.map((k) => values[k]!), color, symbol },
        interval: intervals.every((one) => one !== null) ? intervals : null,
      } satisfies ChartCurve,
    ];
  };
  return {
    id: `part-${index}`,
    title: `${name}: ${MEANING[kind]}${unitOf(part)}`,
    alt: `Error of ${name} by ${axisName(result)} step. The numbers are in the table below.`,
    notes: [
      "Floors and controls are known in normalised units only; here 0 is the reference itself." +
        (kind === "event" && pace !== null ? ` A position is ${short(pace)} s.` : "") +
        (kind === "event" ? ` ${switchWords(part)}` : ""),
    ],
    x: stepAxis(result),
    y: { title: `mean ${MEANING[kind]}${unitOf(part)}`, log: false },
    curves: [
      ...curve("mse_to_truth", `to ${truthWords(result)}`, COLOUR.truth, "circle"),
      ...curve("mse_to_last", `to the decode at step ${last}`, COLOUR.last, "square"),
    ],
    levels: [{ name: "no error", value: 0, color: COLOUR.holdStill, dash: "dot" }],
    height: 220,
  };
}

/** How often the last decode switches as the truth does. */
function switchWords({ events }: Part): string {
  const found = events?.to_truth;
  if (!found) return "";
  const at = found.timed.length - 1;
  return (
    `The true chunks switch ${short(found.switches)} times on average; at the last step both switch in ${short(100 * found.timed[at])} % of chunks, ` +
    `and a chunk has ${short(found.missing[at])} switches too few and ${short(found.extra[at])} too many.`
  );
}

/** A row a part and a column a step; undefined where it is not known what dimensions mean. */
export function partsTable(result: ProbeResult): Table | undefined {
  const { by_part: parts, probe_steps: steps } = result;
  if (parts.length === 0) return undefined;
  const truth = parts.every(({ error }) => error.mse_to_truth);
  const key = truth ? "mse_to_truth" : "mse_to_last";
  const shown = parts.slice(0, MOST.rows);
  return {
    caption: `By what dimensions mean, to ${truth ? truthWords(result) : `the decode at step ${lastStep(result)}`}${shown.length < parts.length ? `; the first ${shown.length} of ${parts.length}` : ""}`,
    head: ["part", "error", ...steps.map((step) => `step ${step}`)],
    rows: shown.flatMap((part) => [
      [
        part.name,
        `${MEANING[part.kind]}${unitOf(part)}`,
        ...steps.map((_, k) => {
          const value = part.error[key]?.[k] ?? null;
          return value === null ? "–" : withInterval(value, part.error_interval[key]?.[k]);
        }),
      ],
      [part.name, "mean squared, normalised units", ...steps.map((_, k) => short(part.mse[key]?.[k] ?? 0))],
    ]),
    words: 2,
  };
}
