/**
 * The Fréchet distance of two Gaussians (Dowson & Landau 1982), as generated pictures are judged by it (Heusel et al. 2017):
 *
 *   |m₁ − m₂|² + trace(C₁ + C₂ − 2 (C₁^½ C₂ C₁^½)^½)
 *
 * Of n samples it is too large by about 1/n of the spread, so only sets of equal size are comparable. Matrices are row-major in float64; D × D with D
 * some dozens, for which Jacobi's rotations are short and exact.
 */

export interface Moments {
  /** (D) */
  readonly mean: Float64Array;
  /** (D, D), divided by n − 1 */
  readonly covariance: Float64Array;
}

/**
 * Mean and covariance of rows (n, D).
 * @param counts how often each row counts; default once
 */
export function moments(rows: Float64Array, D: number, counts?: ArrayLike<number>): Moments {
  const n = rows.length / D;
  const mean = new Float64Array(D);
  let total = 0;
  for (let i = 0; i < n; i++) {
    const count = counts ? counts[i] : 1;
    total += count;
    if (count > 0) for (let d = 0; d < D; d++) mean[d] += count * rows[i * D + d];
  }
  for (let d = 0; d < D; d++) mean[d] /= total;
  const covariance = new Float64Array(D * D);
  const centred = new Float64Array(D);
  for (let i = 0; i < n; i++) {
    const count = counts ? counts[i] : 1;
    if (count === 0) continue;
    for (let d = 0; d < D; d++) centred[d] = rows[i * D + d] - mean[d];
    for (let d = 0; d < D; d++) {
      const scaled = count * centred[d];
      for (let e = 0; e <= d; e++) covariance[d * D + e] += scaled * centred[e];
    }
  }
  for (let d = 0; d < D; d++)
    for (let e = 0; e <= d; e++) {
      covariance[d * D + e] /= total - 1;
      covariance[e * D + d] = covariance[d * D + e];
    }
  return { mean, covariance };
}

/** Eigenvalues of a symmetric matrix, and its eigenvectors as columns where they are asked for, by cyclic Jacobi rotations. */
export function symmetricEigen(
  matrix: Float64Array,
  D: number,
  vectors = false,
): { readonly values: Float64Array; readonly vectors: Float64Array } {
  const a = Float64Array.from(matrix);
  const v = new Float64Array(vectors ? D * D : 0);
  if (vectors) for (let d = 0; d < D; d++) v[d * D + d] = 1;
  const scale = a.reduce((sum, x) => sum + x * x, 0);
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let p = 0; p < D; p++) for (let q = 0; q < p; q++) off += a[p * D + q] ** 2;
    if (off <= 1e-28 * scale) break;
    for (let p = 0; p < D; p++)
      for (let q = p + 1; q < D; q++) {
        const apq = a[p * D + q];
        if (apq === 0) continue;
        const theta = (a[q * D + q] - a[p * D + p]) / (2 * apq);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const c = 1 / Math.hypot(t, 1);
        const s = t * c;
        for (let k = 0; k < D; k++) {
          const [kp, kq] = [a[k * D + p], a[k * D + q]];
          a[k * D + p] = c * kp - s * kq;
          a[k * D + q] = s * kp + c * kq;
        }
        for (let k = 0; k < D; k++) {
          const [pk, qk] = [a[p * D + k], a[q * D + k]];
          a[p * D + k] = c * pk - s * qk;
          a[q * D + k] = s * pk + c * qk;
        }
        if (!vectors) continue;
        for (let k = 0; k < D; k++) {
          const [kp, kq] = [v[k * D + p], v[k * D + q]];
          v[k * D + p] = c * kp - s * kq;
          v[k * D + q] = s * kp + c * kq;
        }
      }
  }
  return { values: Float64Array.from({ length: D }, (_, d) => a[d * D + d]), vectors: v };
}

/** The square root of a symmetric matrix without negative eigenvalues; those that rounding made negative count as 0. */
function squareRoot(matrix: Float64Array, D: number): Float64Array {
  const { values, vectors } = symmetricEigen(matrix, D, true);
  const roots = values.map((value) => Math.sqrt(Math.max(0, value)));
  const out = new Float64Array(D * D);
  for (let i = 0; i < D; i++)
    for (let j = 0; j < D; j++)
      for (let k = 0; k < D; k++) out[i * D + j] += vectors[i * D + k] * roots[k] * vectors[j * D + k];
  return out;
}

function product(a: Float64Array, b: Float64Array, D: number): Float64Array {
  const out = new Float64Array(D * D);
  for (let i = 0; i < D; i++)
    for (let k = 0; k < D; k++) {
      const x = a[i * D + k];
      for (let j = 0; j < D; j++) out[i * D + j] += x * b[k * D + j];
    }
  return out;
}

/** The distance to one reference, whose square root is taken once. */
export function frechetTo({ mean, covariance }: Moments): (other: Moments) => number {
  const D = mean.length;
  const root = squareRoot(covariance, D);
  return (other) => {
    const between = product(product(root, other.covariance, D), root, D);
    const { values } = symmetricEigen(between, D);
    let distance = 0;
    for (let d = 0; d < D; d++) {
      distance += (mean[d] - other.mean[d]) ** 2 + covariance[d * D + d] + other.covariance[d * D + d];
      distance -= 2 * Math.sqrt(Math.max(0, values[d]));
    }
    return distance;
  };
}
