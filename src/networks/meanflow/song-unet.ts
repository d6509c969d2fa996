/**
 * The U-Net of py-meanflow for CIFAR-10 (DDPM++ of Song et al. 2021, in the form of EDM, Karras et al. 2022): residual blocks that change the
 * resolution inside, through a filter; the embedding of t and t − r is added to the channels before a block's second norm.
 *
 * Axes: B pictures of H × W pixels, M channels of the first level, C of a block, n of a time's sinusoids, E of the embedding. Channels last
 * inside.
 */
import { concat } from "../../kernels/copy.ts";
import { activation, add, affine } from "../../kernels/elementwise.ts";
import { filteredResample, type Resampling } from "../../kernels/filtered-resample.ts";
import { linear } from "../../kernels/linear.ts";
import { modulate } from "../../kernels/modulate.ts";
import { wideAttention } from "../../kernels/wide-attention.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { SongUNetConfig } from "./config.ts";
import { Convolution, GroupNorm, Linear, toPictures, toPixels } from "./layers.ts";
import {
  checkState,
  durations,
  type Feature,
  hears,
  type MeanFlowNetwork,
  type Rates,
  sinusoids,
  sinusoidTangents,
  type Told,
  type Velocity,
} from "./network.ts";

const EPSILON = 1e-6;

const norm = (w: WeightLoader, key: string, channels: number): GroupNorm =>
  new GroupNorm(w, key, channels, Math.min(32, Math.floor(channels / 4)), EPSILON);

interface Attention {
  readonly norm: GroupNorm;
  readonly qkv: Linear;
  readonly proj: Linear;
}

interface BlockOptions {
  readonly attends?: boolean;
  readonly resample?: Resampling;
}

/** h = conv₁(silu(norm₁(conv₀(silu(norm₀(x))) + affine(emb)))); y = (h + skip(x))·√½; y = (y + proj(attention(qkv(norm₂(y)))))·√½ */
class Block {
  readonly #resample: Resampling | undefined;
  readonly #filters: { readonly conv: Tensor; readonly skip: Tensor } | undefined;
  readonly #norms: readonly [GroupNorm, GroupNorm];
  readonly #convs: readonly [Convolution, Convolution];
  readonly #told: Linear;
  readonly #skip: Linear | undefined;
  readonly #attention: Attention | undefined;

