/** What the hidden states do from step to step, whatever is decoded from them: similarity between probed steps with its null. */
import { COLOUR } from "../figure/style.ts";
import type { ProbeResult } from "../result/result.ts";
import { AXIS_NAME, lastStep, roundIndices, short } from "../result/sentences.ts";
import { stepAxis } from "./axes.ts";
import type { Chart, Table } from "./chart.ts";
import { type HeatMap, similarityMap } from "./grid.ts";

type Similarity = NonNullable<ProbeResult["tap_similarity"]>;

/** Most rows and columns of a table. */
const MOST_STEPS = 21;

const column = (matrix: readonly (readonly number[])[]): number[] => matrix.map((row) => row[row.length - 1]);

/** How alike each step's hidden states are to the last one's; null where they were not compared. */
export function similarityChart(result: ProbeResult): Chart | null {
  const { tap_similarity: found, probe_steps: x } = result;
  if (!found) return null;
  const curve = (
    name: string,
    matrix: number[][],
    look: { color: string; symbol: string; dash?: string },
  ) => ({
    ...{ name, x, y: column(matrix) },
    ...look,
  });
  const last = lastStep(result);
  return {
    id: "similarity",
    title: `Hidden states: how alike each step's are to those of step ${last}`,
    alt: `Centred cosine and linear CKA of the hidden states of each ${AXIS_NAME} step with those of step ${last}, each with its null. The numbers are in the table below.`,
    notes: [
      `${sampleWords(found)} Dotted nulls: the same with the tokens of one step shuffled. Only what lies above its null tells that the states have something in common; and states may be alike while the action is not, or the other way round.`,
    ],
    x: stepAxis(result),
    y: { title: "similarity (1: equal up to the mean, or for CKA up to rotation and scale)", log: false },
    curves: [
      curve("centred cosine", found.cosine, { color: COLOUR.truth, symbol: "circle" }),
      curve("linear CKA", found.cka, { color: COLOUR.other, symbol: "square" }),
      curve("null of the cosine", found.cosine_null, {
        color: COLOUR.truth,
        symbol: "circle-open",
        dash: "dot",
      }),
      curve("null of CKA", found.cka_null, { color: COLOUR.other, symbol: "square-open", dash: "dot" }),
    ],
    levels: [{ name: "nothing in common", value: 0, color: COLOUR.holdStill, dash: "dot" }],
    height: 260,
  };
}

/** Between every two probed steps. */
export function similarityMaps(result: ProbeResult): HeatMap[] {
  const { tap_similarity: found } = result;
  if (!found || result.probe_steps.length < 3) return [];
  const map = (id: string, title: string, values: number[][], nulls: number[][]): HeatMap =>
    similarityMap(result, {
      ...{ id, title, values },
      notes: `${between(nulls)} Where the darkest square begins, hidden states have become what they stay.`,
      table: matrixTable(result, title, values, nulls),
    });
  return [
    map("similarity-cosine", "Hidden states, centred cosine between steps", found.cosine, found.cosine_null),
    map("similarity-cka", "Hidden states, linear CKA between steps", found.cka, found.cka_null),
  ];
}

function between(nulls: readonly (readonly number[])[]): string {
  const all = nulls.flat();
  return `With shuffled tokens, the null, it is ${short(Math.min(...all))} to ${short(Math.max(...all))}.`;
}

function matrixTable(
  { probe_steps: steps }: ProbeResult,
  title: string,
  values: number[][],
  nulls: number[][],
): Table {
  const kept = roundIndices(steps, MOST_STEPS);
  return {
    caption: `${title}: mean over episodes and seeds, in brackets the null`,
    head: [`${AXIS_NAME} step`, ...kept.map((k) => String(steps[k]))],
    rows: kept.map((i) => [
      String(steps[i]),
      ...kept.map((j) => `${short(values[i][j])} (${short(nulls[i][j])})`),
    ]),
  };
}

function sampleWords({ rows, tokens, shuffles }: Similarity): string {
  const all = rows.every((n, i) => n === tokens[i]);
  const parts = rows.map((n, i) => (n === tokens[i] ? `${n}` : `${n} of ${tokens[i]}`)).slice(0, 8);
  return `Compared token by token, over ${all ? "all " : ""}${parts.join(" and ")} tokens${all ? "" : ", the same random ones at every step"}; nulls are means of ${shuffles} shuffles.`;
}
