/**
 * The U-Net of kylevedder/DenoisingZoo (after ADM, Dhariwal & Nichol 2021), over [x | plane of r | plane of t]; the embedding of t and t − r
 * scales and shifts the channels of every block before its second norm.
 *
 * Axes: B pictures of H × W pixels, b channels of the first level, C of a block, E = 4·b of the embedding. Channels last inside.
 */
import { attention } from "../../kernels/attention.ts";
import { concat } from "../../kernels/copy.ts";
import { activation } from "../../kernels/elementwise.ts";
import { modulate } from "../../kernels/modulate.ts";
import { wideAttention } from "../../kernels/wide-attention.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { ZooUNetConfig } from "./config.ts";
import {
  Convolution,
  GroupNorm,
  Linear,
  TimeEmbedder,
  toPictures,
  toPixels,
  withTimePlanes,
} from "./layers.ts";
import {
  checkState,
  durations,
  each,
  type Feature,
  hears,
  type MeanFlowNetwork,
  type Rates,
  sinusoids,
  sinusoidTangents,
  type Told,
  type Velocity,
} from "./network.ts";

const EPSILON = 1e-5;
const GROUPS = 32;

/** conv₂(silu(norm₂(conv₁(silu(norm₁(x)))·(1 + scale) + shift))) + skip(x) */
class ResidualBlock {
  readonly #norms: readonly [GroupNorm, GroupNorm];
  readonly #convs: readonly [Convolution, Convolution];
  readonly #told: Linear;
  readonly #skip: Linear | undefined;
  readonly #out: number;

