/** haar.ts in plain float64 loops, one sum of eight signed terms an element. */
import { HAAR_SCALE } from "./haar.ts";

/** (−1)^(number of axes on which both corners are 1) */
const sign = (a: number, b: number): number =>
  [0, 1, 2].reduce((s, bit) => ((a >> bit) & (b >> bit) & 1 ? -s : s), 1);

/** z (B, ⌈(T + lead)/2⌉, ⌈H/2⌉, ⌈W/2⌉, 8·C) of x (B, T, H, W, C). */
export function haarReference(x: ArrayLike<number>, shape: readonly number[], lead = 0): Float64Array {
  const [B, T, H, W, C] = shape;
  const [t, h, w] = [T + lead, H, W].map((n) => Math.ceil(n / 2));
  const mirrored = (i: number, length: number): number => (i === length ? length - 2 : i);
  const z = new Float64Array(B * t * h * w * 8 * C);
  for (let cell = 0; cell < B * t * h * w; cell++) {
    const [b, i, j, k] = unravel(cell, t, h, w);
    for (let band = 0; band < 8; band++)
      for (let e = 0; e < 8; e++) {
        const frame = Math.max(mirrored(2 * i + (e >> 2), T + lead) - lead, 0);
        const row = mirrored(2 * j + ((e >> 1) & 1), H);
        const column = mirrored(2 * k + (e & 1), W);
        const pixel = ((b * T + frame) * H + row) * W + column;
        for (let c = 0; c < C; c++)
          z[(cell * 8 + band) * C + c] += HAAR_SCALE.forward * sign(band, e) * x[pixel * C + c];
      }
  }
  return z;
}

/** x (B, 2·T − drop, 2·H, 2·W, C) of z (B, T, H, W, 8·C). */
export function inverseHaarReference(z: ArrayLike<number>, shape: readonly number[], drop = 0): Float64Array {
  const [B, T, H, W, bands] = shape;
  const C = bands / 8;
  const x = new Float64Array(B * (2 * T - drop) * 2 * H * 2 * W * C);
  for (let cell = 0; cell < B * T * H * W; cell++) {
    const [b, i, j, k] = unravel(cell, T, H, W);
    for (let e = 0; e < 8; e++) {
      const frame = 2 * i + (e >> 2) - drop;
      if (frame < 0) continue;
      const pixel = ((b * (2 * T - drop) + frame) * 2 * H + 2 * j + ((e >> 1) & 1)) * 2 * W + 2 * k + (e & 1);
      for (let band = 0; band < 8; band++)
        for (let c = 0; c < C; c++)
          x[pixel * C + c] += HAAR_SCALE.inverse * sign(band, e) * z[(cell * 8 + band) * C + c];
    }
  }
  return x;
}

function unravel(cell: number, t: number, h: number, w: number): [number, number, number, number] {
  return [Math.floor(cell / (t * h * w)), Math.floor(cell / (h * w)) % t, Math.floor(cell / w) % h, cell % w];
}
