/**
 * The video autoencoder of Wan 2.1, which Cosmos-Predict2 and 2.5 use, and of Wan 2.2 (diffusers `AutoencoderKLWan`;
 * docs/references.md, "Wan VAE"): a clip to the mean and log variance of its latents, and latents back to a clip.
 *
 * Axes: B batch, C channels, T frames, H and W rows and columns; Z, t, h, w the same in latents; p the patch size. Inside, everything
 * is channels last, (B, T, H, W, C).
 *
 * Like the reference, both directions run in chunks: one frame, then four at a time into the encoder; one latent frame at a time
 * through the decoder. Frames of more than PIXELS_AT_ONCE pixels go one by one where no layer needs them together. At 480 × 640
 * the published model then plans 3.5 GB to encode 17 frames and 6.0 GB to decode them, in tensors of at most 0.4 GB; with whole chunks
 * 5.8 and 9.1 GB (planned at 96 × 128 and scaled by the pixels, 2026-11-22). Most of it is what the convolutions keep
 * between frames: twice a frame of 118 MB for each at full resolution.
 */
import { UsageError } from "../../errors.ts";
import { scope } from "../../gpu/recording.ts";
import { concat, permute, slice } from "../../kernels/copy.ts";
import { activation, clamp } from "../../kernels/elementwise.ts";
import { foldPatches, type PatchLayout, unfoldPatches } from "../../kernels/resample.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { buildHalves, checkClip, loadedHalf, Pointwise, type VaeParts } from "../vae.ts";
import type { WanVaeConfig } from "./config.ts";
import { ResidualDown, ResidualUp } from "./residual-levels.ts";
import {
  CausalConvolution,
  ChannelNorm,
  Downsampler,
  FrameAttention,
  type Layer,
  MidBlock,
  Past,
  ResidualBlock,
  Upsampler,
} from "./layers.ts";

export { Past } from "./layers.ts";
export { readWanVaeConfig, type WanVaeConfig } from "./config.ts";

/** The latents' distribution, (B, Z, t, h, w) each; not normalised by the latents' statistics. */
export interface WanPosterior {
  readonly mean: Tensor;
  /** limited to [−30, 20] */
  readonly logvar: Tensor;
}

const NAME = "Wan VAE";

const CHUNK = 4;

// Below a frame of 240 × 320 and above one of 120 × 160: larger frames go one by one, smaller ones fill a GPU only together.
const PIXELS_AT_ONCE = 2 ** 16;

/** norm → silu → convolution: how encoder and decoder end. */
class Head implements Layer {
  readonly #norm: ChannelNorm;
  readonly #conv: CausalConvolution;

  constructor(w: WeightLoader, inner: number, out: number) {
    this.#norm = new ChannelNorm(w.within("norm_out"), inner);
    this.#conv = new CausalConvolution(w.within("conv_out"), inner, out);
  }

  forward(x: Tensor, past: Past): Tensor {
    return this.#conv.forward(activation(this.#norm.forward(x), "silu"), past);
  }
}

/**
 * Runs chunks of frames through all layers, one chunk after the other, and joins what comes out. Between two changes of the number of
 * frames a chunk is cut further, to about `pixelsAtOnce` pixels: the convolutions keep what they need either way.
 */
function stream(
  x: Tensor,
  chunks: readonly (readonly [number, number])[],
  layers: readonly NamedLayer[],
  pixelsAtOnce: number,
  past = new Past(),
): Tensor {
  const through = (h: Tensor, run: readonly NamedLayer[]): Tensor =>
    run.reduce((y, { name, layer }) => scope(name, () => layer.forward(y, past)), h);
  const results = chunks.map(([start, end]) => {
    let h = slice(x, 1, start, end);
    for (const { frameWise, together } of segments(layers)) {
      const [, T, H, W] = h.shape;
      const frames = Math.max(1, Math.floor(pixelsAtOnce / (H * W)));
      const pieces: Tensor[] = [];
      for (let t = 0; t < T; t += frames) {
        const piece = frames < T ? slice(h, 1, t, Math.min(t + frames, T)) : h;
        pieces.push(through(piece, frameWise));
      }
      h = through(concat(pieces, 1), together);
    }
    past.first = false;
    return h;
  });
  return concat(results, 1);
}

