/**
 * States of a network as pictures. A state holds pixels from −1 to 1; how many levels a pixel has, and how it is rounded to one, belongs to the data
 * that a network was trained on.
 *
 * Axes: B pictures, C channels, H rows, W columns.
 */
import { FormatError, UsageError } from "../../errors.ts";

export interface Pictures {
  readonly channels: number;
  readonly rows: number;
  readonly columns: number;
  /** a pixel is a whole number from 0 to this; a state's is pixel · 2 / top − 1 */
  readonly top: number;
  readonly rounding: "nearest" | "down";
}

/** Bytes of rows from the top, C of a pixel together. */
export interface Sheet {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/**
 * "pixel / 8 - 1, …" as a model.json says it: the range of a pixel, 0 to twice the divisor, rounded to the nearest.
 * @throws FormatError for other words
 */
export function readNormalisation(words: string, name: string): Pick<Pictures, "top" | "rounding"> {
  const [, divisor] = /^pixel \/ (\d+(?:\.\d+)?) - 1\b/.exec(words) ?? [];
  const top = 2 * Number(divisor);
  if (!Number.isInteger(top) || top < 1)
    throw new FormatError(
      `${name}: image.normalisation is ${JSON.stringify(words)}, expected "pixel / N - 1", a pixel being a whole number from 0 to 2·N`,
    );
  return { top, rounding: "nearest" };
}

/** States (B, C, H, W) → levels of their pixels, 0 to `top`, in the same order. */
export function toLevels(states: Float32Array, { top, rounding }: Pictures): Uint16Array {
  const round = rounding === "nearest" ? Math.round : Math.floor;
  return Uint16Array.from(states, (x) => round(Math.min(Math.max(x / 2 + 0.5, 0), 1) * top));
}

/** Levels → states. */
export const fromLevels = (levels: ArrayLike<number>, { top }: Pictures): Float32Array<ArrayBuffer> =>
  Float32Array.from(levels, (pixel) => (pixel * 2) / top - 1);

/** States (B, C, H, W) → bytes, in the same order. */
export function toBytes(states: Float32Array, pictures: Pictures): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(toLevels(states, pictures), (level) => Math.round((level * 255) / pictures.top));
}

/** Between pictures, in pixels of a picture, and around them. */
const GAP = 1;
const BACKGROUND = 128;

/**
 * Pictures side by side, each pixel a square of `scale` by `scale`: crisp however few there are.
 * @param states (B, C, H, W)
 * @throws UsageError unless pictures have 1 or 3 channels
 */
export function contactSheet(
  states: Float32Array,
  pictures: Pictures,
  { perRow, scale }: { readonly perRow: number; readonly scale: number },
): Sheet {
  const { channels: C, rows: H, columns: W } = pictures;
  if (C !== 1 && C !== 3)
    throw new UsageError(`pictures of ${C} channels; 1 (grey) and 3 (red, green, blue) can be shown`);
  const bytes = toBytes(states, pictures);
  const count = bytes.length / (C * H * W);
  const [across, down] = [Math.min(perRow, count), Math.ceil(count / perRow)];
  const width = (across * (W + GAP) + GAP) * scale;
  const height = (down * (H + GAP) + GAP) * scale;
  const data = new Uint8Array(width * height * C).fill(BACKGROUND);
  for (let b = 0; b < count; b++) {
    const top = (Math.floor(b / perRow) * (H + GAP) + GAP) * scale;
    const left = ((b % perRow) * (W + GAP) + GAP) * scale;
    for (let y = 0; y < H * scale; y++)
      for (let x = 0; x < W * scale; x++) {
        const pixel = Math.floor(y / scale) * W + Math.floor(x / scale);
        for (let c = 0; c < C; c++)
          data[((top + y) * width + left + x) * C + c] = bytes[(b * C + c) * H * W + pixel];
      }
  }
  return { width, height, channels: C, data };
}
