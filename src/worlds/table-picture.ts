/** The toy's table as its camera sees it: 32 × 32 pixels from above, discs with soft edges. */
import type { Picture } from "../systems/policy.ts";

/** [x, y] on the unit table, x to the right, y down */
export type Point = readonly [x: number, y: number];
export type Colour = "red" | "blue";
export const COLOURS: readonly Colour[] = ["red", "blue"];

/** pixels a side */
export const CAMERA_SIZE = 32;

const BACKGROUND = [0.12, 0.12, 0.15];
const RADIUS = { block: 0.085, gripper: 0.05 };
const PAINT = {
  ...{ red: [0.9, 0.2, 0.2], blue: [0.2, 0.35, 0.95] },
  ...{ open: [0.95, 0.95, 0.95], closed: [0.98, 0.85, 0.2] },
};
/** of an edge, in 1/pixels */
const SHARPNESS = 1.6;

/**
 * image ← image · (1 − a) + a · colour, a = σ((radius − |q − p|) · 32 · 1.6), of the red block, the blue one and the gripper, in this
 * order; q a pixel's centre, ((column + ½)/32, (row + ½)/32). Bytes are 255 times that, rounded.
 */
export function render(places: Readonly<Record<Colour | "gripper", Point>> & { closed: boolean }): Picture {
  const discs: readonly (readonly [Point, number, readonly number[]])[] = [
    [places.red, RADIUS.block, PAINT.red],
    [places.blue, RADIUS.block, PAINT.blue],
    [places.gripper, RADIUS.gripper, places.closed ? PAINT.closed : PAINT.open],
  ];
  const N = CAMERA_SIZE;
  const rgb = new Uint8Array(3 * N * N);
  for (let row = 0; row < N; row++) {
    for (let column = 0; column < N; column++) {
      const [x, y] = [(column + 0.5) / N, (row + 0.5) / N];
      let [r, g, b] = BACKGROUND;
      for (const [[px, py], radius, paint] of discs) {
        const a = 1 / (1 + Math.exp(-(radius - Math.hypot(x - px, y - py)) * N * SHARPNESS));
        r = r * (1 - a) + a * paint[0];
        g = g * (1 - a) + a * paint[1];
        b = b * (1 - a) + a * paint[2];
      }
      const at = 3 * (row * N + column);
      rgb[at] = Math.round(255 * r);
      rgb[at + 1] = Math.round(255 * g);
      rgb[at + 2] = Math.round(255 * b);
    }
  }
  return { width: N, height: N, rgb };
}
