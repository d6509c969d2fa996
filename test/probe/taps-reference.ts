/** Centred cosine and linear CKA in float64, as they are defined: the second by the products of channels, not of tokens. */

type Rows = readonly (readonly number[])[];

/** (tokens × channels) numbers as rows. */
export const rowsOf = (values: ArrayLike<number>, tokens: number, channels: number): number[][] =>
  Array.from({ length: tokens }, (_, t) =>
    Array.from({ length: channels }, (_, c) => values[t * channels + c]),
  );

export function centred(x: Rows): number[][] {
  const mean = x[0].map((_, c) => x.reduce((sum, row) => sum + row[c], 0) / x.length);
  return x.map((row) => row.map((value, c) => value - mean[c]));
}

const inner = (a: Rows, b: Rows): number =>
  a.reduce((sum, row, p) => sum + row.reduce((s, value, q) => s + value * b[p][q], 0), 0);

/** XᵀY, (channels of x, channels of y). */
const crossed = (x: Rows, y: Rows): number[][] =>
  x[0].map((_, i) => y[0].map((_, j) => x.reduce((sum, row, t) => sum + row[i] * y[t][j], 0)));

export function cosineOf(x: Rows, y: Rows): number {
  const [a, b] = [centred(x), centred(y)];
  return inner(a, b) / Math.sqrt(inner(a, a) * inner(b, b));
}

export function ckaOf(x: Rows, y: Rows): number {
  const [a, b] = [centred(x), centred(y)];
  const norm = (m: Rows): number => Math.sqrt(inner(m, m));
  return norm(crossed(b, a)) ** 2 / (norm(crossed(a, a)) * norm(crossed(b, b)));
}
