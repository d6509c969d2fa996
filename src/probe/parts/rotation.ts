/**
 * Angles between rotations, in float64. R₁ and R₂ differ by a turn of θ about one axis:
 *
 *   ‖R₁ − R₂‖_F = 2√2 · sin(θ/2)        1 + tr(R₁ᵀR₂) = 4 · cos²(θ/2)        θ = 2 · atan2(sin(θ/2), cos(θ/2))
 *
 * which, unlike the arc cosine of the trace, is as exact near 0 as elsewhere.
 */

const DEGREES = 180 / Math.PI;

/** Nine numbers, row by row. */
export type RotationMatrix = readonly number[];

/**
 * The rotation whose first two rows are given, six numbers: they are made of unit length and at right angles in turn (Gram–Schmidt), the
 * third is their cross product. Rows that have no direction, zero or parallel ones, give NaN.
 */
export function fromRows(values: ArrayLike<number>, at = 0): RotationMatrix {
  const row = (i: number): number[] => [values[at + i], values[at + i + 1], values[at + i + 2]];
  const r1 = unit(row(0));
  const second = row(3);
  const along = dot(second, r1);
  const r2 = unit(second.map((x, i) => x - along * r1[i]));
  const r3 = [r1[1] * r2[2] - r1[2] * r2[1], r1[2] * r2[0] - r1[0] * r2[2], r1[0] * r2[1] - r1[1] * r2[0]];
  return [...r1, ...r2, ...r3];
}

/** The rotation about v by |v| radians (Rodrigues' formula). */
export function fromVector(values: ArrayLike<number>, at = 0): RotationMatrix {
  const [x, y, z] = [values[at], values[at + 1], values[at + 2]];
  const angle = Math.hypot(x, y, z);
  // sin θ / θ, and (1 − cos θ) / θ² by the half angle, which loses nothing near 0.
  const sine = angle > 0 ? Math.sin(angle) / angle : 1;
  const versine = angle > 0 ? 2 * (Math.sin(angle / 2) / angle) ** 2 : 0.5;
  const cosine = Math.cos(angle);
  return [
    ...[cosine + versine * x * x, versine * x * y - sine * z, versine * x * z + sine * y],
    ...[versine * x * y + sine * z, cosine + versine * y * y, versine * y * z - sine * x],
    ...[versine * x * z - sine * y, versine * y * z + sine * x, cosine + versine * z * z],
  ];
}

/** The angle between two rotations, 0 to 180 degrees. */
export function angleBetween(a: RotationMatrix, b: RotationMatrix): number {
  let [squares, trace] = [0, 0];
  for (let i = 0; i < 9; i++) {
    squares += (a[i] - b[i]) ** 2;
    trace += a[i] * b[i];
  }
  return 2 * DEGREES * Math.atan2(Math.sqrt(squares / 8), Math.sqrt(Math.max(0, 1 + trace) / 4));
}

const dot = (a: readonly number[], b: readonly number[]): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

function unit(v: readonly number[]): number[] {
  const length = Math.hypot(v[0], v[1], v[2]);
  return v.map((x) => x / length);
}
