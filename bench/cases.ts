/**
 * What is timed: one operation at one size, with its counts, our recording of it, what a right result is, and the same job for
 * a peer. Counts are of the operation, not of any program: a multiply and an add are two, and each operand is read, each
 * result written, once.
 */
import { attention } from "../src/kernels/attention.ts";
import { attentionReference } from "../src/kernels/attention.reference.ts";
import { conv3d } from "../src/kernels/conv3d.ts";
import { conv3dReference } from "../src/kernels/conv3d.reference.ts";
import { filteredResample, type Resampling } from "../src/kernels/filtered-resample.ts";
import { filteredResampleReference } from "../src/kernels/filtered-resample.reference.ts";
import { gru, packRecurrent } from "../src/kernels/gru.ts";
import { gruReference } from "../src/kernels/gru.reference.ts";
import { linear } from "../src/kernels/linear.ts";
import { linearReference } from "../src/kernels/linear.reference.ts";
import { modulate } from "../src/kernels/modulate.ts";
import { modulateReference } from "../src/kernels/modulate.reference.ts";
import { modulatedNorm } from "../src/kernels/norm.ts";
import { normReference } from "../src/kernels/norm.reference.ts";
import type { Gpu } from "../src/gpu/gpu.ts";
import { Matrix } from "../src/tensor/matrix.ts";
import { createTensor, releaseTensor, type Tensor } from "../src/tensor/tensor.ts";
import { uniform } from "../test/support/numbers.ts";
import { type Peer, type PeerJob, transpose } from "./peers/peer.ts";

/** The operands of a case on the device. */
export interface Prepared {
  /** called inside `record` */
  readonly compute: () => Tensor;
  readonly release: () => void;
}

/** Elements of a right result from `at` on, in float64. */
export interface Truth {
  readonly at: number;
  readonly values: ArrayLike<number>;
}

export interface Case {
  readonly name: string;
  /** the kernel whose variants are compared */
  readonly kernel: "linear" | "attention" | "norm" | "conv3d" | "gru" | "filteredResample" | "modulate";
  readonly flop: number;
  readonly bytes: number;
  /** which roof it is measured against */
  readonly boundBy: "arithmetic" | "memory";
  readonly prepare: (gpu: Gpu) => Prepared;
  /** as much of a right result as is cheap enough to compute, its first and last rows included */
  readonly truth: () => readonly Truth[];
  /** undefined when the peer does not have the operation */
  readonly peer: (peer: Peer) => Promise<PeerJob> | undefined;
}

const put = (gpu: Gpu, shape: readonly number[], data: Float32Array | Uint32Array): Tensor =>
  createTensor(gpu, shape, data, "bench");

/** Computed when first asked for: a list of cases costs nothing. */
function lazy<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** Rows whose results are compared with the reference: all of a large product would take plain loops minutes. */
const checkedRows = (rows: number): number[] =>
  [...new Set([0, 1, rows >> 1, rows - 2, rows - 1])].filter((row) => row >= 0 && row < rows);

const rowOf = (data: Float32Array, row: number, width: number): Float32Array =>
  data.subarray(row * width, (row + 1) * width);

