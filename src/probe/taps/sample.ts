/** Which tokens of a tap are compared, and how they are shuffled for the nulls. Everything is drawn from fixed seeds. */
import { mulberry32 } from "../statistics/bootstrap.ts";

/** Most tokens of one tensor of a tap: similarities of a few hundred random rows are those of all to a per cent or so. */
export const MOST_ROWS = 512;

/** Permutations that a null is the mean of. */
export const SHUFFLES = 4;

const ROWS_SEED = 0x70726f62;

/** `rows` distinct tokens of `tokens`, ascending: all of them where they are no more. */
export function sampledRows(tokens: number, rows: number): number[] {
  if (rows >= tokens) return Array.from({ length: tokens }, (_, i) => i);
  return permutation(tokens, ROWS_SEED)
    .slice(0, rows)
    .sort((a, b) => a - b);
}

/** (SHUFFLES, rows) permutations of the rows. */
export const shuffles = (rows: number): number[][] =>
  Array.from({ length: SHUFFLES }, (_, s) => permutation(rows, ROWS_SEED + 1 + s));

/** 0 to `length` − 1 in a random order (Fisher–Yates). */
function permutation(length: number, seed: number): number[] {
  const random = mulberry32(seed);
  const order = Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
