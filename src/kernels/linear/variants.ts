/** The programs by name, and which of them run where. */
import { naive } from "./naive.ts";
import type { Preferences } from "../variants.ts";
import type { LinearVariant } from "./program.ts";
import { quads, quadsF16 } from "./quads.ts";
import { shared128, shared128F16, shared64, shared64F16 } from "./shared.ts";
import { split } from "./split.ts";
import { subgroupMatrix, subgroupMatrixF32 } from "./subgroup-matrix.ts";
import { tile, tileF16 } from "./tile.ts";

export const VARIANTS = {
  quads,
  tile,
  shared64,
  shared128,
  split,
  subgroupMatrix,
  subgroupMatrixF32,
  naive,
  quadsF16,
  tileF16,
  shared64F16,
  shared128F16,
} as const satisfies Record<string, LinearVariant>;

export type LinearVariantName = keyof typeof VARIANTS;

/** Shapes of one class run the same variant; a class is timed by its typical shape, see autotune.ts. */
export const SHAPE_CLASSES = {
  few: { rows: 2, inner: 512, columns: 3072 },
  some: { rows: 33, inner: 512, columns: 1536 },
  many: { rows: 1024, inner: 1024, columns: 1024 },
  large: { rows: 2048, inner: 1024, columns: 4096 },
} as const;

export type LinearClass = keyof typeof SHAPE_CLASSES;

/** Outputs that fill a large device with tiles of 128 × 128: 256 of them. */
const LARGE = 2 ** 22;

export const shapeClass = (rows: number, columns: number): LinearClass => {
  if (rows < 256) return rows <= 8 ? "few" : "some";
  return rows * columns < LARGE ? "many" : "large";
};

/**
 * Candidates for a class on a real GPU, the likeliest first: the first is used where nothing was timed. All compute in float32;
 * subgroupMatrix, which does not, is for half-precision arithmetic (IN_F16), or forced by name.
 */
export const ON_GPU: Readonly<Record<LinearClass, readonly LinearVariantName[]>> = {
  few: ["split", "quads", "tile"],
  some: ["shared64", "quads", "tile", "split"],
  many: ["shared64", "shared128", "subgroupMatrixF32", "tile", "quads"],
  large: ["shared128", "shared64", "subgroupMatrixF32", "tile", "quads"],
};

/** On a CPU adapter the order is fixed: two runs on it must give the same bits. */
export const ON_CPU: Readonly<Record<LinearClass, readonly LinearVariantName[]>> = {
  few: ["quads", "tile"],
  some: ["quads", "tile"],
  many: ["quads", "tile"],
  large: ["quads", "tile"],
};

/**
 * The same where what is multiplied may be rounded to half precision. Of few rows all the time goes into reading W, so they stay
 * float32. Fixed orders: nothing is timed. subgroupMatrix is three times as fast as shared128 in float32, and as exact as the other programs in half
 * precision (golden cases, NVIDIA H100, driver 580.159.04, 2026-11-26).
 */
export const IN_F16 = {
  ON_GPU: {
    few: ON_GPU.few,
    some: ["shared64F16", "tileF16"],
    many: ["subgroupMatrix", "shared64F16", "tileF16"],
    large: ["subgroupMatrix", "shared128F16", "shared64F16", "tileF16"],
  },
  ON_CPU: {
    few: ON_CPU.few,
    some: ["quadsF16", "tileF16"],
    many: ["quadsF16", "tileF16"],
    large: ["quadsF16", "tileF16"],
  },
} as const satisfies Preferences<typeof VARIANTS, LinearClass>;
