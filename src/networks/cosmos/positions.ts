/**
 * Where a token stands: rotary angles and the learned table (docs/references.md, "positions"; diffusers
 * transformer_cosmos.py). Built on the CPU, in the reference's float32 order, because WGSL's sin and cos are too coarse.
 */
import { UsageError } from "../../errors.ts";
import type { Rotary } from "../../kernels/qk-norm.ts";
import { constant, type Tensor } from "../../tensor/tensor.ts";
import { bfloat16 } from "../../weights/rounded.ts";
import type { CosmosTransformerConfig } from "./config.ts";

/** Patched size of a latent video: (frames, rows, columns) of tokens. */
export type TokenGrid = readonly [number, number, number];

// Frames a second at which temporal positions count whole.
const BASE_FPS = 24;

const f32 = Math.fround;

/**
 * Angles of every position of an axis, [position][j]: position / base^(2j/dim). In bfloat16 the base, the exponents, the powers, their
 * reciprocals and the angles are each rounded, as the released code has them because it casts its buffers: up to 0.09 rad off at
 * 16 × 30 × 40 tokens, and checkpoints trained so want it so.
 */
export function rotaryAngles(
  base: number,
  dim: number,
  positions: readonly number[],
  tables: CosmosTransformerConfig["tables"],
): number[][] {
  const coarse = tables === "bfloat16";
  const round = coarse ? bfloat16 : f32;
  // A scalar base takes the type of the exponents there; float32 tables were never told apart by its rounding.
  const theta = coarse ? round(base) : base;
  const frequencies = Array.from({ length: dim / 2 }, (_, j) =>
    round(1 / round(theta ** round((2 * j) / dim))),
  );
  return positions.map((position) => frequencies.map((frequency) => round(round(position) * frequency)));
}

/** Rotary tables for every token of the grid, each (t·h·w, d/2), axes in order time, height, width. */
export function rotary(config: CosmosTransformerConfig, grid: TokenGrid, fps?: number): Rotary {
  const { headDim, ropeScale, maxSize, patchSize, tables } = config;
  grid.forEach((n, axis) => {
    const limit = Math.max(...maxSize.map((m, a) => Math.floor(m / patchSize[a])));
    if (n > limit)
      throw new UsageError(
        `the rotary table has ${limit} positions; axis ${axis} of ${grid.join("×")} tokens has ${n}`,
      );
  });
  const spatial = Math.floor(headDim / 6) * 2;
  const dims = [headDim - 2 * spatial, spatial, spatial];
  // angles[axis][position][j]
  const angles = dims.map((dim, axis) => {
    const ntk = ropeScale[axis] ** (dim / (dim - 2));
    const positions = Array.from({ length: grid[axis] }, (_, position) =>
      axis === 0 && fps !== undefined ? f32(f32(position / fps) * BASE_FPS) : position,
    );
    return rotaryAngles(10_000 * ntk, dim, positions, tables);
  });
  const half = headDim / 2;
  const [t, h, w] = grid;
  const cos = new Float32Array(t * h * w * half);
  const sin = new Float32Array(t * h * w * half);
  let at = 0;
  for (let i = 0; i < t; i++) {
    for (let j = 0; j < h; j++) {
      for (let k = 0; k < w; k++) {
        for (const angle of [...angles[0][i], ...angles[1][j], ...angles[2][k]]) {
          cos[at] = Math.cos(angle);
          sin[at++] = Math.sin(angle);
        }
      }
    }
  }
  const shape = [t * h * w, half];
  return { cos: constant(shape, cos, "rotary cos"), sin: constant(shape, sin, "rotary sin") };
}

/**
 * The learned position of every token, (t·h·w, D): p_t + p_h + p_w divided by its own RMS plus 1e-6.
 * @throws UsageError when the grid exceeds the tables
 */
export function learnedPositions(tables: readonly Float32Array[], width: number, grid: TokenGrid): Tensor {
  grid.forEach((n, axis) => {
    const limit = tables[axis].length / width;
    if (n > limit)
      throw new UsageError(`the learned positions cover ${limit} tokens on axis ${axis}, the video has ${n}`);
  });
  const [t, h, w] = grid;
  const values = new Float32Array(t * h * w * width);
  let at = 0;
  for (let i = 0; i < t; i++) {
    for (let j = 0; j < h; j++) {
      for (let k = 0; k < w; k++, at += width) {
        let squares = 0;
        for (let c = 0; c < width; c++) {
          const sum = tables[0][i * width + c] + tables[1][j * width + c] + tables[2][k * width + c];
          values[at + c] = sum;
          squares += sum * sum;
        }
        const scale = 1 / (1e-6 + Math.sqrt(squares / width));
        for (let c = 0; c < width; c++) values[at + c] *= scale;
      }
    }
  }
  return constant([t * h * w, width], values, "learned positions");
}
