/**
 * The levels of the Wan 2.2 video autoencoder: the blocks of 2.1 and a change of resolution, and around both a shortcut without weights that
 * changes the resolution too. Axes: B batch, T frames of a chunk, H rows, W columns, C channels, channels last throughout; f frames, s rows
 * and columns that become one, or one becomes.
 *
 *   down: y = mean of G consecutive ones of the C·f·s² channels that a block of f·s·s pixels has, channel slowest
 *   up:   channel c, G times over, read as C'·f·s² channels of which f·s·s pixels are made
 */
import { UsageError } from "../../errors.ts";
import { concat, expand, slice } from "../../kernels/copy.ts";
import { add } from "../../kernels/elementwise.ts";
import { averagePool, foldPatches, type PatchLayout, unfoldPatches } from "../../kernels/resample.ts";
import { constant, showShape, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { Downsampler, type Layer, type Past, ResidualBlock, Upsampler } from "./layers.ts";

export interface LevelSizes {
  readonly inner: number;
  readonly out: number;
  /** residual blocks */
  readonly blocks: number;
  /** whether the level's step changes the number of frames; undefined: there is no step */
  readonly time: boolean | undefined;
}

/** Offsets of a block of f frames and s × s pixels, frames slowest, columns fastest. */
const layout = (f: number, s: number): PatchLayout => ({ size: [f, s, s], step: [s * s, s, 1] });

const residualBlocks = (w: WeightLoader, { inner, out, blocks }: LevelSizes): readonly ResidualBlock[] =>
  Array.from(
    { length: blocks },
    (_, i) => new ResidualBlock(w.within(`resnets.${i}`), i > 0 ? out : inner, out),
  );

/** A whole number of channels for each. @throws UsageError when there is none */
function channelsEach(many: number, few: number, x: Tensor): number {
  if (many % few === 0) return many / few;
  throw new UsageError(
    `Wan VAE: the shortcut of a level shares ${many} channels among ${few} (input ${showShape(x.shape)})`,
  );
}

export class ResidualDown implements Layer {
  readonly resamplesTime: boolean;
  readonly #sizes: LevelSizes;
  readonly #blocks: readonly ResidualBlock[];
  readonly #step: Downsampler | undefined;

  constructor(w: WeightLoader, sizes: LevelSizes) {
    this.resamplesTime = sizes.time === true;
    this.#sizes = sizes;
    this.#blocks = residualBlocks(w, sizes);
    if (sizes.time !== undefined)
      this.#step = new Downsampler(w.within("downsampler"), sizes.out, sizes.time);
  }

  forward(x: Tensor, past: Past): Tensor {
    const h = this.#blocks.reduce((y, block) => block.forward(y, past), x);
    return add(this.#step?.forward(h, past) ?? h, this.#shortcut(x));
  }

  /** A clip's first frame is paired with zeros, not with a copy. */
  #shortcut(x: Tensor): Tensor {
    const { out, time } = this.#sizes;
    const [f, s] = [time ? 2 : 1, time === undefined ? 1 : 2];
    const [B, T, H, W, C] = x.shape;
    const zeros = (): Tensor => constant([B, 1, H, W, C], new Float32Array(B * H * W * C), "frame of zeros");
    const folded = foldPatches(T % f === 0 ? x : concat([zeros(), x], 1), layout(f, s)); // (B, T/f, H/s, W/s, C·f·s²)
    const group = channelsEach(folded.dim(-1), out, x);
    if (group === 1) return folded;
    const means = averagePool(folded.reshape(1, 1, -1, group, 1), [1, 1, group]);
    return means.reshape(...folded.shape.slice(0, 4), out);
  }
}

export class ResidualUp implements Layer {
  readonly resamplesTime: boolean;
  readonly #sizes: LevelSizes;
  readonly #blocks: readonly ResidualBlock[];
  readonly #step: Upsampler | undefined;

  constructor(w: WeightLoader, sizes: LevelSizes) {
    const { out, time } = sizes;
    this.resamplesTime = time === true;
    this.#sizes = sizes;
    this.#blocks = residualBlocks(w, sizes);
    if (time !== undefined) this.#step = new Upsampler(w.within("upsampler"), out, time, out);
  }

  forward(x: Tensor, past: Past): Tensor {
    const h = this.#blocks.reduce((y, block) => block.forward(y, past), x);
    // The last level has no step, and no shortcut.
    return this.#step ? add(this.#step.forward(h, past), this.#shortcut(x, past)) : h;
  }

  /** A clip's first frame becomes one frame, the last of those it would become. */
  #shortcut(x: Tensor, { first }: Past): Tensor {
    const { out, time } = this.#sizes;
    const f = time ? 2 : 1;
    const [B, T, H, W, C] = x.shape;
    const group = channelsEach(4 * f * out, C, x);
    const repeated = expand(x.reshape(B * T, H * W * C, 1), B * T, H * W * C, group).reshape(B, T, H, W, -1);
    const frames = unfoldPatches(repeated, layout(f, 2)); // (B, f·T, 2·H, 2·W, out)
    return first && f > 1 ? slice(frames, 1, f - 1, f * T) : frames;
  }
}
