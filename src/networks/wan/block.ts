/**
 * A block of the Wan transformer: self-attention, cross-attention to text and perhaps an image, feed-forward. Axes: B batch, N tokens, S text
 * rows, I image tokens, D = heads · d width, R distinct times.
 *
 *   x += m2 · SelfAttn(LN(x)·(1 + m1) + m0)
 *   x += CrossAttn(LN(x; gain, bias))
 *   x += m5 · lin(gelu(lin(LN(x)·(1 + m4) + m3)))        m = table + what the time says
 */
import { UsageError } from "../../errors.ts";
import { scope } from "../../gpu/recording.ts";
import { attention } from "../../kernels/attention.ts";
import { add } from "../../kernels/elementwise.ts";
import { gatedResidual } from "../../kernels/gated-residual.ts";
import { type Modulation, modulatedNorm, norm } from "../../kernels/norm.ts";
import type { Rotary } from "../../kernels/qk-norm.ts";
import { rotatePairs } from "../../kernels/rotary.ts";
import { asColumn, inRows } from "../../kernels/rows.ts";
import { BYTES_PER_ELEMENT, result, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { widthOf, type WanTransformerConfig } from "./config.ts";
import { type Dense, dense, through } from "./embedders.ts";

export type BlockConfig = Pick<
  WanTransformerConfig,
  "heads" | "headDim" | "feedForward" | "epsilon" | "crossNorm" | "imageDim"
>;

/** Keys and values of a block, (B, S, D) each. */
export interface KeysValues {
  readonly k: Tensor;
  readonly v: Tensor;
}

/** What a block attends to besides its own tokens: two softmaxes whose results are added. */
export interface BlockContext {
  readonly text: KeysValues;
  readonly image?: KeysValues;
}

/** What queries (B, N, D) see, given the keys and values of the same tokens: these, or more. */
export type Attend = (q: Tensor, own: KeysValues) => Tensor;

/** Times of tokens. */
export interface TokenTimes {
  /** (R, 6·D), see `EmbeddedTimes` */
  readonly modulation: Tensor;
  /** (B·N) u32: the row of each token */
  readonly rowOf: Tensor;
}

/** Queries and keys are normalised over all heads at once, by an RMS with gain. */
class Attention {
  readonly #config: BlockConfig;
  readonly #q: Dense;
  readonly #k: Dense;
  readonly #v: Dense;
  readonly #out: Dense;
  readonly #gains: Readonly<Record<"q" | "k", Tensor>>;
  readonly #image?: { readonly k: Dense; readonly v: Dense; readonly gain: Tensor };

  constructor(config: BlockConfig, w: WeightLoader, withImage: boolean) {
    const D = widthOf(config);
    this.#config = config;
    this.#q = dense(w, "to_q", D, D);
    this.#k = dense(w, "to_k", D, D);
    this.#v = dense(w, "to_v", D, D);
    this.#out = dense(w, "to_out.0", D, D);
    this.#gains = { q: w.tensor("norm_q.weight", [D]), k: w.tensor("norm_k.weight", [D]) };
    if (withImage) {
      const gain = w.tensor("norm_added_k.weight", [D]);
      this.#image = { k: dense(w, "add_k_proj", D, D), v: dense(w, "add_v_proj", D, D), gain };
      // Files have it; nothing in the model reads it.
      w.ignore(/norm_added_q\./);
    }
  }

  /** (B, S, D) → keys and values, the keys turned where angles are given */
  keysValues(x: Tensor, angles?: Rotary): KeysValues {
    return { k: this.#turned(through(x, this.#k), this.#gains.k, angles), v: through(x, this.#v) };
  }

  /** The same of image tokens, by maps of their own. */
  imageKeysValues(x: Tensor): KeysValues | undefined {
    const image = this.#image;
    return image && { k: this.#turned(through(x, image.k), image.gain), v: through(x, image.v) };
  }

  /** (B, N, D) → what `attend` finds for its queries, before the last linear map */
  forward(x: Tensor, attend: (q: Tensor) => Tensor, angles?: Rotary): Tensor {
    return through(attend(this.#turned(through(x, this.#q), this.#gains.q, angles)), this.#out);
  }

  #turned(x: Tensor, weight: Tensor, angles?: Rotary): Tensor {
    const normed = norm(x, { kind: "rms", epsilon: this.#config.epsilon, weight });
    return angles ? rotatePairs(normed, angles) : normed;
  }
}

export class WanBlock {
  readonly #config: BlockConfig;
  readonly #table: Tensor;
  readonly #self: Attention;
  readonly #cross: Attention;
  readonly #crossNorm?: { readonly weight: Tensor; readonly bias: Tensor };
  readonly #in: Dense;
  readonly #out: Dense;

  constructor(config: BlockConfig, w: WeightLoader) {
    const D = widthOf(config);
    this.#config = config;
    this.#table = w.tensor("scale_shift_table", [1, 6, D]);
    this.#self = new Attention(config, w.within("attn1"), false);
    this.#cross = new Attention(config, w.within("attn2"), config.imageDim !== undefined);
    if (config.crossNorm)
      this.#crossNorm = { weight: w.tensor("norm2.weight", [D]), bias: w.tensor("norm2.bias", [D]) };
    this.#in = dense(w, "ffn.net.0.proj", config.feedForward, D);
    this.#out = dense(w, "ffn.net.2", D, config.feedForward);
  }

  /** Keys and values of embedded text (B, S, D) and image tokens (B, I, D); they do not change while denoising. */
  context(text: Tensor, image?: Tensor): BlockContext {
    return scope("attn2", () => ({
      text: this.#cross.keysValues(text),
      image: image && this.#cross.imageKeysValues(image),
    }));
  }

  /**
   * x (B, N, D) → the same shape. The context may be of fewer items: then each serves as many consecutive ones of x.
   * @param attend what the self-attention sees; default: the tokens themselves
   * @throws UsageError when the items do not divide among those of the context
   */
  forward(x: Tensor, times: TokenTimes, angles: Rotary, context: BlockContext, attend?: Attend): Tensor {
    const { heads, headDim, epsilon } = this.#config;
    const D = widthOf(this.#config);
    if (x.dim(0) % context.text.k.dim(0) !== 0)
      throw new UsageError(`${x.dim(0)} items do not divide among ${context.text.k.dim(0)} texts`);
    const modulation = { table: add(times.modulation, this.#table), rowOf: times.rowOf };
    const attendTo = (q: Tensor, { k, v }: KeysValues): Tensor =>
      attention({ tensor: q }, { tensor: k }, { tensor: v }, { heads, headDim });

    const attended = scope("attn1", () => {
      const y = modulatedNorm(x, "layer", epsilon, modulation, { shift: 0, scale: D });
      const own = this.#self.keysValues(y, angles);
      return this.#self.forward(y, (q) => (attend ?? attendTo)(q, own), angles);
    });
    x = gatedResidual(x, attended, modulation, 2 * D);

    x = scope("attn2", () => {
      const { text, image } = context;
      const y = this.#crossNorm ? norm(x, { kind: "layer", epsilon, ...this.#crossNorm }) : x;
      // Tokens do not see one another here, so those of items that share a text are queries of one attention.
      const seen = this.#cross.forward(y.reshape(text.k.dim(0), -1, D), (q) => {
        const read = attendTo(q, text);
        return image ? add(read, attendTo(q, image)) : read;
      });
      return add(x, seen.reshape(...x.shape));
    });
    return scope("ffn", () => this.#feedForward(x, modulation));
  }

  /** Some rows at a time: the widest intermediate result is 4.6 times as wide as a token. */
  #feedForward(x: Tensor, { table, rowOf }: Modulation): Tensor {
    const { feedForward, epsilon } = this.#config;
    const D = widthOf(this.#config);
    const [y, rows] = [result(x.shape, "residual"), asColumn(rowOf)];
    const cost = { flops: 2 * D * feedForward, transient: BYTES_PER_ELEMENT.f32 * feedForward };
    inRows(x.rows, { tensors: [x, y, rows], ...cost }, (part) => {
      const [some, modulation] = [part(x), { table, rowOf: part(rows) }];
      const z = modulatedNorm(some, "layer", epsilon, modulation, { shift: 3 * D, scale: 4 * D });
      const hidden = through(z, this.#in, { activation: "geluTanh" });
      gatedResidual(some, through(hidden, this.#out), modulation, 5 * D, part(y));
    });
    return y;
  }
}
