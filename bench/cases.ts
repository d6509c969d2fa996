/**
 * What is timed: one operation at one size, with its counts, our recording of it, what a right result is, and the same job for
 * a peer. Counts are of the operation, not of any program: a multiply and an add are two, and each operand is read, each
 * result written, once.
 */
import { attention } from "../src/kernels/attention.ts";
import { attentionReference } from "../src/kernels/attention.reference.ts";
import { conv3d } from "../src/kernels/conv3d.ts";
import { conv3dReference } from "../src/kernels/conv3d.reference.ts";
import { gru, packRecurrent } from "../src/kernels/gru.ts";
import { gruReference } from "../src/kernels/gru.reference.ts";
import { linear } from "../src/kernels/linear.ts";
import { linearReference } from "../src/kernels/linear.reference.ts";
import { modulatedNorm } from "../src/kernels/norm.ts";
import { normReference } from "../src/kernels/norm.reference.ts";
import type { Gpu } from "../src/gpu/gpu.ts";
import { PackedWeight } from "../src/tensor/packed-weight.ts";
import { createTensor, releaseTensor, type Tensor } from "../src/tensor/tensor.ts";
import { uniform } from "../test/support/numbers.ts";
import type { Peer, PeerJob } from "./peers.ts";

/** The operands of a case on the device. */
export interface Prepared {
  /** called inside `record` */
  readonly compute: () => Tensor;
  readonly release: () => void;
}

export interface Case {
  readonly name: string;
  /** the kernel whose variants are compared */
  readonly kernel: "linear" | "attention" | "norm" | "conv3d" | "gru";
  readonly flop: number;
  readonly bytes: number;
  /** which roof it is measured against */
  readonly boundBy: "arithmetic" | "memory";
  readonly prepare: (gpu: Gpu) => Prepared;
  /** the first elements of a right result, in float64; as many as are cheap enough to compute */
  readonly truth: () => Float64Array;
  readonly peer?: (peer: Peer) => PeerJob;
}

const put = (gpu: Gpu, shape: readonly number[], data: Float32Array | Uint32Array): Tensor =>
  createTensor(gpu, shape, data, "bench");

/** Rows whose results are compared with the reference; all of them would take plain loops minutes. */
const CHECKED_ROWS = 5;

export function matmulCase(M: number, K: number, N: number): Case {
  const x = uniform(1, M * K);
  const w = uniform(2, N * K);
  return {
    name: `matmul ${M}×${K}×${N}`,
    kernel: "linear",
    flop: 2 * M * K * N,
    bytes: 4 * (M * K + K * N + M * N),
    boundBy: "arithmetic",
    prepare: (gpu) => {
      const weight = new PackedWeight(gpu, N, K, "f32", "bench");
      weight.upload(gpu, w);
      const tx = put(gpu, [M, K], x);
      return {
        compute: () => linear(tx, weight),
        release: () => {
          weight.release(gpu);
          releaseTensor(gpu, tx);
        },
      };
    },
    truth: () => linearReference(x, w, Math.min(M, CHECKED_ROWS), K, N),
    peer: (peer) => {
      const transposed = new Float32Array(K * N);
      for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) transposed[k * N + n] = w[n * K + k];
      return peer.matmul({ shape: [M, K], data: x }, { shape: [K, N], data: transposed });
    },
  };
}

export function attentionCase(N: number, S: number, heads: number, headDim: number): Case {
  const width = heads * headDim;
  const [q, k, v] = [uniform(1, N * width), uniform(2, S * width), uniform(3, S * width)];
  return {
    name: `attention ${N}×${S}, ${heads}×${headDim}`,
    kernel: "attention",
    // q·k and weights·v; the exponentials are not counted.
    flop: 4 * N * S * width,
    bytes: 4 * width * (2 * N + 2 * S),
    boundBy: "arithmetic",
    prepare: (gpu) => {
      const tensors = [put(gpu, [1, N, width], q), put(gpu, [1, S, width], k), put(gpu, [1, S, width], v)];
      const [tq, tk, tv] = tensors.map((tensor) => ({ tensor }));
      return {
        compute: () => attention(tq, tk, tv, { heads, headDim }),
        release: () => tensors.forEach((t) => releaseTensor(gpu, t)),
      };
    },
    truth: () =>
      attentionReference(q, k, v, {
        batch: 1,
        queries: Math.min(N, CHECKED_ROWS),
        keys: S,
        heads,
        keyValueHeads: heads,
        headDim,
      }),
    peer: (peer) =>
      peer.attention(
        { shape: [N, heads, headDim], data: q },
        { shape: [S, heads, headDim], data: k },
        { shape: [S, heads, headDim], data: v },
      ),
  };
}

