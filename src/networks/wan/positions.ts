/**
 * Rotary tables of tokens that stand at given positions of three axes: frame, row, column. A head of d channels gives 2⌊d/6⌋ to rows and
 * as many to columns, the rest to frames; pair j of an axis with a channels turns by position · 10000^(−2j/a). In float64, as the
 * reference's tables are, and rounded to float32 once.
 */
import type { Rotary } from "../../kernels/qk-norm.ts";
import { constant } from "../../tensor/tensor.ts";

const BASE = 10_000;

/** (frame, row, column) of a token; may be fractions, and negative. */
export type Position = readonly [frame: number, row: number, column: number];

/** cos and sin of N tokens' angles, (N, d/2) each; axes in the order frame, row, column. */
export function rotaryTables(
  positions: readonly Position[],
  headDim: number,
): { readonly cos: Float32Array<ArrayBuffer>; readonly sin: Float32Array<ArrayBuffer> } {
  const spatial = 2 * Math.floor(headDim / 6);
  const frequencies = [headDim - 2 * spatial, spatial, spatial].map((channels) =>
    Array.from({ length: channels / 2 }, (_, j) => BASE ** ((-2 * j) / channels)),
  );
  const cos = new Float32Array((positions.length * headDim) / 2);
  const sin = new Float32Array(cos.length);
  let at = 0;
  for (const position of positions) {
    for (const [axis, of] of frequencies.entries()) {
      for (const frequency of of) {
        cos[at] = Math.cos(position[axis] * frequency);
        sin[at++] = Math.sin(position[axis] * frequency);
      }
    }
  }
  return { cos, sin };
}

/** Positions of a grid of patches, frame by frame, row by row, from frame `first` on. */
export function gridPositions(frames: number, rows: number, columns: number, first = 0): Position[] {
  return Array.from({ length: frames * rows * columns }, (_, i): Position => {
    const cell = Math.floor(i / columns);
    return [first + Math.floor(cell / rows), cell % rows, i % columns];
  });
}

/** The tables as constants of the recording. */
export function rotaryOf(positions: readonly Position[], headDim: number): Rotary {
  const { cos, sin } = rotaryTables(positions, headDim);
  const shape = [positions.length, headDim / 2];
  return { cos: constant(shape, cos, "rotary cos"), sin: constant(shape, sin, "rotary sin") };
}
