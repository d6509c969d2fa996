/**
 * One level of the three-dimensional Haar transform and its inverse (diffusers `CosmosPatchEmbed3d`, `CosmosUnpatcher3d`).
 *
 *   z[band, c] = f · Σ_e (−1)^(band · e) x[2·(t, h, w) + e, c]        f = s³ / √8
 *   x[2·(t, h, w) + e, c] = g · Σ_band (−1)^(band · e) z[band, c]     g = s³ · √8
 *
 * band and e run over the eight corners of a cube, in the order time, height, width with width fastest (LLL, LLH, LHL, …,
 * HHH); band · e counts the axes on which both are 1. s is 1/√2 as the reference stores it, rounded to float32.
 * Layout: x (B, T, H, W, C), z (B, ⌈T/2⌉, ⌈H/2⌉, ⌈W/2⌉, 8·C), channels last. An odd axis is extended by one: the element
 * before the last, again. One invocation owns the eight bands of one cell and channel: eight reads, eight writes.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { invocations } from "./variants.ts";

const LEVEL = Math.fround(Math.SQRT1_2) ** 3;

/** f and g of the equations above */
export const HAAR_SCALE = { forward: LEVEL / Math.sqrt(8), inverse: LEVEL * Math.sqrt(8) } as const;

const CUBE = /* wgsl */ `
struct Cube { near: vec4f, far: vec4f }

// Sums and differences along time, height and width; doing it twice gives eight times the same cube.
fn butterflies(cube: Cube) -> Cube {
  var a = cube.near + cube.far;
  var b = cube.near - cube.far;
  a = vec4f(a.xy + a.zw, a.xy - a.zw);
  b = vec4f(b.xy + b.zw, b.xy - b.zw);
  return Cube(vec4f(a.x + a.y, a.x - a.y, a.z + a.w, a.z - a.w), vec4f(b.x + b.y, b.x - b.y, b.z + b.w, b.z - b.w));
}
`;

/** A direction; size counts the cells times their channels. */
const level = (name: string, functions: string, main: string) =>
  kernel({
    name,
    params: {
      ...{ size: "u32", frames: "u32", height: "u32", width: "u32", channels: "u32" },
      ...{ cellsT: "u32", cellsH: "u32", cellsW: "u32", offset: "u32", scale: "f32" },
    },
    read: { x: "f32" },
    write: { y: "f32" },
    over: "size",
    workgroup: invocations,
    functions,
    main,
  });

/** offset: how many copies of the first frame stand before the clip */
const forward = level(
  "haar",
  /* wgsl */ `
${CUBE}
fn mirrored(i: u32, length: u32) -> u32 { return select(i, length - 2u, i == length); }`,
  /* wgsl */ `
  let c = index % p.channels;
  let cell = index / p.channels;
  let w = cell % p.cellsW * 2u;
  let h = cell / p.cellsW % p.cellsH * 2u;
  let t = cell / p.cellsW / p.cellsH % p.cellsT * 2u;
  let b = cell / p.cellsW / p.cellsH / p.cellsT;
  var cube = array<f32, 8>();
  for (var e = 0u; e < 8u; e++) {
    let frame = max(mirrored(t + e / 4u, p.frames + p.offset), p.offset) - p.offset;
    let row = mirrored(h + e / 2u % 2u, p.height);
    let column = mirrored(w + e % 2u, p.width);
    cube[e] = x[(((b * p.frames + frame) * p.height + row) * p.width + column) * p.channels + c];
  }
  let bands = butterflies(Cube(vec4f(cube[0], cube[1], cube[2], cube[3]), vec4f(cube[4], cube[5], cube[6], cube[7])));
  for (var e = 0u; e < 4u; e++) {
    y[(cell * 8u + e) * p.channels + c] = bands.near[e] * p.scale;
    y[(cell * 8u + e + 4u) * p.channels + c] = bands.far[e] * p.scale;
  }`,
);

/** offset: how many of the first frames are dropped; frames counts those that stay */
const inverse = level(
  "inverseHaar",
  CUBE,
  /* wgsl */ `
  let c = index % p.channels;
  let cell = index / p.channels;
  let w = cell % p.cellsW * 2u;
  let h = cell / p.cellsW % p.cellsH * 2u;
  let t = cell / p.cellsW / p.cellsH % p.cellsT * 2u;
  let b = cell / p.cellsW / p.cellsH / p.cellsT;
  var bands = Cube();
  for (var e = 0u; e < 4u; e++) {
    bands.near[e] = x[(cell * 8u + e) * p.channels + c];
    bands.far[e] = x[(cell * 8u + e + 4u) * p.channels + c];
  }
  let cube = butterflies(bands);
  for (var e = 0u; e < 8u; e++) {
    let frame = t + e / 4u;
    if (frame < p.offset) { continue; }
    let pixel = ((b * p.frames + frame - p.offset) * p.height + h + e / 2u % 2u) * p.width + w + e % 2u;
    y[pixel * p.channels + c] = select(cube.near[e % 4u], cube.far[e % 4u], e >= 4u) * p.scale;
  }`,
);

/**
 * One level: (B, T, H, W, C) → (B, ⌈(T + lead)/2⌉, ⌈H/2⌉, ⌈W/2⌉, 8·C), where the clip begins with `lead` more copies of its
 * first frame.
 * @throws UsageError when an axis is shorter than 2: the reference has nothing to mirror there
 */
export function haar(x: Tensor, lead = 0): Tensor {
  const [B, T, H, W, C] = x.shape;
  if (T + lead < 2 || H < 2 || W < 2) {
    throw new UsageError(
      `haar: ${showShape(x.shape)} with ${lead} more frames needs at least 2 frames, rows and columns`,
    );
  }
  const cells = [T + lead, H, W].map((n) => Math.ceil(n / 2));
  const y = result([B, ...cells, 8 * C], "haar");
  const [cellsT, cellsH, cellsW] = cells;
  forward({
    params: {
      ...{ size: B * cellsT * cellsH * cellsW * C, frames: T, height: H, width: W, channels: C },
      ...{ cellsT, cellsH, cellsW, offset: lead, scale: HAAR_SCALE.forward },
    },
    read: { x },
    write: { y },
  });
  return y;
}

/**
 * One level back: (B, T, H, W, 8·C) → (B, 2·T − drop, 2·H, 2·W, C), without the first `drop` frames.
 * @throws UsageError when the channels are no multiple of 8 or no frame would be left
 */
export function inverseHaar(z: Tensor, drop = 0): Tensor {
  const [B, T, H, W, bands] = z.shape;
  if (bands % 8 !== 0 || drop >= 2 * T) {
    throw new UsageError(
      `inverseHaar: ${showShape(z.shape)} without ${drop} frames: 8 bands and a frame are needed`,
    );
  }
  const C = bands / 8;
  const y = result([B, 2 * T - drop, 2 * H, 2 * W, C], "inverseHaar");
  inverse({
    params: {
      ...{ size: B * T * H * W * C, frames: 2 * T - drop, height: 2 * H, width: 2 * W, channels: C },
      ...{ cellsT: T, cellsH: H, cellsW: W, offset: drop, scale: HAAR_SCALE.inverse },
    },
    read: { x: z },
    write: { y },
  });
  return y;
}
