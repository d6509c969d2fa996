/** norm.ts and qk-norm.ts in plain float64 loops. */
import type { NormKind } from "./norm.ts";

/** x̂ of every row of x (rows, dim). */
export function normReference(
  x: ArrayLike<number>,
  dim: number,
  kind: NormKind,
  epsilon: number,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += dim) {
    // Divided at the end: the sum of a row of float32 is nearly exact in float64, that of its quotients is not.
    let sum = 0;
    if (kind === "layer") {
      for (let i = 0; i < dim; i++) sum += x[start + i];
    }
    const mean = sum / dim;
    let squares = 0;
    for (let i = 0; i < dim; i++) squares += (x[start + i] - mean) ** 2;
    const factor =
      kind === "l2"
        ? Math.sqrt(dim) / Math.max(Math.sqrt(squares), epsilon)
        : 1 / Math.sqrt(squares / dim + epsilon);
    for (let i = 0; i < dim; i++) y[start + i] = (x[start + i] - mean) * factor;
  }
  return y;
}

/** Half-split rotation of every head; angles (tokens, d/2). */
export function rotateReference(
  x: ArrayLike<number>,
  heads: number,
  dim: number,
  tokens: number,
  angles: ArrayLike<number>,
): Float64Array {
  const y = new Float64Array(x.length);
  const half = dim / 2;
  for (let head = 0; head * dim < x.length; head++) {
    const token = Math.floor(head / heads) % tokens;
    for (let c = 0; c < half; c++) {
      const [a, b] = [x[head * dim + c], x[head * dim + half + c]];
      const angle = angles[token * half + c];
      y[head * dim + c] = a * Math.cos(angle) - b * Math.sin(angle);
      y[head * dim + half + c] = b * Math.cos(angle) + a * Math.sin(angle);
    }
  }
  return y;
}

/** The tangent of `normReference` where x moves by dx: s·(ẋ − mean(ẋ) − x̂·mean(x̂ ⊙ ẋ)), without the mean for rms and l2. */
export function normTangentReference(
  x: ArrayLike<number>,
  dx: ArrayLike<number>,
  dim: number,
  kind: NormKind,
  epsilon: number,
): Float64Array {
  const normed = normReference(x, dim, kind, epsilon);
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += dim) {
    let [mean, squares, dMean, along] = [0, 0, 0, 0];
    for (let i = start; i < start + dim; i++) {
      if (kind === "layer") mean += x[i] / dim;
      if (kind === "layer") dMean += dx[i] / dim;
      along += (normed[i] * dx[i]) / dim;
    }
    for (let i = start; i < start + dim; i++) squares += (x[i] - mean) ** 2;
    const length = Math.sqrt(squares);
    if (kind === "l2" && length <= epsilon) along = 0;
    const factor =
      kind === "l2" ? Math.sqrt(dim) / Math.max(length, epsilon) : 1 / Math.sqrt(squares / dim + epsilon);
    for (let i = start; i < start + dim; i++) y[i] = factor * (dx[i] - dMean - normed[i] * along);
  }
  return y;
}
