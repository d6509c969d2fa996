/**
 * Cameras' pictures from arrays, read as openpi reads them: bytes, or floats from 0 to 1, which become bytes by cutting 255 x off; rows
 * first or channels first.
 *
 * Axes: F frames, H rows, W columns, 3 colours.
 */
import { FormatError, UsageError } from "../errors.ts";
import type { Picture } from "../systems/policy.ts";
import type { NdArray } from "./ndarray.ts";

/**
 * One picture.
 * @param array (H, W, 3) or (3, H, W)
 * @param name of the key, for errors
 * @param mostPixels H W at most
 * @throws UsageError for another shape or dtype; FormatError for floats beyond [0, 1]
 */
export function readPicture(array: NdArray, name: string, mostPixels: number): Picture {
  if (array.shape.length !== 3)
    throw new UsageError(
      `${name} has shape (${array.shape.join(", ")}); a picture is (rows, columns, 3)` +
        `${array.shape.length === 4 ? ". A stack of frames goes into frames, oldest first" : ""}.`,
    );
  return picturesOf(array, [1, ...array.shape], name, mostPixels)[0];
}

/**
 * A stack, oldest first.
 * @param array (F, H, W, 3) or (F, 3, H, W), F at least 1
 * @throws as `readPicture`
 */
export function readStack(array: NdArray, name: string, mostPixels: number): Picture[] {
  if (array.shape.length !== 4 || array.shape[0] === 0)
    throw new UsageError(
      `${name} has shape (${array.shape.join(", ")}); a stack is (frames, rows, columns, 3), oldest first.`,
    );
  return picturesOf(array, array.shape, name, mostPixels);
}

function picturesOf(
  array: NdArray,
  [frames, a, b, c]: readonly number[],
  name: string,
  mostPixels: number,
): Picture[] {
  const channelsFirst = c !== 3 && a === 3;
  const [height, width] = channelsFirst ? [b, c] : [a, b];
  const shape = `(${array.shape.join(", ")})`;
  if (!channelsFirst && c !== 3)
    throw new UsageError(`${name} has shape ${shape}; a picture has 3 colours, last or first.`);
  if (height * width === 0) throw new UsageError(`${name} has shape ${shape}: no pixels.`);
  if (height * width > mostPixels)
    throw new UsageError(
      `${name} has shape ${shape}: ${height * width} pixels, more than ${mostPixels}. Resize it before it is sent.`,
    );
  const bytes = colourBytes(array, name);
  const size = height * width * 3;
  return Array.from({ length: frames }, (_, f) => {
    const one = bytes.subarray(f * size, (f + 1) * size);
    return { width, height, rgb: channelsFirst ? rowsFirst(one, height * width) : one };
  });
}

function colourBytes(array: NdArray, name: string): Uint8Array {
  if (array.dtype.slice(1) === "u1") return array.bytes;
  if (array.kind !== "f")
    throw new UsageError(`${name} is ${array.dtype}; a picture is uint8, or floats from 0 to 1.`);
  const product = ROUND[array.dtype.slice(1)];
  return Uint8Array.from(array.numbers(), (value) => {
    if (!(value >= 0 && value <= 1))
      throw new FormatError(`${name} holds ${value}; a picture of floats is from 0 to 1.`);
    return product(255 * value);
  });
}

/** What numpy's product is in the array's own precision, before it is cut to a byte. */
const ROUND: Readonly<Record<string, (value: number) => number>> = {
  f8: (value) => value,
  f4: Math.fround,
  // 11 bits; 255 x is below 256, so that no subnormal number matters once it is cut.
  f2: (value) => {
    const unit = 2 ** (Math.floor(Math.log2(Math.max(value, 2 ** -14))) - 10);
    const whole = Math.floor(value / unit);
    const rest = value / unit - whole;
    return (rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole) * unit;
  },
};

/** (3, pixels) → (pixels, 3) */
function rowsFirst(planes: Uint8Array, pixels: number): Uint8Array {
  const rgb = new Uint8Array(planes.length);
  for (let pixel = 0; pixel < pixels; pixel++)
    for (let colour = 0; colour < 3; colour++) rgb[3 * pixel + colour] = planes[colour * pixels + pixel];
  return rgb;
}
