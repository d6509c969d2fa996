/**
 * The Wan 2.1 video transformer (diffusers `WanTransformer3DModel`; docs/references.md, "Wan transformer"): latent video and text, for some
 * models an image too, to a flow-matching velocity, noise − data.
 *
 * Axes: B batch, C channels, T frames, H and W latent rows and columns; N tokens of width D; S text rows, I image tokens.
 */
import { UsageError } from "../../errors.ts";
import { scope } from "../../gpu/recording.ts";
import { concat } from "../../kernels/copy.ts";
import { constant, showShape, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { type BlockContext, WanBlock } from "./block.ts";
import { widthOf, type WanTransformerConfig } from "./config.ts";
import { type Dense, dense, ImageEmbedder, TextEmbedder, through, TimeEmbedder } from "./embedders.ts";
import { Head, patches, tokenGrid, unpatched } from "./head.ts";
import { gridPositions, rotaryOf } from "./positions.ts";

/** Keys and values of text and image for every block: they do not change while denoising. */
export type WanContext = readonly BlockContext[];

export interface WanInput {
  /** (B, C, T, H, W), all of the model's input channels */
  readonly latents: Tensor;
  readonly context: WanContext;
  /** (B, timeDim), from `timeSinusoids` */
  readonly sinusoids: Tensor;
  /** blocks behind which the residual stream is wanted, 0-based */
  readonly capture?: readonly number[];
}

export interface WanOutput {
  /** (B, C, T, H, W) */
  readonly velocity: Tensor;
  /** (B, D) the embedded times */
  readonly temb: Tensor;
  /** block number → (B, N, D) */
  readonly captured: ReadonlyMap<number, Tensor>;
}

/** Weights and forward pass; methods record operations and must be called inside `record`. */
export class WanTransformer {
  readonly config: WanTransformerConfig;
  readonly #patch: Dense;
  readonly #time: TimeEmbedder;
  readonly #text: TextEmbedder;
  readonly #image?: ImageEmbedder;
  readonly #blocks: readonly WanBlock[];
  readonly #head: Head;
  readonly #out: Dense;

  /** Asks for the weights by diffusers' keys; `wanTransformerWeights` gives the original's under these names. */
  constructor(config: WanTransformerConfig, w: WeightLoader) {
    const { inChannels, outChannels, patchSize, timeDim, textDim, imageDim, epsilon } = config;
    const D = widthOf(config);
    const [pt, ph, pw] = patchSize;
    this.config = config;
    this.#patch = {
      weight: w.linear("patch_embedding.weight", D, inChannels * ph * pw, [D, inChannels, pt, ph, pw]),
      bias: w.tensor("patch_embedding.bias", [D]),
    };
    const condition = w.within("condition_embedder");
    this.#time = new TimeEmbedder(condition, timeDim, D);
    this.#text = new TextEmbedder(condition, textDim, D);
    if (imageDim !== undefined) this.#image = new ImageEmbedder(condition, imageDim, D);
    this.#blocks = Array.from(
      { length: config.layers },
      (_, i) => new WanBlock(config, w.within(`blocks.${i}`)),
    );
    this.#head = new Head(w, D, epsilon);
    this.#out = dense(w, "proj_out", outChannels * ph * pw, D);
  }

  /**
   * Keys and values of a text (B, S, textDim) and of image tokens (B, I, imageDim) for every block. Rows of zeros behind a text are
   * attended to like any other, and are no zeros any more then.
   * @throws UsageError when there is an image too few or too many, or more text than the model reads
   */
  context(text: Tensor, image?: Tensor): WanContext {
    const embedded = scope("condition_embedder", () => ({
      text: this.#text.forward(this.#padded(text)),
      image: this.#embedImage(image),
    }));
    return this.#blocks.map((block, i) =>
      scope(`blocks.${i}`, () => block.context(embedded.text, embedded.image)),
    );
  }

  /** One evaluation. @throws UsageError when the channels or patches do not fit, or there is not a time for each item */
  forward({ latents, context, sinusoids, capture = [] }: WanInput): WanOutput {
    const { patchSize, inChannels, headDim } = this.config;
    const [B, C] = latents.shape;
    if (C !== inChannels || sinusoids.dim(0) !== B)
      throw new UsageError(
        `Wan transformer: latents ${showShape(latents.shape)} with ${sinusoids.dim(0)} times; ` +
          `${inChannels} channels and a time for each item are needed`,
      );
    const grid = tokenGrid(latents.shape, patchSize);
    const N = grid[0] * grid[1] * grid[2];
    const rowOf = constant(
      [B * N],
      Uint32Array.from({ length: B * N }, (_, i) => Math.floor(i / N)),
      "time row of token",
    );
    const angles = rotaryOf(gridPositions(...grid), headDim);
    const { temb, modulation } = scope("condition_embedder", () => this.#time.forward(sinusoids));
    let x = scope("patch_embedding", () => through(patches(latents, patchSize), this.#patch)); // (B, N, D)
    const captured = new Map<number, Tensor>();
    this.#blocks.forEach((block, i) => {
      x = scope(`blocks.${i}`, () => block.forward(x, { modulation, rowOf }, angles, context[i]));
      if (capture.includes(i)) captured.set(i, x);
    });
    const tokens = scope("proj_out", () => this.#head.forward(x, temb, rowOf, this.#out));
    return { velocity: unpatched(tokens, grid, patchSize), temb, captured };
  }

  #padded(text: Tensor): Tensor {
    const { textLength } = this.config;
    const [B, S, E] = text.shape;
    if (textLength === undefined || S === textLength) return text;
    if (S > textLength)
      throw new UsageError(`Wan transformer: ${S} rows of text, the model reads ${textLength}`);
    const zeros = new Float32Array(B * (textLength - S) * E);
    return concat([text, constant([B, textLength - S, E], zeros, "padding")], 1);
  }

  #embedImage(image: Tensor | undefined): Tensor | undefined {
    if ((image === undefined) !== (this.#image === undefined))
      throw new UsageError(
        `Wan transformer: image tokens are ${image ? "given, and the model reads none" : "missing, and the model reads them"}`,
      );
    return image && this.#image!.forward(image);
  }
}
