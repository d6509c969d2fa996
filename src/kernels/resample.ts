/**
 * Changes of resolution over (B, T, H, W, C), channels last, that need no weights: average pooling, nearest upsampling,
 * copies of the first frame, and patches folded into channels. All but the pooling only move elements (copy.ts).
 *
 *   averagePool: y[b, t, h, w, c] = mean over (a, i, j) of x[b, max(t·f + a − lead, 0), h·f' + i, w·f'' + j, c]
 *
 * One invocation an element of the result.
 */
import { UsageError } from "../errors.ts";
import { result, type Shape, showShape, type Tensor } from "../tensor/tensor.ts";
import type { Triple } from "./conv3d.ts";
import { copyBox, strides } from "./copy.ts";
import { kernel } from "./kernel.ts";

const pool = kernel({
  name: "averagePool",
  params: {
    ...{ size: "u32", frames: "u32", height: "u32", width: "u32", channels: "u32" },
    ...{ outT: "u32", outH: "u32", outW: "u32", ft: "u32", fh: "u32", fw: "u32", lead: "u32" },
  },
  read: { x: "f32" },
  write: { y: "f32" },
  over: "size",
  main: /* wgsl */ `
  let c = index % p.channels;
  let pixel = index / p.channels;
  let w = pixel % p.outW * p.fw;
  let h = pixel / p.outW % p.outH * p.fh;
  let t = pixel / p.outW / p.outH % p.outT * p.ft;
  let b = pixel / p.outW / p.outH / p.outT;
  var sum = 0.0;
  for (var a = 0u; a < p.ft; a++) {
    let frame = b * p.frames + max(t + a, p.lead) - p.lead;
    for (var i = 0u; i < p.fh; i++) {
      for (var j = 0u; j < p.fw; j++) { sum += x[((frame * p.height + h + i) * p.width + w + j) * p.channels + c]; }
    }
  }
  y[index] = sum / f32(p.ft * p.fh * p.fw);`,
});

/**
 * Means over blocks of `factors` frames, rows and columns, after `lead` more copies of the first frame; what does not
 * fill a block is left out. (B, T, H, W, C) → (B, ⌊(T + lead)/f⌋, ⌊H/f'⌋, ⌊W/f''⌋, C)
 * @throws UsageError when not even one block fits
 */
export function averagePool(x: Tensor, factors: Triple, lead = 0): Tensor {
  const [B, T, H, W, C] = x.shape;
  const out = [T + lead, H, W].map((n, axis) => Math.floor(n / factors[axis]));
  if (out.some((n) => n < 1)) {
    throw new UsageError(
      `averagePool: ${showShape(x.shape)} with ${lead} more frames is smaller than (${factors.join(", ")})`,
    );
  }
  const y = result([B, ...out, C], "averagePool");
  const [outT, outH, outW] = out;
  const [ft, fh, fw] = factors;
  pool({
    params: {
      ...{ size: y.size, frames: T, height: H, width: W, channels: C },
      ...{ outT, outH, outW, ft, fh, fw, lead },
    },
    read: { x },
    write: { y },
  });
  return y;
}

/** Every pixel as a square of `factor` by `factor`: (B, T, H, W, C) → (B, T, f·H, f·W, C). */
export function enlargeFrames(x: Tensor, factor: number): Tensor {
  const [B, T, H, W, C] = x.shape;
  const y = result([B, T, H * factor, W * factor, C], "enlargeFrames");
  const pixel = strides([B * T, H, 1, W, 1, C]);
  pixel[2] = pixel[4] = 0;
  const box = [B * T, H, factor, W, factor, C];
  copyBox(x, y, box, { strides: pixel }, { strides: strides(box) });
  return y;
}

