/** resample.ts in plain float64 loops: each operation as the input element that every output element looks at. */
import type { Triple } from "./conv3d.ts";
import type { PatchLayout } from "./resample.ts";

/** Calls `visit` for every index of `shape`, in row-major order. */
function forEachIndex(shape: readonly number[], visit: (index: number[], at: number) => void): void {
  const size = shape.reduce((a, b) => a * b, 1);
  const index = new Array<number>(shape.length).fill(0);
  for (let at = 0; at < size; at++) {
    visit(index, at);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
}

const at = (
  [, T, H, W, C]: readonly number[],
  b: number,
  t: number,
  h: number,
  w: number,
  c: number,
): number => (((b * T + t) * H + h) * W + w) * C + c;

export function averagePoolReference(
  x: ArrayLike<number>,
  shape: readonly number[],
  [ft, fh, fw]: Triple,
  lead = 0,
): Float64Array {
  const [B, T, H, W, C] = shape;
  const out = [B, Math.floor((T + lead) / ft), Math.floor(H / fh), Math.floor(W / fw), C];
  const y = new Float64Array(out.reduce((a, b) => a * b, 1));
  forEachIndex(out, ([b, t, h, w, c], i) => {
    forEachIndex([ft, fh, fw], ([dt, dh, dw]) => {
      y[i] += x[at(shape, b, Math.max(t * ft + dt - lead, 0), h * fh + dh, w * fw + dw, c)] / (ft * fh * fw);
    });
  });
  return y;
}

/** Elements of x picked for each element of a result of shape `out`. */
function pick(
  x: ArrayLike<number>,
  out: readonly number[],
  from: (b: number, t: number, h: number, w: number, c: number) => number,
): Float64Array {
  const y = new Float64Array(out.reduce((a, b) => a * b, 1));
  forEachIndex(out, ([b, t, h, w, c], i) => {
    y[i] = x[from(b, t, h, w, c)];
  });
  return y;
}

export function enlargeFramesReference(
  x: ArrayLike<number>,
  shape: readonly number[],
  factor: number,
): Float64Array {
  const [B, T, H, W, C] = shape;
  return pick(x, [B, T, H * factor, W * factor, C], (b, t, h, w, c) =>
    at(shape, b, t, Math.floor(h / factor), Math.floor(w / factor), c),
  );
}

export function doubleLaterFramesReference(x: ArrayLike<number>, shape: readonly number[]): Float64Array {
  const [B, T, H, W, C] = shape;
  return pick(x, [B, 2 * T - 1, H, W, C], (b, t, h, w, c) => at(shape, b, Math.ceil(t / 2), h, w, c));
}

export function repeatFirstFrameReference(
  x: ArrayLike<number>,
  shape: readonly number[],
  count: number,
): Float64Array {
  const [B, T, H, W, C] = shape;
  return pick(x, [B, T + count, H, W, C], (b, t, h, w, c) => at(shape, b, Math.max(t - count, 0), h, w, c));
}

export function foldPatchesReference(
  x: ArrayLike<number>,
  shape: readonly number[],
  { size: [pt, ph, pw], step }: PatchLayout,
): Float64Array {
  const [B, T, H, W, C] = shape;
  const out = [B, T / pt, H / ph, W / pw, C * pt * ph * pw];
  const y = new Float64Array(x.length);
  forEachIndex(shape, ([b, t, h, w, c], i) => {
    const channel = c * pt * ph * pw + (t % pt) * step[0] + (h % ph) * step[1] + (w % pw) * step[2];
    y[at(out, b, Math.floor(t / pt), Math.floor(h / ph), Math.floor(w / pw), channel)] = x[i];
  });
  return y;
}
