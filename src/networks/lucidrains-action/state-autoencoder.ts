/**
 * The encoder of the state autoencoder: captured video hidden states to one token that sums them up
 * (x-transformers `ContinuousTransformerAutoencoder.encode`; docs/references.md, "state autoencoder").
 *
 * Axes: B batch, S tokens of width V, H heads of width h.
 */
import { UsageError } from "../../errors.ts";
import { scope } from "../../gpu/recording.ts";
import { attention } from "../../kernels/attention.ts";
import { slice } from "../../kernels/copy.ts";
import { add, affine } from "../../kernels/elementwise.ts";
import { linear } from "../../kernels/linear.ts";
import { meanTokens } from "../../kernels/mean-tokens.ts";
import { norm } from "../../kernels/norm.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import { showShape, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { StateAutoencoderConfig } from "./config.ts";

const EPSILON = 1e-5;

interface Block {
  readonly attentionGamma: Tensor;
  readonly queriesKeysValues: Matrix;
  readonly out: Matrix;
  readonly feedForwardGamma: Tensor;
  readonly up: { readonly weight: Matrix; readonly bias: Tensor };
  readonly down: { readonly weight: Matrix; readonly bias: Tensor };
}

export class StateEncoder {
  readonly config: StateAutoencoderConfig;
  readonly #positions: Tensor;
  readonly #blocks: readonly Block[];
  readonly #finalGamma: Tensor;
  readonly #latent: { readonly weight: Matrix; readonly bias: Tensor };

  /** @param w a loader within `state_autoencoder` */
  constructor(config: StateAutoencoderConfig, w: WeightLoader) {
    const { dim, depth, maxTokens, latentDim, heads, headDim } = config;
    const inner = heads * headDim;
    const layers = w.within("encoder.attn_layers");
    this.config = config;
    this.#positions = w.tensor("encoder.pos_emb.emb.weight", [maxTokens, dim]);
    // Attention and feed-forward alternate in one numbering.
    this.#blocks = Array.from({ length: depth }, (_, i) => {
      const [attn, ff] = [layers.within(`layers.${2 * i}`), layers.within(`layers.${2 * i + 1}`)];
      const parts = ["to_q", "to_k", "to_v"].map((key) => ({ key: `1.${key}.weight`, out: inner }));
      const map = (key: string, out: number, from: number) => ({
        weight: ff.linear(`1.ff.${key}.weight`, out, from),
        bias: ff.tensor(`1.ff.${key}.bias`, [out]),
      });
      return {
        attentionGamma: attn.tensor("0.0.gamma", [dim]),
        queriesKeysValues: attn.stacked(parts, dim),
        out: attn.linear("1.to_out.weight", dim, inner),
        feedForwardGamma: ff.tensor("0.0.gamma", [dim]),
        up: map("0.0", 4 * dim, dim),
        down: map("2", dim, 4 * dim),
      };
    });
    this.#finalGamma = layers.tensor("final_norm.gamma", [dim]);
    this.#latent = {
      weight: w.linear("bottleneck.proj.weight", latentDim, dim),
      bias: w.tensor("bottleneck.proj.bias", [latentDim]),
    };
    w.ignore(/decoder\./, /from_latent_to_prepend_token\./);
  }

  /** (B, S, V) → (B, latent). @throws UsageError for more tokens than the model has positions */
  forward(hidden: Tensor): Tensor {
    const { dim, maxTokens, heads, headDim } = this.config;
    const tokens = hidden.dim(1);
    if (hidden.shape.length !== 3 || hidden.dim(-1) !== dim || tokens > maxTokens)
      throw new UsageError(
        `hidden states ${showShape(hidden.shape)}: expected (batch, at most ${maxTokens}, ${dim})`,
      );
    // The checkpoint stores gains less one.
    const layerNorm = (x: Tensor, gamma: Tensor): Tensor =>
      norm(x, { kind: "layer", epsilon: EPSILON, weight: gamma, weightOffset: 1 });
    let x = add(hidden, affine(slice(this.#positions, 0, 0, tokens), dim ** -0.5));
    this.#blocks.forEach((block, i) => {
      scope(`layers.${i}`, () => {
        const tensor = linear(layerNorm(x, block.attentionGamma), block.queriesKeysValues); // (B, S, 3·H·h)
        const [keys, values] = [1, 2].map((part) => ({ tensor, offset: part * heads * headDim }));
        x = linear(attention({ tensor }, keys, values, { heads, headDim }), block.out, { residual: x });
        const inner = linear(layerNorm(x, block.feedForwardGamma), block.up.weight, {
          bias: block.up.bias,
          activation: "gelu",
        });
        x = linear(inner, block.down.weight, { bias: block.down.bias, residual: x });
      });
    });
    return linear(meanTokens(layerNorm(x, this.#finalGamma)), this.#latent.weight, {
      bias: this.#latent.bias,
    });
  }
}
