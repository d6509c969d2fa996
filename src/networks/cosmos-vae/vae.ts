/**
 * The video autoencoder of Cosmos 1.0 (diffusers `AutoencoderKLCosmos`; docs/references.md, "Cosmos VAE"): a clip to latents
 * and back. It has no noise: encoding is the posterior.
 *
 * Axes: B batch, C channels, T frames, H and W rows and columns; Z, t, h, w the same in latents; p the patch size. Inside, everything is
 * channels last, (B, T, H, W, C), so that 1×1×1 convolutions are linear maps. A clip is computed whole: behind the
 * patches a frame of 480 × 640 has 120 × 160 pixels. The published model plans 0.55 GB to encode 17 such frames and 0.9 GB to decode
 * them (planned at 96 × 128 and scaled by the pixels, 2026-11-22).
 */
import { scope } from "../../gpu/recording.ts";
import { permute, slice } from "../../kernels/copy.ts";
import { haar, inverseHaar } from "../../kernels/haar.ts";
import { foldPatches, type PatchLayout, repeatFirstFrame, unfoldPatches } from "../../kernels/resample.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { type CosmosVaeConfig, decoderLevels, encoderLevels } from "./config.ts";
import { buildHalves, checkClip, loadedHalf, Pointwise, type VaeParts } from "../vae.ts";
import { ConvProjection, Downsampler, Head, Level, MidBlock, Upsampler } from "./layers.ts";

export { type CosmosVaeConfig, readCosmosVaeConfig } from "./config.ts";

export type { VaeParts } from "../vae.ts";

const NAME = "Cosmos VAE";

/** Clips to patches of p × p × p pixels and back; the first frame fills a patch of its own. */
interface Patching {
  /** (B, T, H, W, C) → (B, ⌈(T + p − 1)/p⌉, ⌈H/p⌉, ⌈W/p⌉, C·p³) */
  fold(x: Tensor): Tensor;
  /** (B, t, h, w, C·p³) → (B, p·t − p + 1, p·h, p·w, C) */
  unfold(x: Tensor): Tensor;
}

function haarPatching(p: number): Patching {
  const levels = Math.log2(p);
  return {
    fold(x) {
      // The copies of the first frame belong to the first level only.
      for (let i = 0; i < levels; i++) x = haar(x, i === 0 ? p - 1 : 0);
      return x;
    },
    unfold(x) {
      for (let i = levels - 1; i >= 0; i--) x = inverseHaar(x, i === 0 ? p - 1 : 0);
      return x;
    },
  };
}

function rearrangePatching(p: number): Patching {
  const layout: PatchLayout = { size: [p, p, p], step: [p * p, p, 1] };
  return {
    fold: (x) => foldPatches(repeatFirstFrame(x, p - 1), layout),
    unfold(x) {
      const frames = unfoldPatches(x, layout);
      return p === 1 ? frames : slice(frames, 1, p - 1, frames.dim(1));
    },
  };
}

const PATCHING = { haar: haarPatching, rearrange: rearrangePatching } as const;

class Encoder {
  readonly #patching: Patching;
  readonly #in: ConvProjection;
  readonly #levels: readonly Level[];
  readonly #mid: MidBlock;
  readonly #head: Head;
  readonly #quant: Pointwise;

