/** What a pool over the layer history is made of: its sizes, its weights as each variant wants them, and what comes after it. */
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Modulation } from "../norm.ts";

/** Key-value heads of every pool; the reference fixes them. */
export const POOL_KV_HEADS = 2;

/** An `nn.RMSNorm` whose epsilon is unset uses that of its type; history entries are small enough for it to count. */
export const FLOAT32_EPSILON = 1.1920928955078125e-7;

export interface PoolShape {
  /** D */
  readonly dim: number;
  /** R */
  readonly heads: number;
  /** r */
  readonly headDim: number;
}

/** The weights as one variant wants them. */
export type PoolWeights =
  | { readonly kind: "fused"; /** see `foldPool` */ readonly folded: Tensor }
  | {
      readonly kind: "mixed";
      /** (D, ⌈R/4⌉, 4), see `mixedWeights` */
      readonly u: Tensor;
      /** per key-value head: W_v ⊙ gain (r, D), and the columns of W_out that its query heads fill (D, R/2 · r) */
      readonly values: readonly Matrix[];
      readonly outs: readonly Matrix[];
    }
  | {
      readonly kind: "naive";
      /** (R·r) = W_q·query */
      readonly query: Tensor;
      /** (D) */
      readonly gain: Tensor;
      readonly keysValues: Matrix;
      readonly out: Matrix;
    };

/** What is done to the pooled tokens. */
export interface PoolEnd {
  readonly norm:
    | {
        readonly kind: "l2";
        readonly epsilon: number;
        readonly modulation: Modulation;
        readonly at: { readonly scale: number; readonly shift: number };
      }
    | { readonly kind: "rms"; readonly epsilon: number; readonly weight: Tensor };
  /** token shift from this token of each item on */
  readonly shiftFrom?: number;
}

/** Vectors of four that hold n numbers. */
export const up4 = (n: number): number => Math.ceil(n / 4);
