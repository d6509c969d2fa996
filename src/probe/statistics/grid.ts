/**
 * Video step × action step: the error of both read-outs at every action step of every probe step's decode. Means over
 * episodes and seeds; axis letters as in measurement.ts.
 */
import { type Chunk, squaredError } from "./curve.ts";
import type { EpisodeMeasurement } from "../experiment/measurement.ts";

/** Mean squared errors of one read-out, (K, points). */
export interface GridReadOut {
  /** Against x_M of the same decode. */
  toFinal: number[][];
  /** Against the decode at the last video step. */
  toLast: number[][];
  /** Against the true actions; null when they are not known. */
  toTruth: number[][] | null;
}

/** `iterate` has M + 1 points a row, `oneJump` M. */
export interface ErrorGrid {
  iterate: GridReadOut;
  oneJump: GridReadOut;
}

/**
 * @param sizes `runs` is V·S, `size` is T·D, `positions` T.
 * @param weights (E) what each episode counts; they sum to 1.
 */
export function errorGrid(
  episodes: EpisodeMeasurement[],
  sizes: { runs: number; K: number; M: number; size: number; positions: number },
  weights: ArrayLike<number>,
  truthKnown: boolean,
): ErrorGrid {
  const { runs, K, M, size, positions: T } = sizes;
  type Pick = (episode: EpisodeMeasurement, run: number, k: number) => Chunk;
  const decoded: Pick = (e, run, k) => ({ data: e.actions, offset: (run * K + k) * size });
  const last: Pick = (e, run) => decoded(e, run, K - 1);
  const truth: Pick = (e) => ({ data: e.truth!, offset: 0, known: e.truthPositions });

  const table = (points: number, estimate: (point: number) => Pick, reference: Pick): number[][] =>
    Array.from({ length: K }, (_, k) =>
      Array.from({ length: points }, (_, point) => {
        const pick = estimate(point);
        let sum = 0;
        episodes.forEach((e, i) => {
          for (let run = 0; run < runs; run++) {
            const to = reference(e, run, k);
            const known = size * ((to.known ?? T) / T);
            sum += (weights[i] * squaredError(pick(e, run, k), to, known)) / runs;
          }
        });
        return sum;
      }),
    );
  const readOut = (points: number, estimate: (point: number) => Pick): GridReadOut => ({
    toFinal: table(points, estimate, decoded),
    toLast: table(points, estimate, last),
    toTruth: truthKnown ? table(points, estimate, truth) : null,
  });
  return {
    iterate: readOut(M + 1, (n) => (e, run, k) => ({
      data: e.iterates,
      offset: ((run * K + k) * (M + 1) + n) * size,
    })),
    oneJump: readOut(M, (n) => (e, run, k) => ({ data: e.oneJump, offset: ((run * K + k) * M + n) * size })),
  };
}