  constructor(config: CosmosVaeConfig, w: WeightLoader) {
    const inner = w.within("encoder");
    const { encoderWidths: widths, patchSize, latentChannels } = config;
    const deepest = widths[widths.length - 1];
    this.#patching = PATCHING[config.patchType](patchSize);
    this.#in = new ConvProjection(inner.within("conv_in"), config.inChannels * patchSize ** 3, widths[0]);
    this.#levels = encoderLevels(config).map((level, i) => {
      const at = inner.within(`down_blocks.${i}`);
      return new Level(at, level, () => new Downsampler(at.within("downsamplers.0"), level.out, level));
    });
    this.#mid = new MidBlock(inner.within("mid_block"), deepest);
    this.#head = new Head(inner, deepest, latentChannels);
    this.#quant = new Pointwise(w.within("quant_conv"), latentChannels, latentChannels);
  }

  forward(video: Tensor): Tensor {
    let x = this.#patching.fold(permute(video, 0, 2, 3, 4, 1)); // (B, T/p, H/p, W/p, C·p³)
    x = scope("conv_in", () => this.#in.forward(x));
    this.#levels.forEach((level, i) => {
      x = scope(`down_blocks.${i}`, () => level.forward(x));
    });
    x = scope("mid_block", () => this.#mid.forward(x));
    x = scope("conv_out", () => this.#quant.forward(this.#head.forward(x))); // (B, t, h, w, Z)
    return permute(x, 0, 4, 1, 2, 3);
  }
}

class Decoder {
  readonly #patching: Patching;
  readonly #quant: Pointwise;
  readonly #in: ConvProjection;
  readonly #mid: MidBlock;
  readonly #levels: readonly Level[];
  readonly #head: Head;

  constructor(config: CosmosVaeConfig, w: WeightLoader) {
    const inner = w.within("decoder");
    const { decoderWidths: widths, patchSize, latentChannels } = config;
    const deepest = widths[widths.length - 1];
    this.#patching = PATCHING[config.patchType](patchSize);
    this.#quant = new Pointwise(w.within("post_quant_conv"), latentChannels, latentChannels);
    this.#in = new ConvProjection(inner.within("conv_in"), latentChannels, deepest);
    this.#mid = new MidBlock(inner.within("mid_block"), deepest);
    this.#levels = decoderLevels(config).map((level, i) => {
      const at = inner.within(`up_blocks.${i}`);
      return new Level(at, level, () => new Upsampler(at.within("upsamplers.0"), level.out, level));
    });
    this.#head = new Head(inner, widths[0], config.outChannels * patchSize ** 3);
  }

  forward(latents: Tensor): Tensor {
    let x = this.#quant.forward(permute(latents, 0, 2, 3, 4, 1)); // (B, t, h, w, Z)
    x = scope("conv_in", () => this.#in.forward(x));
    x = scope("mid_block", () => this.#mid.forward(x));
    this.#levels.forEach((level, i) => {
      x = scope(`up_blocks.${i}`, () => level.forward(x));
    });
    x = scope("conv_out", () => this.#head.forward(x));
    return permute(this.#patching.unfold(x), 0, 4, 1, 2, 3);
  }
}

/** The autoencoder; its methods record (see recording.ts) and may be called in one recording or several. */
export class CosmosVae {
  readonly config: CosmosVaeConfig;
  readonly #halves: { readonly encoder?: Encoder; readonly decoder?: Decoder };

  /** Asks for the weights of `parts`; the other half of the checkpoint is left unread. */
  constructor(config: CosmosVaeConfig, loader: WeightLoader, parts: VaeParts = "both") {
    this.config = config;
    const encoder = () => new Encoder(config, loader);
    this.#halves = buildHalves(parts, loader, encoder, () => new Decoder(config, loader));
  }

  /**
   * video (B, C, T, H, W) in [−1, 1] → latents (B, Z, t, h, w), not normalised by the latents' statistics.
   * @throws UsageError when the channels are wrong, the encoder is not loaded, or a level that halves meets an odd size
   */
  encode(video: Tensor): Tensor {
    checkClip(NAME, video, "video", this.config.inChannels);
    return scope("encoder", () => loadedHalf(NAME, this.#halves.encoder, "encoder").forward(video));
  }

  /**
   * latents (B, Z, t, h, w) → video (B, C, T, H, W), not clamped to [−1, 1].
   * @throws UsageError when the channels are wrong or the decoder is not loaded
   */
  decode(latents: Tensor): Tensor {
    checkClip(NAME, latents, "latents", this.config.latentChannels);
    return scope("decoder", () => loadedHalf(NAME, this.#halves.decoder, "decoder").forward(latents));
  }
}