/** float32 → the bits of the nearest bfloat16, and those widened again. */
function bfloat16(values: Float32Array): { bits: Uint16Array; widened: Float32Array<ArrayBuffer> } {
  const words = new Uint32Array(values.slice().buffer);
  const bits = Uint16Array.from(words, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
  return { bits, widened: new Float32Array(Uint32Array.from(bits, (b) => b << 16).buffer) };
}

/** @param dtype how the weight is stored; peers have it in float32 */
export function matmulCase(M: number, K: number, N: number, dtype: "f32" | "bf16" = "f32"): Case {
  const data = lazy(() => {
    const w = uniform(2, N * K);
    const { bits, widened } = bfloat16(w);
    return { x: uniform(1, M * K), w: dtype === "bf16" ? widened : w, stored: dtype === "bf16" ? bits : w };
  });
  const weightBytes = dtype === "bf16" ? 2 : 4;
  return {
    name: `matmul ${M}×${K}×${N}${dtype === "bf16" ? ", bf16 weights" : ""}`,
    kernel: "linear",
    flop: 2 * M * K * N,
    bytes: 4 * (M * K + M * N) + weightBytes * K * N,
    boundBy: "arithmetic",
    prepare: (gpu) => {
      const { x, stored } = data();
      const weight = new Matrix(gpu, N, K, dtype, "bench");
      weight.upload(gpu, stored);
      const tx = put(gpu, [M, K], x);
      return {
        compute: () => linear(tx, weight),
        release: () => {
          weight.release(gpu);
          releaseTensor(gpu, tx);
        },
      };
    },
    truth: () => {
      const { x, w } = data();
      return checkedRows(M).map((m) => ({
        at: m * N,
        values: linearReference(rowOf(x, m, K), w, 1, K, N),
      }));
    },
    peer: ({ matmul }) => {
      const { x, w } = data();
      return matmul?.({ shape: [M, K], data: x }, transpose({ shape: [N, K], data: w }, [1, 0]));
    },
  };
}

export function attentionCase(N: number, S: number, heads: number, headDim: number): Case {
  const width = heads * headDim;
  const data = lazy(() => [uniform(1, N * width), uniform(2, S * width), uniform(3, S * width)]);
  return {
    name: `attention ${N}×${S}, ${heads}×${headDim}`,
    kernel: "attention",
    // q·k and weights·v; the exponentials are not counted.
    flop: 4 * N * S * width,
    bytes: 4 * width * (2 * N + 2 * S),
    boundBy: "arithmetic",
    prepare: (gpu) => {
      const tensors = data().map((values, i) => put(gpu, [1, i === 0 ? N : S, width], values));
      const [tq, tk, tv] = tensors.map((tensor) => ({ tensor }));
      return {
        compute: () => attention(tq, tk, tv, { heads, headDim }),
        release: () => tensors.forEach((t) => releaseTensor(gpu, t)),
      };
    },
    truth: () => {
      const [q, k, v] = data();
      const shape = { batch: 1, queries: 1, keys: S, heads, keyValueHeads: heads, headDim };
      return checkedRows(N).map((n) => ({
        at: n * width,
        values: attentionReference(rowOf(q, n, width), k, v, shape),
      }));
    },
    peer: (peer) => {
      const [q, k, v] = data().map((values, i) => ({
        shape: [i === 0 ? N : S, heads, headDim],
        data: values,
      }));
      return peer.attention?.(q, k, v);
    },
  };
}

/** Layer norm and modulation by one row of a table, as before every part of a transformer block. */
export function normCase(rows: number, dim: number): Case {
  const epsilon = 1e-6;
  const data = lazy(() => ({ x: uniform(1, rows * dim), table: uniform(2, 2 * dim) }));
  return {
    name: `norm, modulated ${rows}×${dim}`,
    kernel: "norm",
    // Mean, variance, and the map: two, three and three operations an element.
    flop: 8 * rows * dim,
    bytes: 4 * (2 * rows * dim + 2 * dim),
    boundBy: "memory",
    prepare: (gpu) => {
      const { x, table } = data();
      const tensors = [
        put(gpu, [rows, dim], x),
        put(gpu, [1, 2 * dim], table),
        put(gpu, [rows], new Uint32Array(rows)),
      ];
      const [tx, tt, row] = tensors;
      return {
        compute: () =>
          modulatedNorm(tx, "layer", epsilon, { table: tt, rowOf: row }, { scale: 0, shift: dim }),
        release: () => tensors.forEach((t) => releaseTensor(gpu, t)),
      };
    },
    truth: () => {
      const { x, table } = data();
      return checkedRows(rows).map((row) => ({
        at: row * dim,
        values: normReference(rowOf(x, row, dim), dim, "layer", epsilon).map(
          (value, i) => value * (1 + table[i]) + table[dim + i],
        ),
      }));
    },
    peer: ({ norm }) => {
      const { x, table } = data();
      const [scale, shift] = [table.subarray(0, dim), table.subarray(dim)];
      return norm?.({ shape: [rows, dim], data: x }, operand(scale), operand(shift), epsilon);
    },
  };
}

const operand = (data: Float32Array) => ({ shape: [data.length], data });

function convolved(
  gpu: Gpu,
  shape: readonly number[],
  { x, w }: { readonly x: Float32Array; readonly w: Float32Array },
  out: number,
  options: Parameters<typeof conv3d>[2],
) {
  const weight = new Matrix(gpu, out, w.length / out, "f32", "bench");
  weight.upload(gpu, w);
  const tx = put(gpu, shape, x);
  return {
    compute: () => conv3d(tx, weight, options),
    release: () => {
      weight.release(gpu);
      releaseTensor(gpu, tx);
    },
  };
}

/** A causal 3 × 3 × 3 convolution, as in the video autoencoders. */
export function convolutionCase(T: number, H: number, W: number, C: number, out: number): Case {
  const options = { kernel: [3, 3, 3], lead: 2, padding: 1 } as const;
  const data = lazy(() => ({ x: uniform(1, T * H * W * C), w: uniform(2, out * 27 * C) }));
  return {
    name: `conv3d ${T}×${H}×${W}×${C} → ${out}`,
    kernel: "conv3d",
    flop: 2 * T * H * W * out * 27 * C,
    bytes: 4 * (T * H * W * (C + out) + 27 * C * out),
    boundBy: "arithmetic",
    prepare: (gpu) => convolved(gpu, [1, T, H, W, C], data(), out, options),
    // Causal: the first frame is the result of the first alone, the last that of the last three.
    truth: () => {
      const { x, w } = data();
      const pixels = H * W;
      const frame = (t: number): Truth => {
        const from = Math.max(0, t - 2);
        const clip = x.subarray(from * pixels * C, (t + 1) * pixels * C);
        const y = conv3dReference(clip, [1, t + 1 - from, H, W, C], w, out, options);
        return { at: t * pixels * out, values: y.subarray((t - from) * pixels * out) };
      };
      return [frame(0), frame(T - 1)];
    },
    peer: ({ convolution }) => {
      const { x, w } = data();
      return convolution?.(
        { shape: [T, H, W, C], data: x },
        transpose({ shape: [out, 3, 3, 3, C], data: w }, [1, 2, 3, 4, 0]),
      );
    },
  };
}

/** A 3 × 3 convolution of B pictures, as in the U-Nets: the three-dimensional one on clips of one frame. */
export function convolution2dCase(B: number, H: number, W: number, C: number, out: number): Case {
  const options = { kernel: [1, 3, 3], padding: 1 } as const;
  const data = lazy(() => ({ x: uniform(1, B * H * W * C), w: uniform(2, out * 9 * C) }));
  return {
    name: `conv2d ${B}×${H}×${W}×${C} → ${out}`,
    kernel: "conv3d",
    flop: 2 * B * H * W * out * 9 * C,
    bytes: 4 * (B * H * W * (C + out) + 9 * C * out),
    boundBy: "arithmetic",
    prepare: (gpu) => convolved(gpu, [B, 1, H, W, C], data(), out, options),
    truth: () => {
      const { x, w } = data();
      const picture = H * W * C;
      return [...new Set([0, B - 1])].map((b) => ({
        at: b * H * W * out,
        values: conv3dReference(x.subarray(b * picture, (b + 1) * picture), [1, 1, H, W, C], w, out, options),
      }));
    },
    peer: ({ convolution2d }) => {
      const { x, w } = data();
      return convolution2d?.(
        { shape: [B, H, W, C], data: x },
        transpose({ shape: [out, 3, 3, C], data: w }, [1, 2, 3, 0]),
      );
    },
  };
}

/** Half or twice the size through a filter of four taps. No peer has it as one operation. */
export function resampleCase(B: number, side: number, C: number, direction: Resampling): Case {
  const taps = [1, 3, 3, 1].map((v) => v / 8);
  const filter = Float32Array.from({ length: 16 }, (_, k) => taps[k >> 2] * taps[k % 4]);
  const data = lazy(() => uniform(1, B * side * side * C));
  const outputs = B * C * side ** 2 * (direction === "up" ? 4 : 1 / 4);
  return {
    name: `filteredResample ${direction} ${B}×${side}×${side}×${C}`,
    kernel: "filteredResample",
    // Up, only every second tap in either direction meets a pixel.
    flop: outputs * 2 * (direction === "up" ? 4 : 16),
    bytes: 4 * (B * side * side * C + outputs),
    boundBy: "memory",
    prepare: (gpu) => {
      const tensors = [put(gpu, [B, side, side, C], data()), put(gpu, [4, 4], filter)];
      return {
        compute: () => filteredResample(tensors[0], tensors[1], direction),
        release: () => tensors.forEach((t) => releaseTensor(gpu, t)),
      };
    },
    truth: () => [
      { at: 0, values: filteredResampleReference(data(), [B, side, side, C], filter, direction) },
    ],
    peer: () => undefined,
  };
}

/** Channels scaled and shifted by what a condition says of each item. No peer has it as one operation. */
export function modulateCase(B: number, N: number, C: number): Case {
  const data = lazy(() => ({ x: uniform(1, B * N * C), table: uniform(2, B * 2 * C) }));
  const film = { scale: 0, shift: C };
  return {
    name: `modulate ${B}×${N}×${C}`,
    kernel: "modulate",
    flop: 3 * B * N * C,
    bytes: 4 * (2 * B * N * C + 2 * B * C),
    boundBy: "memory",
    prepare: (gpu) => {
      const { x, table } = data();
      const tensors = [put(gpu, [B, N, C], x), put(gpu, [B, 2 * C], table)];
      return {
        compute: () => modulate(tensors[0], { table: tensors[1], ...film }),
        release: () => tensors.forEach((t) => releaseTensor(gpu, t)),
      };
    },
    truth: () => {
      const { x, table } = data();
      return [{ at: 0, values: modulateReference(x, [B, N, C], { table, ...film }) }];
    },
    peer: () => undefined,
  };
}

/** The recurrence alone: the inputs' product is one large matmul before it. No peer has it without that product. */
export function gruCase(batch: number, steps: number, dim: number): Case {
  const data = lazy(() => ({
    weight: uniform(1, 3 * dim * dim, dim ** -0.5),
    u: uniform(2, batch * steps * dim),
    a: uniform(3, 3 * batch * steps * dim, 2),
    bias: uniform(4, 3 * dim),
  }));
  return {
    name: `gru ${batch}×${steps}×${dim}`,
    kernel: "gru",
    flop: 2 * batch * steps * 3 * dim * dim,
    bytes: 4 * (batch * steps * dim * 5 + 3 * dim * dim),
    boundBy: "arithmetic",
    prepare: (gpu) => {
      const { weight, u, a, bias } = data();
      const weights = {
        recurrent: put(gpu, [dim, 3, Math.ceil(dim / 4), 4], packRecurrent(weight, dim)),
        bias: put(gpu, [3 * dim], bias),
      };
      const tensors = [
        put(gpu, [batch, steps, dim], u),
        put(gpu, [batch, steps, 3 * dim], a),
        put(gpu, [batch, steps, dim], new Float32Array(batch * steps * dim)),
      ];
      const [tu, ta, into] = tensors;
      return {
        compute: () => {
          gru(tu, ta, weights, undefined, { tensor: into, tokens: steps, first: 0 });
          return into;
        },
        release: () => [...tensors, weights.recurrent, weights.bias].forEach((t) => releaseTensor(gpu, t)),
      };
    },
    truth: () => {
      const { weight, u, a, bias } = data();
      const start = new Float32Array(batch * dim);
      return [{ at: 0, values: gruReference(u, a, weight, bias, start, batch, steps, dim).sums }];
    },
    peer: () => undefined,
  };
}

/** The sizes of the issue: squares, and what the models run. */
export const CASES: readonly Case[] = [
  ...[256, 512, 1024, 2048].map((n) => matmulCase(n, n, n)),
  // The toy transformer: qkv, into and out of the feed-forward.
  matmulCase(160, 96, 288),
  matmulCase(160, 96, 384),
  matmulCase(160, 384, 96),
  // The action decoder at its upstream size: 33 tokens of 512, SwiGLU of 1365.
  matmulCase(33, 512, 1536),
  matmulCase(33, 512, 2730),
  matmulCase(33, 1365, 512),
  // Modulation: few rows.
  matmulCase(2, 512, 3072),
  // One projection of a 2-billion-parameter transformer, for as many tokens as a software adapter can bear.
  matmulCase(256, 2048, 2048),
  matmulCase(256, 2048, 2048, "bf16"),
  // What fills a large device: the feed-forward of the same transformer, 4,608 tokens at once, and a head group of its attention.
  matmulCase(4608, 2048, 8192, "bf16"),
  ...[256, 512, 1024, 2048].map((n) => attentionCase(n, n, 4, 64)),
  // The toy transformer; the action decoder's cross-attention; heads of a 2-billion-parameter transformer.
  attentionCase(80, 80, 6, 32),
  attentionCase(33, 96, 8, 64),
  attentionCase(512, 512, 2, 128),
  attentionCase(4608, 4608, 16, 128),
  normCase(160, 96),
  normCase(2048, 2048),
  // A level of the toy's autoencoder, and one of the published sizes at a small frame.
  convolutionCase(4, 16, 16, 32, 32),
  convolutionCase(3, 32, 32, 96, 96),
  // A level of CIFAR's U-Net and its widest one; what changes the resolution between them, and what the condition says.
  convolution2dCase(2, 32, 32, 32, 64),
  convolution2dCase(2, 16, 16, 256, 256),
  resampleCase(2, 32, 128, "down"),
  resampleCase(2, 16, 128, "up"),
  modulateCase(2, 1024, 128),
  // The action decoder: the toy's and the upstream size.
  gruCase(4, 24, 128),
  gruCase(1, 32, 512),
];
