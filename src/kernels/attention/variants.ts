/** The programs by name, and which of them run where. */
import { flash, flashF16, split, splitF16 } from "./flash.ts";
import { naive } from "./naive.ts";
import type { Preferences } from "../variants.ts";
import type { AttentionVariant } from "./program.ts";
import { quads } from "./quads.ts";
import { splitTile, tile } from "./tile.ts";

export const VARIANTS = {
  quads,
  tile,
  flash,
  split,
  splitTile,
  naive,
  flashF16,
  splitF16,
} as const satisfies Record<string, AttentionVariant>;

export type AttentionVariantName = keyof typeof VARIANTS;

/** Shapes of one class run the same variant; a class is timed by its typical shape, see autotune.ts. */
export const SHAPE_CLASSES = {
  few: { queries: 8, keys: 512, heads: 8, headDim: 64 },
  some: { queries: 64, keys: 512, heads: 16, headDim: 64 },
  long: { queries: 64, keys: 8192, heads: 8, headDim: 128 },
  many: { queries: 2048, keys: 2048, heads: 8, headDim: 128 },
} as const;

export type AttentionClass = keyof typeof SHAPE_CLASSES;

/** Fewer queries than fill a device, and so many keys that they are worth sharing out. */
const LONG = 2048;

export const shapeClass = (queries: number, keys: number): AttentionClass => {
  if (queries >= 256) return "many";
  if (keys >= LONG) return "long";
  return queries <= 8 ? "few" : "some";
};

/**
 * Candidates for a class on a real GPU, the likeliest first: the first is used where nothing was timed. Quads hold up to 8 queries an
 * invocation, more than a GPU's registers; of few queries they hold one or two, less than a tile.
 */
export const ON_GPU: Readonly<Record<AttentionClass, readonly AttentionVariantName[]>> = {
  few: ["quads", "tile"],
  some: ["flash", "tile"],
  long: ["split", "splitTile", "flash", "tile"],
  many: ["flash", "tile"],
};

/**
 * On a CPU adapter the order is fixed: quads are 1.3 to 2.7 times faster than tiles even where most lanes own no query (1 to 8 queries,
 * 80 to 512 keys; SwiftShader 5.0.0, 2026-11-22).
 */
export const ON_CPU: Readonly<Record<AttentionClass, readonly AttentionVariantName[]>> = {
  few: ["quads", "tile"],
  some: ["quads", "tile"],
  long: ["quads", "tile"],
  many: ["quads", "tile"],
};

/** The same where what is multiplied may be rounded to half precision. On a CPU adapter that saves nothing, as it has no workgroup memory to save. */
export const IN_F16 = {
  ON_GPU: {
    few: ON_GPU.few,
    some: ["flashF16", ...ON_GPU.some],
    long: ["splitF16", ...ON_GPU.long],
    many: ["flashF16", ...ON_GPU.many],
  },
  ON_CPU,
} as const satisfies Preferences<typeof VARIANTS, AttentionClass>;
