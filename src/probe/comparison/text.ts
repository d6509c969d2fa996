/** A comparison for a terminal: the runs, how they were made differently, and what that forbids. */
import { short, wrap } from "../result/words.ts";
import type { Comparison } from "./comparison.ts";

const WIDTH = 110;
/** Characters of a value in the table. */
const MOST = 40;

/** @returns lines joined by newlines. */
export function comparisonText({ runs, differences, caveats }: Comparison): string {
  const name = Math.max(...differences.map(({ what }) => what.length), 4);
  const cell = (value: string): string => (value.length > MOST ? `${value.slice(0, MOST - 1)}…` : value);
  return [
    ...runs.flatMap(
      ({ letter, name, statement, verdict, video_steps: N, mse_to_truth: truth, probe_steps: steps }) => [
        `${letter}  ${name}`,
        `   sufficient step: ${verdict.step === null ? "undetermined" : `${verdict.step} of ${N}`}` +
          (truth === null
            ? ""
            : `; error to the truth at step ${steps.at(-1)}: ${short(truth[truth.length - 1])}`),
        ...wrap(statement, WIDTH - 3).map((line) => `   ${line}`),
      ],
    ),
    "",
    ...(differences.length === 0
      ? ["Nothing differs in how they were made."]
      : [
          "What differs in how they were made",
          ...differences.flatMap(({ what, values }) =>
            values.map(
              (value, i) => `  ${(i === 0 ? what : "").padEnd(name)}  ${runs[i].letter}  ${cell(value)}`,
            ),
          ),
        ]),
    "",
    ...caveats.flatMap((caveat) => wrap(caveat, WIDTH)),
  ].join("\n");
}