/** Layer norm and modulation by one row of a table, as before every part of a transformer block. */
export function normCase(rows: number, dim: number): Case {
  const x = uniform(1, rows * dim);
  const table = uniform(2, 2 * dim);
  const epsilon = 1e-6;
  return {
    name: `norm, modulated ${rows}×${dim}`,
    kernel: "norm",
    // Mean, variance, and the map: two, three and three operations an element.
    flop: 8 * rows * dim,
    bytes: 4 * (2 * rows * dim + 2 * dim),
    boundBy: "memory",
    prepare: (gpu) => {
      const tensors = [
        put(gpu, [rows, dim], x),
        put(gpu, [1, 2 * dim], table),
        put(gpu, [rows], new Uint32Array(rows)),
      ];
      const [tx, tt, rowOf] = tensors;
      return {
        compute: () => modulatedNorm(tx, "layer", epsilon, { table: tt, rowOf }, { scale: 0, shift: dim }),
        release: () => tensors.forEach((t) => releaseTensor(gpu, t)),
      };
    },
    truth: () => {
      const checked = x.subarray(0, Math.min(rows, CHECKED_ROWS) * dim);
      const normal = normReference(checked, dim, "layer", epsilon);
      return normal.map((value, i) => value * (1 + table[i % dim]) + table[dim + (i % dim)]);
    },
    peer: (peer) =>
      peer.norm(
        { shape: [rows, dim], data: x },
        { shape: [dim], data: table.subarray(0, dim) },
        { shape: [dim], data: table.subarray(dim) },
        epsilon,
      ),
  };
}

/** A causal 3 × 3 × 3 convolution, as in the video autoencoders. */
export function convolutionCase(T: number, H: number, W: number, C: number, out: number): Case {
  const shape = [1, T, H, W, C];
  const x = uniform(1, T * H * W * C);
  const w = uniform(2, out * 27 * C);
  const options = { kernel: [3, 3, 3], lead: 2, padding: 1 } as const;
  return {
    name: `conv3d ${T}×${H}×${W}×${C} → ${out}`,
    kernel: "conv3d",
    flop: 2 * T * H * W * out * 27 * C,
    bytes: 4 * (T * H * W * (C + out) + 27 * C * out),
    boundBy: "arithmetic",
    prepare: (gpu) => {
      const weight = new PackedWeight(gpu, out, 27 * C, "f32", "bench");
      weight.upload(gpu, w);
      const tx = put(gpu, shape, x);
      return {
        compute: () => conv3d(tx, weight, options),
        release: () => {
          weight.release(gpu);
          releaseTensor(gpu, tx);
        },
      };
    },
    // The convolution is causal, so the first frame is the result of the first frame alone.
    truth: () => conv3dReference(x.subarray(0, H * W * C), [1, 1, H, W, C], w, out, options),
  };
}

export function gruCase(batch: number, steps: number, dim: number): Case {
  const weight = uniform(1, 3 * dim * dim, dim ** -0.5);
  const [u, a] = [uniform(2, batch * steps * dim), uniform(3, 3 * batch * steps * dim, 2)];
  const bias = uniform(4, 3 * dim);
  return {
    name: `gru ${batch}×${steps}×${dim}`,
    kernel: "gru",
    flop: 2 * batch * steps * 3 * dim * dim,
    bytes: 4 * (batch * steps * dim * 5 + 3 * dim * dim),
    boundBy: "arithmetic",
    prepare: (gpu) => {
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
    truth: () => gruReference(u, a, weight, bias, new Float32Array(batch * dim), batch, steps, dim).sums,
  };
}

/** The sizes of the issue: squares, and what the models run. */
export const CASES: readonly (() => Case)[] = [
  ...[256, 512, 1024, 2048].map((n) => () => matmulCase(n, n, n)),
  // The toy transformer: qkv, into and out of the feed-forward.
  () => matmulCase(160, 96, 288),
  () => matmulCase(160, 96, 384),
  () => matmulCase(160, 384, 96),
  // The action decoder at its upstream size: 33 tokens of 512, SwiGLU of 1365.
  () => matmulCase(33, 512, 1536),
  () => matmulCase(33, 512, 2730),
  () => matmulCase(33, 1365, 512),
  // Modulation: few rows.
  () => matmulCase(2, 512, 3072),
  // One projection of a 2-billion-parameter transformer, for as many tokens as a software adapter can bear.
  () => matmulCase(256, 2048, 2048),
  ...[256, 512, 1024, 2048].map((n) => () => attentionCase(n, n, 4, 64)),
  () => attentionCase(80, 80, 6, 32),
  () => attentionCase(33, 96, 8, 64),
  () => attentionCase(512, 512, 2, 128),
  () => normCase(160, 96),
  () => normCase(2048, 2048),
  () => convolutionCase(4, 16, 16, 32, 32),
  () => gruCase(8, 33, 64),
];
