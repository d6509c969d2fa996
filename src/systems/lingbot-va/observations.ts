/**
 * Pictures as the autoencoder sees them: mirrored where the policy says so, resized, in [−1, 1]. Resizing is bilinear between pixel
 * centres, corners not aligned, without antialiasing; equal sizes stay as they are.
 *
 * Axes: V cameras, T frames, H and W rows and columns.
 */

import { UsageError } from "../../errors.ts";
import type { Picture } from "../policy.ts";
import type { LingbotModel } from "./model.ts";

export interface Preparation {
  /** (rows, columns) of the result */
  readonly size: readonly [number, number];
  readonly mirrored: boolean;
}

/** The two pixels of an axis that a place lies between, and how far behind the first. */
function places(from: number, to: number): readonly (readonly [number, number, number])[] {
  return Array.from({ length: to }, (_, i) => {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, from - 1), at - low] as const;
  });
}

/** Bytes (V, T, 3, H, W) → (V, 3, T, rows, columns). */
export function prepareFrames(
  bytes: Uint8Array,
  [V, T, , H, W]: readonly number[],
  { size: [rows, columns], mirrored }: Preparation,
): Float32Array<ArrayBuffer> {
  const [down, across] = [places(H, rows), places(W, columns)];
  const out = new Float32Array(V * 3 * T * rows * columns);
  for (let v = 0; v < V; v++) {
    for (let t = 0; t < T; t++) {
      for (let c = 0; c < 3; c++) {
        const from = ((v * T + t) * 3 + c) * H * W;
        const to = ((v * 3 + c) * T + t) * rows * columns;
        const pixel = (y: number, x: number): number => bytes[from + y * W + (mirrored ? W - 1 - x : x)];
        for (let y = 0; y < rows; y++) {
          const [y0, y1, fy] = down[y];
          for (let x = 0; x < columns; x++) {
            const [x0, x1, fx] = across[x];
            const above = pixel(y0, x0) * (1 - fx) + pixel(y0, x1) * fx;
            const below = pixel(y1, x0) * (1 - fx) + pixel(y1, x1) * fx;
            out[to + y * columns + x] = (2 * (above * (1 - fy) + below * fy)) / 255 - 1;
          }
        }
      }
    }
  }
  return out;
}

/**
 * Actions between two keyframes: as many observations are looked at as the encoder joins into a latent frame.
 * @throws UsageError when a latent frame's actions do not divide so
 */
export function keyframeStep({ config, vae }: LingbotModel): number {
  const perLatent = 2 ** vae.config.halvesTime.filter(Boolean).length;
  const step = config.actionsPerFrame / perLatent;
  if (Number.isInteger(step)) return step;
  throw new UsageError(
    `LingBot-VA: ${config.actionsPerFrame} actions of a latent frame do not divide among the ${perLatent} pictures that it is made of`,
  );
}

/** Bytes (V, T, 3, H, W) as pictures by camera. */
export function picturesOf(
  bytes: Uint8Array,
  [, T, , height, width]: readonly number[],
  cameras: readonly string[],
): Readonly<Record<string, readonly Picture[]>> {
  const area = height * width;
  const picture = (at: number): Picture => {
    const rgb = new Uint8Array(3 * area);
    for (let c = 0; c < 3; c++) for (let i = 0; i < area; i++) rgb[3 * i + c] = bytes[at + c * area + i];
    return { width, height, rgb };
  };
  return Object.fromEntries(
    cameras.map((name, v) => [name, Array.from({ length: T }, (_, t) => picture((v * T + t) * 3 * area))]),
  );
}