/** Every frame twice, except the first: (B, T, H, W, C) → (B, 2·T − 1, H, W, C). */
export function doubleLaterFrames(x: Tensor): Tensor {
  const [B, T, H, W, C] = x.shape;
  const frame = H * W * C;
  const y = result([B, 2 * T - 1, H, W, C], "doubleLaterFrames");
  copyBox(x, y, [B, frame], { strides: [T * frame, 1] }, { strides: [(2 * T - 1) * frame, 1] });
  if (T === 1) return y;
  copyBox(
    x,
    y,
    [B, T - 1, 2, frame],
    { start: frame, strides: [T * frame, frame, 0, 1] },
    { start: frame, strides: [(2 * T - 1) * frame, 2 * frame, frame, 1] },
  );
  return y;
}

/** The first frame `count` more times in front: (B, T, H, W, C) → (B, count + T, H, W, C). */
export function repeatFirstFrame(x: Tensor, count: number): Tensor {
  if (count === 0) return x;
  const [B, T, H, W, C] = x.shape;
  const frame = H * W * C;
  const y = result([B, count + T, H, W, C], "repeatFirstFrame");
  const to = (count + T) * frame;
  copyBox(x, y, [B, count, frame], { strides: [T * frame, 0, 1] }, { strides: [to, frame, 1] });
  copyBox(x, y, [B, T * frame], { strides: [T * frame, 1] }, { start: count * frame, strides: [to, 1] });
  return y;
}

/** Blocks of pixels that become channels: channel c·(volume) + Σ offset · step. */
export interface PatchLayout {
  /** frames, rows and columns of a block */
  readonly size: Triple;
  /** how many channels apart two neighbouring frames, rows and columns of a block are */
  readonly step: Triple;
}

/** Blocks to channels: (B, T, H, W, C) → (B, T/p, H/p', W/p'', C·p·p'·p''). @throws UsageError when they do not divide */
export function foldPatches(x: Tensor, layout: PatchLayout): Tensor {
  const [B, T, H, W, C] = x.shape;
  const [pt, ph, pw] = layout.size;
  if (T % pt !== 0 || H % ph !== 0 || W % pw !== 0) {
    throw new UsageError(
      `foldPatches: blocks of (${layout.size.join(", ")}) do not divide ${showShape(x.shape)}`,
    );
  }
  const y = result([B, T / pt, H / ph, W / pw, C * pt * ph * pw], "foldPatches");
  const walk = patchWalk(x.shape, layout);
  copyBox(x, y, walk.box, { strides: walk.pixels }, { strides: walk.channels });
  return y;
}

/** Channels back to blocks, the inverse of `foldPatches`. @throws UsageError when the channels do not divide */
export function unfoldPatches(y: Tensor, layout: PatchLayout): Tensor {
  const [B, t, h, w, channels] = y.shape;
  const [pt, ph, pw] = layout.size;
  const C = channels / (pt * ph * pw);
  if (!Number.isInteger(C)) {
    throw new UsageError(
      `unfoldPatches: ${showShape(y.shape)} has no whole blocks of (${layout.size.join(", ")})`,
    );
  }
  const x = result([B, t * pt, h * ph, w * pw, C], "unfoldPatches");
  const walk = patchWalk(x.shape, layout);
  copyBox(y, x, walk.box, { strides: walk.channels }, { strides: walk.pixels });
  return x;
}

/** The common walk over (B, t, p, h, p', w, p'', C) of a clip and of its folded form. */
function patchWalk([B, T, H, W, C]: Shape, { size: [pt, ph, pw], step }: PatchLayout) {
  const pixel = strides([B, T, H, W, C]);
  const volume = pt * ph * pw;
  const cell = strides([B, T / pt, H / ph, W / pw, C * volume]);
  return {
    box: [B, T / pt, pt, H / ph, ph, W / pw, pw, C],
    pixels: [pixel[0], pt * pixel[1], pixel[1], ph * pixel[2], pixel[2], pw * pixel[3], pixel[3], 1],
    channels: [cell[0], cell[1], step[0], cell[2], step[1], cell[3], step[2], volume],
  };
}
