/** All samples together: a figure for each measure by calls of the network, a curve for each way to spend them, and other sets for scale. */
import { COLOUR } from "../figure/style.ts";
import type { PopulationCurves, PopulationResult } from "../result/population.ts";
import { short } from "../result/words.ts";
import type { Chart, ChartCurve, ChartLevel, Table } from "./chart.ts";

const LOOKS = [
  { color: COLOUR.truth, symbol: "circle" },
  { color: COLOUR.last, symbol: "square" },
  { color: COLOUR.other, symbol: "diamond" },
] as const;
/** Of a two-sided 95 % interval. */
const NORMAL = 1.96;

/** In the order of the measures: those that judge, then the others. */
export function populationCharts(population: PopulationResult): Chart[] {
  const { measures, schedules, stop, samples, against } = population;
  return measures.map(({ name, words, target, margin }): Chart => {
    const calls = [...new Set([...schedules.flatMap((from) => from.calls), ...stop.calls])].sort(
      (a, b) => a - b,
    );
    const ways: {
      words: string;
      from: PopulationCurves;
      look: { color: string; symbol: string; dash?: string };
    }[] = [
      ...schedules.map((from, r) => ({ words: from.words, from, look: LOOKS[r % LOOKS.length] })),
      {
        words: "the longest, stopped and one call more from there",
        from: stop,
        look: { color: COLOUR.mark, symbol: "circle-open", dash: "dash" },
      },
    ];
    const curves = ways.flatMap(({ words: way, from, look }): ChartCurve[] => {
      const kept = from.calls.map((_, i) => i).filter((i) => from.values[name][i] !== null);
      if (kept.length === 0) return [];
      return [
        {
          name: way,
          x: kept.map((i) => Math.log2(from.calls[i])),
          y: kept.map((i) => from.values[name][i]!),
          interval: kept.map((i) => {
            const half = NORMAL * (from.standard_errors[name][i] ?? 0);
            return { low: from.values[name][i]! - half, high: from.values[name][i]! + half };
          }),
          ...look,
        },
      ];
    });
    return {
      id: `population-${name.replaceAll("_", "-")}`,
      title: words[0].toUpperCase() + words.slice(1),
      alt: `${words} by calls of the network. The numbers are in the table below.`,
      notes: [
        `${samples} samples from the same noise by every way, against ${against}; bands are 95 % from the spread of the samples.`,
        ...(margin === null
          ? [
              "This judges nothing: the mean of each class, over and over, is right every time and near what was seen in training.",
            ]
          : [
              `A schedule may be worse than the longest by ${short(margin)}, 5 % of the error of ${population.margin_source}.`,
            ]),
      ],
      x: {
        title: "calls of the network",
        all: calls.map((count) => ({ at: Math.log2(count), name: `${count}` })),
        ticks: schedules[0]?.calls.map((count) => ({ at: Math.log2(count), label: `${count}` })) ?? [],
      },
      y: { title: words, log: target === 0 },
      curves,
      levels: levelsOf(population, name, target),
      height: 280,
    };
  });
}

function levelsOf({ floors }: PopulationResult, name: string, target: number | null): ChartLevel[] {
  const looks = [
    { color: COLOUR.datasetMean, dash: "longdash" },
    { color: COLOUR.holdStill, dash: "longdash" },
  ];
  return [
    ...floors.map(({ words, values }, f) => ({
      ...{ name: words.replace(/ \(.*\)$/, ""), value: values[name] },
      ...looks[f % looks.length],
    })),
    ...(target !== null && target !== 0
      ? [{ name: "as real ones", value: target, color: COLOUR.mark, dash: "dot" }]
      : []),
  ];
}

/** Every measure of every other set. */
export function populationFloors({ floors, measures }: PopulationResult): Table {
  return {
    caption: "Other sets, for scale",
    head: ["set", ...measures.map(({ words }) => words)],
    rows: floors.map(({ words, values }) => [words, ...measures.map(({ name }) => short(values[name]))]),
  };
}