  constructor(w: WeightLoader, inner: number, out: number, embedding: number) {
    this.#norms = [
      new GroupNorm(w, "norm1", inner, GROUPS, EPSILON),
      new GroupNorm(w, "norm2", out, GROUPS, EPSILON),
    ];
    this.#convs = [new Convolution(w, "conv1", inner, out, 3), new Convolution(w, "conv2", out, out, 3)];
    this.#told = new Linear(w, "time_mlp.1", embedding, 2 * out);
    if (inner !== out) this.#skip = new Linear(w, "skip", inner, out, [1, 1]);
    this.#out = out;
  }

  /** x (B, H, W, C), silu of the embedding (B, E) */
  forward(x: Tensor, embedding: Tensor): Tensor {
    const [norm1, norm2] = this.#norms;
    const [conv1, conv2] = this.#convs;
    const h = conv1.forward(norm1.forward(x, "silu"));
    const film = { table: this.#told.forward(embedding), scale: 0, shift: this.#out }; // (B, 2·C)
    const told = modulate(h.reshape(h.dim(0), -1, this.#out), film).reshape(...h.shape);
    return conv2.forward(norm2.forward(told, "silu"), this.#skip?.forward(x) ?? x);
  }
}

/** Up to this width a head's query and output stay in registers (kernels/wide-attention.ts). */
const NARROW = 64;

/** x + proj(attention(qkv(norm(x)))) over all pixels */
class Attention {
  readonly #norm: GroupNorm;
  readonly #qkv: Linear;
  readonly #proj: Linear;
  readonly #heads: number;

  constructor(w: WeightLoader, channels: number, heads: number) {
    this.#norm = new GroupNorm(w, "norm", channels, GROUPS, EPSILON);
    this.#qkv = new Linear(w, "qkv", channels, 3 * channels, [1, 1]);
    this.#proj = new Linear(w, "proj", channels, channels, [1, 1]);
    this.#heads = heads;
  }

  forward(x: Tensor): Tensor {
    const [B, H, W, C] = x.shape;
    const [heads, headDim] = [this.#heads, C / this.#heads];
    const tensor = this.#qkv.forward(this.#norm.forward(x)).reshape(B, H * W, 3 * C);
    const slices = (from: number) => [0, C, 2 * C].map((at) => ({ tensor, offset: at + from })); // q, k, v
    const [q, k, v] = slices(0);
    const mixed =
      headDim <= NARROW
        ? attention(q, k, v, { heads, headDim })
        : concat(
            Array.from({ length: heads }, (_, h) => {
              const [hq, hk, hv] = slices(h * headDim);
              return wideAttention(hq, hk, hv, headDim);
            }),
            2,
          );
    return this.#proj.forward(mixed.reshape(B, H, W, C), { residual: x });
  }
}

/** A residual block, and attention behind it at the resolutions that have it. */
interface Stage {
  readonly block: ResidualBlock;
  readonly attention?: Attention;
}

export class ZooUNet implements MeanFlowNetwork {
  readonly stateTime = "r";
  readonly state: readonly number[];
  readonly #config: ZooUNetConfig;
  readonly #times: readonly TimeEmbedder[];
  readonly #timeProjection: Linear | undefined;
  readonly #in: Convolution;
  readonly #downs: readonly { readonly stages: readonly Stage[]; readonly halve?: Convolution }[];
  readonly #middle: {
    readonly first: ResidualBlock;
    readonly attention: Attention;
    readonly second: ResidualBlock;
  };
  readonly #ups: readonly { readonly stages: readonly Stage[]; readonly double?: Convolution }[];
  readonly #norm: GroupNorm;
  readonly #out: Convolution;

  constructor(config: ZooUNetConfig, w: WeightLoader) {
    const { channels, out, baseChannels: b, multipliers, blocks, heads, resolution } = config;
    this.#config = config;
    this.state = [channels, resolution, resolution];
    const E = 4 * b;
    const embedders = config.separateTimes ? ["time_embed_t", "time_embed_duration"] : ["time_embed"];
    this.#times = embedders.map((key) => new TimeEmbedder(w, key, b, E));
    if (config.separateTimes) this.#timeProjection = new Linear(w, "time_embed_proj", 2 * E, E);
    this.#in = new Convolution(w, "input_conv", channels + 2, b, 3);

    // What every block reads and makes, and which skips wait for the way up.
    let width = b;
    const waiting: number[] = [];
    // `at` counts blocks and attentions of a level together.
    const stagesOf = (key: string, level: number, count: number, joined: () => number): Stage[] => {
      let at = 0;
      const attends = config.attentionResolutions.includes(resolution / 2 ** level);
      return Array.from({ length: count }, () => {
        const wide = b * multipliers[level];
        const block = new ResidualBlock(w.within(`${key}.${at++}`), width + joined(), wide, E);
        width = wide;
        return attends
          ? { block, attention: new Attention(w.within(`${key}.${at++}`), wide, heads) }
          : { block };
      });
    };
    const last = multipliers.length - 1;
    this.#downs = multipliers.map((_, level) => {
      const stages = stagesOf(`down_blocks.${level}`, level, blocks, () => 0);
      waiting.push(...stages.map(() => width));
      if (level === last) return { stages };
      waiting.push(width);
      return {
        stages,
        halve: new Convolution(w, `downsamplers.${level}.conv`, width, width, 3, { stride: 2 }),
      };
    });
    this.#middle = {
      first: new ResidualBlock(w.within("middle_block1"), width, width, E),
      attention: new Attention(w.within("middle_attn"), width, heads),
      second: new ResidualBlock(w.within("middle_block2"), width, width, E),
    };
    this.#ups = multipliers.map((_, up) => {
      const double =
        up === 0 ? undefined : new Convolution(w, `upsamplers.${up}.conv`, width, width, 3, { enlarge: 2 });
      const count = up === 0 ? blocks : blocks + 1;
      return { double, stages: stagesOf(`up_blocks.${up}`, last - up, count, () => waiting.pop()!) };
    });
    this.#norm = new GroupNorm(w, "out_norm", width, GROUPS, EPSILON);
    this.#out = new Convolution(w, "out_conv", width, out, 3);
  }

  features(told: Told): Readonly<Record<string, Feature>> {
    const { baseChannels: b, separateTimes } = this.#config;
    hears("zoo_unet", told);
    const planes = { r: each(told.r), t: each(told.t) };
    const of = (times: ArrayLike<number>) => sinusoids(times, b, "sine first");
    if (separateTimes) return { ...planes, time: of(told.t), duration: of(durations(told)) };
    const [start, end] = [of(told.r), of(told.t)];
    return { ...planes, time: { ...end, data: end.data.map((v, i) => v + start.data[i]) } };
  }

  featureTangents(told: Told, rates: Rates): Readonly<Record<string, Feature>> {
    const { baseChannels: b, separateTimes } = this.#config;
    const planes = { r: each(rates.r), t: each(rates.t) };
    const of = (times: ArrayLike<number>, moving: ArrayLike<number>) =>
      sinusoidTangents(times, moving, b, "sine first");
    const end = of(told.t, rates.t);
    if (separateTimes) return { ...planes, time: end, duration: of(durations(told), durations(rates)) };
    const start = of(told.r, rates.r);
    return { ...planes, time: { ...end, data: end.data.map((v, i) => v + start.data[i]) } };
  }

  forward(x: Tensor, features: Readonly<Record<string, Tensor>>): Velocity {
    checkState("zoo_unet", x, this.state);
    const embedding = activation(this.#embed(features), "silu"); // (B, E)
    let h = this.#in.forward(withTimePlanes(toPixels(x), features.r, features.t)); // (B, H, W, b)
    const skips: Tensor[] = [];
    for (const { stages, halve } of this.#downs) {
      for (const { block, attention: attend } of stages) {
        h = block.forward(h, embedding);
        // Before its attention.
        skips.push(h);
        h = attend?.forward(h) ?? h;
      }
      if (!halve) continue;
      skips.push(h);
      h = halve.forward(h);
    }
    const { first, attention: attend, second } = this.#middle;
    h = second.forward(attend.forward(first.forward(h, embedding)), embedding);
    for (const { stages, double } of this.#ups) {
      h = double?.forward(h) ?? h;
      for (const { block, attention: over } of stages) {
        h = block.forward(concat([h, skips.pop()!], 3), embedding);
        h = over?.forward(h) ?? h;
      }
    }
    return { u: toPictures(this.#out.forward(this.#norm.forward(h, "silu"))) };
  }

  /** (B, E) */
  #embed({ time, duration }: Readonly<Record<string, Tensor>>): Tensor {
    if (!this.#timeProjection) return this.#times[0].forward(time);
    const both = [this.#times[0].forward(time), this.#times[1].forward(duration)];
    return this.#timeProjection.forward(concat(both, 1));
  }
}