  constructor(
    w: WeightLoader,
    inner: number,
    out: number,
    embedding: number,
    filterTaps: number,
    { attends = false, resample }: BlockOptions = {},
  ) {
    this.#resample = resample;
    if (resample) {
      const filter = (key: string) => w.tensor(`${key}.resample_filter`, [1, 1, filterTaps, filterTaps]);
      this.#filters = { conv: filter("conv0"), skip: filter("skip") };
    }
    this.#norms = [norm(w, "norm0", inner), norm(w, "norm1", out)];
    this.#convs = [new Convolution(w, "conv0", inner, out, 3), new Convolution(w, "conv1", out, out, 3)];
    this.#told = new Linear(w, "affine", embedding, out);
    if (inner !== out || resample) this.#skip = new Linear(w, "skip", inner, out, [1, 1]);
    if (!attends) return;
    this.#attention = {
      norm: norm(w, "norm2", out),
      qkv: new Linear(w, "qkv", out, 3 * out, [1, 1]),
      proj: new Linear(w, "proj", out, out, [1, 1]),
    };
  }

  /** x (B, H, W, C), the embedding (B, E) */
  forward(x: Tensor, embedding: Tensor): Tensor {
    const [norm0, norm1] = this.#norms;
    const [conv0, conv1] = this.#convs;
    const resized = (y: Tensor, filter?: Tensor): Tensor =>
      filter ? filteredResample(y, filter, this.#resample!) : y;
    const h = conv0.forward(resized(norm0.forward(x, "silu"), this.#filters?.conv));
    const film = { table: this.#told.forward(embedding), shift: 0 }; // (B, C)
    const told = modulate(h.reshape(h.dim(0), -1, h.dim(-1)), film).reshape(...h.shape);
    const shortcut = resized(x, this.#filters?.skip);
    const residual = this.#skip?.forward(shortcut) ?? shortcut;
    const y = affine(conv1.forward(norm1.forward(told, "silu"), residual), Math.SQRT1_2);
    return this.#attention ? this.#attend(y, this.#attention) : y;
  }

  /** One head, as wide as the channels. */
  #attend(y: Tensor, { norm: norm2, qkv, proj }: Attention): Tensor {
    const [B, H, W, C] = y.shape;
    const tensor = qkv.forward(norm2.forward(y)).reshape(B, H * W, 3 * C);
    const mixed = wideAttention({ tensor }, { tensor, offset: C }, { tensor, offset: 2 * C }, C);
    return affine(proj.forward(mixed.reshape(B, H, W, C), { residual: y }), Math.SQRT1_2);
  }
}

/** A block of the way up, which reads a skip beside what comes from below. */
interface Up {
  readonly block: Block;
  readonly joins: boolean;
}

export class SongUNet implements MeanFlowNetwork {
  readonly stateTime = "t";
  readonly state: readonly number[];
  readonly #config: SongUNetConfig;
  readonly #maps: readonly [Linear, Linear];
  readonly #augment: Matrix | undefined;
  readonly #in: Convolution;
  readonly #downs: readonly Block[];
  readonly #ups: readonly Up[];
  readonly #norm: GroupNorm;
  readonly #out: Convolution;

  constructor(config: SongUNetConfig, w: WeightLoader) {
    const { resolution, channels, out, baseChannels: M, multipliers, blocks, filterTaps, augment } = config;
    this.#config = config;
    this.state = [channels, resolution, resolution];
    const [E, times] = [M * config.embedding, 2 * M * config.sinusoids];
    this.#maps = [new Linear(w, "map_layer0", times, E), new Linear(w, "map_layer1", E, E)];
    if (augment > 0) this.#augment = w.linear("map_augment.weight", times, augment);

    const block = (key: string, inner: number, wide: number, options?: BlockOptions): Block =>
      new Block(w.within(key), inner, wide, E, filterTaps, options);
    const levels = multipliers.map((multiplier, level) => {
      const side = resolution / 2 ** level;
      const attends = config.attentionResolutions.includes(side);
      return { name: `${side}x${side}`, wide: M * multiplier, attends };
    });

    let width = M;
    this.#in = new Convolution(w, `enc.${levels[0].name}_conv`, channels, M, 3);
    // Widths of the outputs of the way down, the first convolution's included.
    const waiting = [width];
    this.#downs = levels.flatMap(({ name, wide, attends }, level) => {
      const down = level > 0 ? [block(`enc.${name}_down`, width, width, { resample: "down" })] : [];
      waiting.push(...down.map(() => width));
      const plain = Array.from({ length: blocks }, (_, i) => {
        const made = block(`enc.${name}_block${i}`, width, wide, { attends });
        width = wide;
        waiting.push(width);
        return made;
      });
      return [...down, ...plain];
    });
    this.#ups = [...levels].reverse().flatMap(({ name, wide, attends }, up): Up[] => {
      const first =
        up === 0
          ? [
              block(`dec.${name}_in0`, width, width, { attends: true }),
              block(`dec.${name}_in1`, width, width),
            ]
          : [block(`dec.${name}_up`, width, width, { resample: "up" })];
      const plain = Array.from({ length: blocks + 1 }, (_, i) => {
        const options = { attends: attends && i === blocks };
        const made = block(`dec.${name}_block${i}`, width + waiting.pop()!, wide, options);
        width = wide;
        return { block: made, joins: true };
      });
      return [...first.map((alone) => ({ block: alone, joins: false })), ...plain];
    });
    const top = `dec.${levels[0].name}_aux`;
    this.#norm = norm(w, `${top}_norm`, width);
    this.#out = new Convolution(w, `${top}_conv`, width, out, 3);
  }

  features(told: Told): Readonly<Record<string, Feature>> {
    const { baseChannels, sinusoids: wider, augment } = this.#config;
    hears("song_unet", told, ...(augment > 0 ? (["augment"] as const) : []));
    const n = baseChannels * wider;
    return {
      time: sinusoids(told.t, n, "sine first"),
      duration: sinusoids(durations(told), n, "sine first"),
      ...(told.augment && {
        augment: { shape: [told.t.length, augment], data: Float32Array.from(told.augment) },
      }),
    };
  }

  featureTangents(told: Told, rates: Rates): Readonly<Record<string, Feature>> {
    const n = this.#config.baseChannels * this.#config.sinusoids;
    return {
      time: sinusoidTangents(told.t, rates.t, n, "sine first"),
      duration: sinusoidTangents(durations(told), durations(rates), n, "sine first"),
    };
  }

  forward(x: Tensor, features: Readonly<Record<string, Tensor>>): Velocity {
    checkState("song_unet", x, this.state);
    const embedding = this.#embed(features); // (B, E)
    let h = this.#in.forward(toPixels(x)); // (B, H, W, M)
    const skips = [h];
    for (const block of this.#downs) {
      h = block.forward(h, embedding);
      skips.push(h);
    }
    for (const { block, joins } of this.#ups) {
      h = block.forward(joins ? concat([h, skips.pop()!], 3) : h, embedding);
    }
    return { u: toPictures(this.#out.forward(this.#norm.forward(h, "silu"))) };
  }

  #embed({ time, duration, augment }: Readonly<Record<string, Tensor>>): Tensor {
    const times = concat([time, duration], 1); // (B, 2·n)
    const both = augment && this.#augment ? add(times, linear(augment, this.#augment)) : times;
    const [first, second] = this.#maps;
    return activation(second.forward(activation(first.forward(both), "silu")), "silu");
  }
}