interface Segment {
  /** layers that any number of frames may pass at a time */
  readonly frameWise: NamedLayer[];
  /** the layer behind them that resamples time; none at the end */
  readonly together: NamedLayer[];
}

function segments(layers: readonly NamedLayer[]): Segment[] {
  const list: Segment[] = [{ frameWise: [], together: [] }];
  for (const named of layers) {
    const open = list[list.length - 1];
    if (named.layer.resamplesTime) {
      open.together.push(named);
      list.push({ frameWise: [], together: [] });
    } else open.frameWise.push(named);
  }
  return list;
}

interface NamedLayer {
  readonly name: string;
  readonly layer: Layer;
}

function encoderLayers(config: WanVaeConfig, w: WeightLoader): NamedLayer[] {
  const { encoderWidths: widths, encoderStart, attentionScales, halvesTime } = config;
  const deepest = widths[widths.length - 1];
  // The reference numbers residual blocks, attentions and resamplers of all levels in one list.
  const down: Layer[] = [];
  const next = (): WeightLoader => w.within(`down_blocks.${down.length}`);
  widths.forEach((out, level) => {
    if (config.residual) {
      const inner = level > 0 ? widths[level - 1] : encoderStart;
      down.push(new ResidualDown(next(), { inner, out, blocks: config.blocks, time: halvesTime.at(level) }));
      return;
    }
    for (let i = 0; i < config.blocks; i++) {
      const inner = i > 0 ? out : level > 0 ? widths[level - 1] : encoderStart;
      down.push(new ResidualBlock(next(), inner, out));
      if (attentionScales.includes(2 ** -level)) down.push(new FrameAttention(next(), out));
    }
    if (level < halvesTime.length) down.push(new Downsampler(next(), out, halvesTime[level]));
  });
  return [
    { name: "conv_in", layer: new CausalConvolution(w.within("conv_in"), config.inChannels, encoderStart) },
    ...down.map((layer, i) => ({ name: `down_blocks.${i}`, layer })),
    { name: "mid_block", layer: new MidBlock(w.within("mid_block"), deepest) },
    { name: "conv_out", layer: new Head(w, deepest, 2 * config.latentChannels) },
  ];
}

function decoderLayers(config: WanVaeConfig, w: WeightLoader): NamedLayer[] {
  const { decoderWidths, doublesTime } = config;
  const widths = [...decoderWidths].reverse();
  const up = widths.flatMap((out, level) => {
    const name = `up_blocks.${level}`;
    const at = w.within(name);
    if (config.residual) {
      const sizes = { inner: widths[Math.max(0, level - 1)], out, blocks: config.blocks + 1 };
      return [{ name, layer: new ResidualUp(at, { ...sizes, time: doublesTime.at(level) }) }];
    }
    // Every step up has halved the channels.
    const inner = level > 0 ? Math.floor(widths[level - 1] / 2) : widths[0];
    const layers: Layer[] = Array.from(
      { length: config.blocks + 1 },
      (_, i) => new ResidualBlock(at.within(`resnets.${i}`), i > 0 ? out : inner, out),
    );
    if (level < doublesTime.length)
      layers.push(new Upsampler(at.within("upsamplers.0"), out, doublesTime[level]));
    return layers.map((layer) => ({ name, layer }));
  });
  return [
    { name: "conv_in", layer: new CausalConvolution(w.within("conv_in"), config.latentChannels, widths[0]) },
    { name: "mid_block", layer: new MidBlock(w.within("mid_block"), widths[0]) },
    ...up,
    { name: "conv_out", layer: new Head(w, widths[widths.length - 1], config.outChannels) },
  ];
}

interface Half {
  readonly layers: readonly NamedLayer[];
  readonly quant: Pointwise;
}

/** The autoencoder; its methods record (see recording.ts) and may be called in one recording or several. */
export class WanVae {
  readonly config: WanVaeConfig;
  readonly #patches: PatchLayout;
  readonly #halves: { readonly encoder?: Half; readonly decoder?: Half };
  readonly #pixelsAtOnce: number;

