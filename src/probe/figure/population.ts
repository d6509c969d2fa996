/**
 * All samples together, by calls of the network: distances to real ones above, and below what is a ratio with 1 as its best. A colour for a rule,
 * a dash for a measure; bands of 95 % from the samples' own spread.
 */
import type { PopulationCurves, PopulationResult } from "../result/population.ts";
import type { ProbeResult } from "../result/result.ts";
import { wrap } from "../result/sentences.ts";
import {
  bandInside,
  cutMarks,
  cutWords,
  LEGEND_Y,
  legendAt,
  logRange,
  type Panel,
  type PanelPlace,
  panelAxes,
  panelTitle,
  positive,
  stripTitle,
  verticalTitle,
} from "./panel.ts";
import { COLOUR, line, type Place, type Plain } from "./style.ts";

const UPPER = { xaxis: "x3", yaxis: "y3", legend: "legend3" };
const STRIP = { xaxis: "x4", yaxis: "y4", legend: "legend3" };

/** Colours and marks of the rules, the stop axis' own first. */
const RULES = [
  { color: COLOUR.truth, symbol: "circle" },
  { color: COLOUR.last, symbol: "square" },
  { color: COLOUR.other, symbol: "diamond" },
] as const;
const DASHES = ["solid", "dash", "dot"] as const;
/** Of a two-sided 95 % interval. */
const NORMAL = 1.96;

/** @returns null where single read-outs are judged, or nothing was run to its end */
export function populationPanel({ population }: ProbeResult, place: PanelPlace): Panel | null {
  if (!population || population.schedules.length === 0) return null;
  const { measures, schedules, floors } = population;
  const distances = measures.filter(({ target }) => target === 0);
  const ratio = measures.find(({ target }) => target !== null && target !== 0);
  const calls = schedules[0].calls;
  // Schedules double from one to the next.
  const x = calls.map((count) => Math.log2(count));
  const range: [number, number] = [x[0] - 0.3, x[x.length - 1] + 0.3];
  const known = (name: string, from: PopulationCurves): number[] =>
    from.values[name].map((value) => value ?? Number.NaN);

  const floorsOf = (name: string): number[] => floors.map(({ values }) => values[name]);
  const scale = logRange(
    [...distances.flatMap(({ name }) => [...schedules.map((from) => known(name, from)), floorsOf(name)])].map(
      (values) => values.filter(Number.isFinite),
    ),
    4,
  );
  const data: Plain[] = [];
  distances.forEach(({ name, words }, m) => {
    const dash = DASHES[m % DASHES.length];
    floors.forEach(({ words: floor, values }, f) => {
      const style = { color: f === 0 ? COLOUR.datasetMean : COLOUR.holdStill, dash, width: 1.2 };
      data.push(
        line(UPPER, `${shortened(floor)}`, range, [values[name], values[name]], {
          ...style,
          showlegend: m === 0,
        }),
      );
    });
    schedules.forEach((from, r) => {
      const look = RULES[r % RULES.length];
      data.push(...bands(UPPER, x, from, name, [10 ** scale[0], 10 ** scale[1]], look.color));
      const symbol = m === 0 ? look.symbol : `${look.symbol}-open`;
      data.push(
        line(UPPER, `${from.words}: ${words}`, x, positive(known(name, from)), {
          color: look.color,
          symbol,
          dash,
        }),
      );
    });
  });
  const strip = ratioStrip(population, ratio?.name, x, range);
  return {
    data: [...data, ...strip.data],
    axes: panelAxes(
      3,
      place,
      {
        values: x,
        labels: calls.map(String),
        range,
        title: "calls of the network, whole schedules from the same noise",
      },
      { upper: scale, strip: strip.range },
    ),
    legends: {
      legend3: legendAt(
        place.x[0],
        LEGEND_Y,
        `${population.samples} samples (bands: 95 % from their spread${cutWords(data)})`,
      ),
    },
    shapes: [],
    annotations: [
      panelTitle(`<b>All samples together</b>, against ${population.against}`, place),
      verticalTitle("Fréchet distance", place.x[0], place.upper),
      verticalTitle("ratio", place.x[0], place.strip),
      stripTitle(ratio ? wrap(ratio.words, 60)[0] : "", 4, COLOUR.faint),
    ],
  };
}

/** A floor's words without what is in brackets. */
const shortened = (words: string): string => words.replace(/ \(.*\)$/, "");

function bands(
  place: Place,
  x: number[],
  from: PopulationCurves,
  name: string,
  edges: [number, number],
  color: string,
): Plain[] {
  const kept = x
    .map((_, i) => i)
    .filter((i) => from.values[name][i] !== null && (from.values[name][i] ?? 0) > 0);
  const at = kept.map((i) => x[i]);
  const values = kept.map((i) => from.values[name][i]!);
  const ends = kept.map((i, k) => {
    const half = NORMAL * (from.standard_errors[name][i] ?? 0);
    return { low: values[k] - half, high: values[k] + half };
  });
  return [...bandInside(place, at, ends, edges, color), ...cutMarks(place, at, values, edges, color)];
}

/** From nothing to what is real, with the margin's line. */
function ratioStrip(
  { schedules, measures }: PopulationResult,
  name: string | undefined,
  x: number[],
  range: [number, number],
): { data: Plain[]; range: [number, number] } {
  const measure = measures.find((one) => one.name === name);
  if (name === undefined || !measure)
    return { data: [line(STRIP, "", range, [null, null], { showlegend: false })], range: [0, 1] };
  const all = schedules.flatMap(({ values }) => values[name]).filter((value) => value !== null);
  const own: [number, number] = [Math.min(0, ...all), 1.08 * Math.max(measure.target!, ...all)];
  return {
    range: own,
    data: [
      line(STRIP, "", range, [measure.target, measure.target], {
        ...{ color: COLOUR.nullCurve, dash: "dot", width: 2, showlegend: false },
      }),
      ...schedules.flatMap((from, r) => {
        const look = RULES[r % RULES.length];
        return [
          ...bands(STRIP, x, from, name, own, look.color),
          line(STRIP, "", x, from.values[name], { ...look, showlegend: false }),
        ];
      }),
    ],
  };
}
