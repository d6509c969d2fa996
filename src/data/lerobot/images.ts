/** Pictures that lie in the rows of a table: PNG as the writer makes them, JPEG as converters do. Decoded alike in Node and browsers. */
import { decode as decodePng } from "fast-png";
import { decode as decodeJpeg } from "jpeg-js";
import { FormatError } from "../../errors.ts";
import type { Rgb8 } from "./pixels.ts";

/** Megapixels of one picture, and megabytes that decoding one may take: a damaged header may say anything. */
const MOST = { maxResolutionInMP: 100, maxMemoryUsageInMB: 1024 };

/**
 * The picture of a cell, `{bytes, path}`.
 * @param where names the cell in messages
 * @throws FormatError when it holds no bytes, or another kind of picture
 */
export function decodeImage(cell: unknown, where: string): Rgb8 {
  const { bytes, path } = (cell ?? {}) as { bytes?: unknown; path?: unknown };
  const data = cell instanceof Uint8Array ? cell : bytes;
  if (!(data instanceof Uint8Array)) {
    const beside = typeof path === "string" ? `, only the path ${JSON.stringify(path)}` : "";
    throw new FormatError(
      `${where} holds no picture's bytes${beside}. Convert the set with its pictures embedded.`,
    );
  }
  try {
    if (data[0] === 0x89 && data[1] === 0x50) return fromPng(data);
    if (data[0] === 0xff && data[1] === 0xd8) return fromJpeg(data);
  } catch (error) {
    throw new FormatError(`${where}: the picture cannot be decoded: ${(error as Error).message}.`, {
      cause: error,
    });
  }
  const start = [...data.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  throw new FormatError(`${where} is neither PNG nor JPEG; it begins with ${start || "nothing"}.`);
}

function fromPng(bytes: Uint8Array): Rgb8 {
  const { width, height, data, channels, depth, palette } = decodePng(bytes);
  const rgb = new Uint8Array(3 * width * height);
  // Sixteen bits become eight by their upper byte, as Pillow does it.
  const shift = depth === 16 ? 8 : 0;
  // Grey of few bits, and entries of a palette, stand several in a byte.
  const sample =
    depth < 8
      ? (i: number): number => {
          const [row, column] = [Math.floor(i / width), i % width];
          const bit = column * depth;
          const stride = Math.ceil((width * depth) / 8);
          return (data[row * stride + (bit >> 3)] >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
        }
      : (i: number): number => data[i] >> shift;
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      if (palette) rgb[3 * i + c] = palette[sample(i)][c];
      else if (channels >= 3) rgb[3 * i + c] = sample(i * channels + c);
      else rgb[3 * i + c] = depth < 8 ? (sample(i) * 255) / (2 ** depth - 1) : sample(i * channels);
    }
  }
  return { kind: "rgb", width, height, rgb };
}

function fromJpeg(bytes: Uint8Array): Rgb8 {
  const { width, height, data } = decodeJpeg(bytes, { useTArray: true, formatAsRGBA: false, ...MOST });
  return { kind: "rgb", width, height, rgb: data };
}
