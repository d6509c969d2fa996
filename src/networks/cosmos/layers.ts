/**
 * What the blocks of the Cosmos transformer and of the World2Action decoder are made of. Axes: B batch, N tokens, S tokens that are attended
 * to, D = heads · d width; R distinct times.
 */
import { scope } from "../../gpu/recording.ts";
import { attention } from "../../kernels/attention.ts";
import { slice } from "../../kernels/copy.ts";
import { gatedResidual } from "../../kernels/gated-residual.ts";
import { linear } from "../../kernels/linear.ts";
import { type Modulation, modulatedNorm } from "../../kernels/norm.ts";
import { qkNorm, type Rotary } from "../../kernels/qk-norm.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import { asColumn, inRows } from "../../kernels/rows.ts";
import { BYTES_PER_ELEMENT, result, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";

/** Epsilon of layer norms and of the norm of the time. */
export const NORM_EPSILON = 1e-6;

/** What a block needs of the times. */
export interface BlockTime {
  /** silu of the normalised time embedding, (R, E) */
  readonly e: Tensor;
  /** added to every modulation: shift, scale, gate, (R, 3·D) */
  readonly temb: Tensor;
  /** (B·N) u32: the row of each token */
  readonly rowOf: Tensor;
}

export interface ModulatorSizes {
  /** E */
  readonly time: number;
  readonly rank: number;
  /** D */
  readonly width: number;
  /** 3: shift, scale, gate; 2: shift, scale */
  readonly parts: 2 | 3;
}

/** Low-rank adaptive modulation (adaLN-LoRA): shift, scale and gate of every distinct time. */
export class Modulator {
  readonly #label: string;
  readonly #down: Matrix;
  readonly #up: Matrix;
  readonly #width: number;

  /** `label` names it in recordings; `keys` are those of the two matrices. */
  constructor(label: string, w: WeightLoader, keys: readonly [string, string], sizes: ModulatorSizes) {
    const { time, rank, width, parts } = sizes;
    this.#label = label;
    this.#down = w.linear(keys[0], rank, time);
    this.#up = w.linear(keys[1], parts * width, rank);
    this.#width = width;
  }

  /** LN(x)·(1 + scale) + shift */
  norm(x: Tensor, time: BlockTime): Tensor {
    return this.#norm(x, this.#table(time));
  }

  /** x + gate ⊙ branch(LN(x)·(1 + scale) + shift) */
  residual(x: Tensor, time: BlockTime, branch: (y: Tensor) => Tensor): Tensor {
    const modulation = this.#table(time);
    return gatedResidual(x, branch(this.#norm(x, modulation)), modulation, 2 * this.#width);
  }

  /**
   * The same where the branch looks at each token alone: it is given some rows (n, D) at a time, so that what it makes on the way exists for
   * these only.
   */
  residualInRows(x: Tensor, time: BlockTime, branch: FeedForward): Tensor {
    const { table, rowOf } = this.#table(time);
    const [y, times] = [result(x.shape, "residual"), asColumn(rowOf)];
    inRows(x.rows, { tensors: [x, y, times], ...branch.rowCost }, (part) => {
      const [some, modulation] = [part(x), { table, rowOf: part(times) }];
      gatedResidual(some, branch.forward(this.#norm(some, modulation)), modulation, 2 * this.#width, part(y));
    });
    return y;
  }

  /** (R, parts·D): up(down(e)) + temb, of which two parts take the first two thirds; the columns are shift, scale, gate */
  #table({ e, temb, rowOf }: BlockTime): Modulation {
    const columns = this.#up.out;
    return scope(this.#label, () => {
      const residual = temb.dim(-1) === columns ? temb : slice(temb, 1, 0, columns);
      return { table: linear(linear(e, this.#down), this.#up, { residual }), rowOf };
    });
  }

  #norm(x: Tensor, modulation: Modulation): Tensor {
    return modulatedNorm(x, "layer", NORM_EPSILON, modulation, { shift: 0, scale: this.#width });
  }
}

/** Keys of an attention's weights in a checkpoint. */
export interface AttentionKeys {
  readonly q: string;
  readonly k: string;
  readonly v: string;
  readonly out: string;
  readonly qNorm: string;
  readonly kNorm: string;
}

export interface AttentionSizes {
  readonly heads: number;
  readonly headDim: number;
  /** width of what keys and values are made from */
  readonly contextDim: number;
  /** of the norms of queries and keys */
  readonly epsilon: number;
}

/** Keys and values, (B, S, D) each. */
export interface KeysValues {
  readonly k: Tensor;
  readonly v: Tensor;
}

/** Attention with queries and keys normalised per head, and rotated where angles are given. */
export class Attention {
  readonly #sizes: AttentionSizes;
  readonly #w: Readonly<Record<"q" | "k" | "v" | "out", Matrix>>;
  readonly #gains: Readonly<Record<"q" | "k", Tensor>>;

  constructor(w: WeightLoader, keys: AttentionKeys, sizes: AttentionSizes) {
    const { heads, headDim, contextDim } = sizes;
    const width = heads * headDim;
    this.#sizes = sizes;
    this.#w = {
      q: w.linear(keys.q, width, width),
      k: w.linear(keys.k, width, contextDim),
      v: w.linear(keys.v, width, contextDim),
      out: w.linear(keys.out, width, width),
    };
    this.#gains = { q: w.tensor(keys.qNorm, [headDim]), k: w.tensor(keys.kNorm, [headDim]) };
  }

  /** context (B, S, contextDim) → keys and values */
  keysValues(context: Tensor, angles?: Rotary): KeysValues {
    const { heads, epsilon } = this.#sizes;
    const k = qkNorm(linear(context, this.#w.k), heads, this.#gains.k, epsilon, angles); // (B, S, D)
    return { k, v: linear(context, this.#w.v) };
  }

  /** x (B, N, D) → (B, N, D); mask (B, S) u32, 0 = hidden */
  forward(x: Tensor, { k, v }: KeysValues, angles?: Rotary, mask?: Tensor): Tensor {
    const { heads, headDim, epsilon } = this.#sizes;
    const q = qkNorm(linear(x, this.#w.q), heads, this.#gains.q, epsilon, angles); // (B, N, D)
    return linear(
      attention({ tensor: q }, { tensor: k }, { tensor: v }, { heads, headDim, mask }),
      this.#w.out,
    );
  }
}

/** out(gelu(in(x))), without biases */
export class FeedForward {
  readonly #label: string;
  readonly #in: Matrix;
  readonly #out: Matrix;

  /** `label` names it in recordings; `keys` are those of the two matrices. */
  constructor(
    label: string,
    w: WeightLoader,
    keys: readonly [string, string],
    width: number,
    hidden: number,
  ) {
    this.#label = label;
    this.#in = w.linear(keys[0], hidden, width);
    this.#out = w.linear(keys[1], width, hidden);
  }

  /** What a token costs. */
  get rowCost(): { readonly flops: number; readonly transient: number } {
    const { in: width, out: hidden } = this.#in;
    return { flops: 2 * width * hidden, transient: BYTES_PER_ELEMENT.f32 * hidden };
  }

  forward(x: Tensor): Tensor {
    return scope(this.#label, () => linear(linear(x, this.#in, { activation: "gelu" }), this.#out));
  }
}
