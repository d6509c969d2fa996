/**
 * Pictures as planes and as float RGB. Decoders give the planes alike; their own conversions differ by up to 34 of 255 in one pixel
 * (Chromium 147 takes an unlabelled stream for BT.709) or by 1.5 in the mean (swscale), so the conversion is ours, in Node as in browsers:
 *
 *     y = 255/219·(Y − 16)        u, v = 255/224·(C − 128)        limited range
 *     y = Y                       u, v = C − 128                  full range
 *     R = y + r·v        G = y − g·u − h·v        B = y + b·u     clipped to 0 … 255, not rounded
 *
 * with the numbers of BT.601 unless the file names another matrix. Chroma is repeated (nearest). Of d bits a sample, Y and C are first
 * divided by 2^(d − 8); full range is scaled by 255/(2^d − 1) instead.
 */
import { FormatError } from "../../errors.ts";

/** Y, U, V without padding; U and V are ceil(width/sx) × ceil(height/sy). */
export interface Planes {
  readonly kind: "planes";
  readonly width: number;
  readonly height: number;
  /** pixels that share a sample of chroma, across and down */
  readonly subsampling: readonly [sx: number, sy: number];
  /** of a sample; beyond 8 a sample is two bytes */
  readonly bits: number;
  readonly fullRange: boolean;
  readonly matrix: Matrix;
  readonly y: Uint8Array | Uint16Array;
  readonly u: Uint8Array | Uint16Array;
  readonly v: Uint8Array | Uint16Array;
}

/** Three bytes a pixel. */
export interface Rgb8 {
  readonly kind: "rgb";
  readonly width: number;
  readonly height: number;
  /** (height, width, 3) */
  readonly rgb: Uint8Array;
}

export type Picture = Planes | Rgb8;

/** (3, height, width) in 0 … 255 */
export interface FloatPicture {
  readonly width: number;
  readonly height: number;
  readonly rgb: Float32Array<ArrayBuffer>;
}

/** r, g, h, b from the matrix' weights of red and blue. */
const MATRICES = {
  bt601: [1.402, 0.344136, 0.714136, 1.772],
  bt709: [1.5748, 0.187324, 0.468124, 1.8556],
  bt2020: [1.4746, 0.164553, 0.571353, 1.8814],
} as const;

export type Matrix = keyof typeof MATRICES;

/**
 * The matrix by the name that a container gives it.
 * @throws FormatError for one that is not handled
 */
export function matrixNamed(name: string | null | undefined, where: string): Matrix {
  switch (name) {
    case undefined:
    case null:
    case "bt470bg":
    case "smpte170m":
      return "bt601";
    case "bt709":
      return "bt709";
    case "bt2020-ncl":
      return "bt2020";
    default:
      throw new FormatError(
        `${where} names the colour matrix "${name}"; bt470bg, smpte170m, bt709 and bt2020-ncl are read. Re-encode it: ` +
          "ffmpeg -i IN -pix_fmt yuv420p -colorspace bt709 OUT.",
      );
  }
}

const clip = (value: number): number => (value < 0 ? 0 : value > 255 ? 255 : value);

/** Float RGB by the formula above. */
export function toRgb(picture: Picture): FloatPicture {
  const { width, height } = picture;
  const area = width * height;
  const rgb = new Float32Array(3 * area);
  if (picture.kind === "rgb") {
    for (let c = 0; c < 3; c++) for (let i = 0; i < area; i++) rgb[c * area + i] = picture.rgb[3 * i + c];
    return { width, height, rgb };
  }
  const { y: Y, u: U, v: V, bits, fullRange, matrix, subsampling } = picture;
  const [sx, sy] = subsampling;
  const chromaWidth = Math.ceil(width / sx);
  const unit = 2 ** (bits - 8);
  const whole = 255 / (2 ** bits - 1);
  const [luma, chroma] = fullRange ? [whole, whole] : [255 / 219 / unit, 255 / 224 / unit];
  const [black, grey] = [fullRange ? 0 : 16 * unit, 128 * unit];
  const [r, g, h, b] = MATRICES[matrix];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const i = row * width + column;
      const c = Math.floor(row / sy) * chromaWidth + Math.floor(column / sx);
      const y = luma * (Y[i] - black);
      const u = chroma * (U[c] - grey);
      const v = chroma * (V[c] - grey);
      rgb[i] = clip(y + r * v);
      rgb[area + i] = clip(y - g * u - h * v);
      rgb[2 * area + i] = clip(y + b * u);
    }
  }
  return { width, height, rgb };
}

/**
 * Resized to (rows, columns), whatever the sides' ratio: bilinear as Pillow does it, a triangle as wide as a pixel of the result where that
 * is the larger one, so that nothing is skipped when a picture shrinks. Not rounded.
 */
export function resize(picture: FloatPicture, rows: number, columns: number): FloatPicture {
  const { width, height, rgb } = picture;
  if (width === columns && height === rows) return picture;
  const across = taps(width, columns);
  const down = taps(height, rows);
  const wide = new Float32Array(3 * height * columns);
  for (let line = 0; line < 3 * height; line++) {
    for (let x = 0; x < columns; x++) {
      const { first, weights } = across[x];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * rgb[line * width + first + k];
      wide[line * columns + x] = sum;
    }
  }
  const out = new Float32Array(3 * rows * columns);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < rows; y++) {
      const { first, weights } = down[y];
      for (let x = 0; x < columns; x++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++)
          sum += weights[k] * wide[(c * height + first + k) * columns + x];
        out[(c * rows + y) * columns + x] = sum;
      }
    }
  }
  return { width: columns, height: rows, rgb: out };
}

/** For each of `to` pixels the first of `from` it is made of, and the weights of that and the following. */
function taps(from: number, to: number): { readonly first: number; readonly weights: readonly number[] }[] {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach + 0.5));
    const end = Math.min(from, Math.floor(centre + reach + 0.5));
    const raw = Array.from({ length: end - first }, (_, k) =>
      Math.max(0, 1 - Math.abs(first + k + 0.5 - centre) / reach),
    );
    const sum = raw.reduce((total, weight) => total + weight, 0);
    return { first, weights: raw.map((weight) => weight / sum) };
  });
}

/** Turned by half a circle, as simulators that draw upside down need it. */
export function turned({ width, height, rgb }: FloatPicture): FloatPicture {
  const area = width * height;
  const out = new Float32Array(rgb.length);
  for (let c = 0; c < 3; c++) for (let i = 0; i < area; i++) out[c * area + i] = rgb[c * area + area - 1 - i];
  return { width, height, rgb: out };
}