  /**
   * Asks for the weights of `parts`; the other half of the checkpoint is left unread. `pixelsAtOnce` is how many pixels of a chunk pass
   * the layers together, at the least one frame: it changes memory and speed, not the result.
   */
  constructor(
    config: WanVaeConfig,
    loader: WeightLoader,
    parts: VaeParts = "both",
    pixelsAtOnce = PIXELS_AT_ONCE,
  ) {
    this.#pixelsAtOnce = pixelsAtOnce;
    const { latentChannels: Z, patchSize: p } = config;
    this.config = config;
    this.#patches = { size: [1, p, p], step: [0, 1, p] };
    this.#halves = buildHalves(
      parts,
      loader,
      () => ({
        layers: encoderLayers(config, loader.within("encoder")),
        quant: new Pointwise(loader.within("quant_conv"), 2 * Z, 2 * Z),
      }),
      () => ({
        layers: decoderLayers(config, loader.within("decoder")),
        quant: new Pointwise(loader.within("post_quant_conv"), Z, Z),
      }),
    );
  }

  /**
   * video (B, 3, T, H, W) in [−1, 1] → distribution of the latents, (B, Z, 1 + ⌊(T − 1)/4⌋, H/8, W/8) at the published configuration.
   * Frames after the last whole group of four are left out, as in the reference.
   * @throws UsageError when the channels are wrong, the encoder is not loaded, or a level has too few rows or columns
   */
  encode(video: Tensor): WanPosterior {
    const groups = Math.floor((video.dim(2) - 1) / CHUNK);
    const chunks: [number, number][] = [[0, 1]];
    for (let i = 0; i < groups; i++) chunks.push([1 + CHUNK * i, 1 + CHUNK * (i + 1)]);
    return this.#encode(video, chunks, new Past());
  }

  /**
   * The next frames of a clip, of which `past` has seen those before: first a single frame, then four at a time, or several fours. Gives the latents
   * that `encode` of the whole clip so far would have more.
   * @throws UsageError for another number of frames, and as `encode` does
   */
  encodeNext(video: Tensor, past: Past): WanPosterior {
    const T = video.dim(2);
    if (past.first ? T !== 1 : T === 0 || T % CHUNK !== 0)
      throw new UsageError(
        `${NAME}: ${T} frames ${past.first ? "begin a clip, which one begins" : `go on with a clip, which goes on by multiples of ${CHUNK}`}`,
      );
    const each = past.first ? 1 : CHUNK;
    const chunks = Array.from({ length: T / each }, (_, i): [number, number] => [each * i, each * (i + 1)]);
    return this.#encode(video, chunks, past);
  }

  #encode(video: Tensor, chunks: readonly (readonly [number, number])[], past: Past): WanPosterior {
    const { latentChannels: Z, patchSize, inChannels } = this.config;
    const { layers, quant } = loadedHalf(NAME, this.#halves.encoder, "encoder");
    checkClip(NAME, video, "video", inChannels / patchSize ** 2);
    return scope("encoder", () => {
      const pixels = foldPatches(permute(video, 0, 2, 3, 4, 1), this.#patches); // (B, T, H/p, W/p, C·p²)
      const moments = quant.forward(stream(pixels, chunks, layers, this.#pixelsAtOnce, past)); // (B, t, h, w, 2·Z)
      const part = (from: number) => permute(slice(moments, 4, from, from + Z), 0, 4, 1, 2, 3);
      return { mean: part(0), logvar: clamp(part(Z), -30, 20) };
    });
  }

  /**
   * latents (B, Z, t, h, w) → video (B, 3, 1 + 4·(t − 1), 8·h, 8·w) at the published configuration, clamped to [−1, 1].
   * @throws UsageError when the channels are wrong or the decoder is not loaded
   */
  decode(latents: Tensor): Tensor {
    const { layers, quant } = loadedHalf(NAME, this.#halves.decoder, "decoder");
    checkClip(NAME, latents, "latents", this.config.latentChannels);
    return scope("decoder", () => {
      const z = quant.forward(permute(latents, 0, 2, 3, 4, 1)); // (B, t, h, w, Z)
      const chunks = Array.from({ length: z.dim(1) }, (_, i): [number, number] => [i, i + 1]);
      const pixels = unfoldPatches(stream(z, chunks, layers, this.#pixelsAtOnce), this.#patches); // (B, T, H, W, C)
      return clamp(permute(pixels, 0, 4, 1, 2, 3), -1, 1);
    });
  }
}
