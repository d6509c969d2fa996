/**
 * The one-dimensional U-Net of Diffusion Policy (Chi et al. 2023, "CNN-based"): convolutions over the positions of a plan, told by
 * feature-wise scales and shifts (FiLM) which noise level and which observation it belongs to.
 *
 * Axes: B plans, H positions, A values of an action, e width of the noise level's embedding, G of the observation; L levels of C_j
 * channels. Channels last; the checkpoint's are first.
 */
import { channelGroupNorm, type Film } from "../../kernels/channel-group-norm.ts";
import { conv1d } from "../../kernels/conv1d.ts";
import { convTranspose1d } from "../../kernels/conv-transpose1d.ts";
import { concat } from "../../kernels/copy.ts";
import { activation } from "../../kernels/elementwise.ts";
import { linear } from "../../kernels/linear.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { HostWeight, WeightLoader } from "../../weights/loader.ts";
import type { Affine } from "../vae.ts";
import { type DiffusionPolicyConfig, FINAL_GROUPS } from "./config.ts";

const EPSILON = 1e-5;

export type UNetConfig = Pick<
  DiffusionPolicyConfig,
  "widths" | "kernelSize" | "groups" | "stepWidth" | "filmScale"
> & {
  /** A */
  readonly actionDim: number;
  /** G */
  readonly conditionDim: number;
};

export interface UNetInputs {
  /** (B, H, A) */
  readonly sample: Tensor;
  /** (B, e), see `stepSinusoids` */
  readonly sinusoids: Tensor;
  /** (B, G) */
  readonly condition: Tensor;
}

/** The output, and what stands on the way, (B, H / 2ʲ, C) each. */
export interface UNetOutputs {
  /** (B, e) */
  readonly embedding: Tensor;
  readonly skips: readonly Tensor[];
  readonly middle: Tensor;
  readonly ups: readonly Tensor[];
  /** (B, H, A) */
  readonly output: Tensor;
}

/** [sin(t·f) | cos(t·f)] with f_i = 10000^(−i / (e/2 − 1)), a row a time. */
export function stepSinusoids(times: ArrayLike<number>, width: number): Float32Array<ArrayBuffer> {
  const half = width / 2;
  const table = new Float32Array(times.length * width);
  for (let b = 0; b < times.length; b++)
    for (let i = 0; i < half; i++) {
      const angle = times[b] * Math.exp((-i * Math.log(10000)) / (half - 1));
      table[b * width + i] = Math.sin(angle);
      table[b * width + half + i] = Math.cos(angle);
    }
  return table;
}

const affine = (
  w: WeightLoader,
  key: string,
  out: number,
  inner: number,
  trailing: readonly number[] = [],
): Affine => ({
  weight: w.linear(`${key}.weight`, out, inner, [out, inner, ...trailing]),
  bias: w.tensor(`${key}.bias`, [out]),
});

/** A convolution of `taps` positions that keeps (stride 1) or halves (stride 2) their number. */
class Convolution {
  readonly #w: Affine;
  readonly #shape: { readonly taps: number; readonly stride: number; readonly padding: number };

  constructor(w: WeightLoader, key: string, inner: number, out: number, taps: number, stride = 1) {
    this.#w = {
      weight: w.convolution(`${key}.weight`, [out, inner, taps]),
      bias: w.tensor(`${key}.bias`, [out]),
    };
    this.#shape = { taps, stride, padding: (taps - 1) / 2 };
  }

  forward(x: Tensor): Tensor {
    return conv1d(x, this.#w.weight, { ...this.#shape, bias: this.#w.bias });
  }
}

/** mish(norm(conv(x))), then what FiLM says, then a residual. */
class ConvolutionBlock {
  readonly #conv: Convolution;
  readonly #gains: { readonly weight: Tensor; readonly bias: Tensor };
  readonly #groups: number;

  constructor(w: WeightLoader, inner: number, out: number, taps: number, groups: number) {
    this.#conv = new Convolution(w, "block.0", inner, out, taps);
    this.#gains = { weight: w.tensor("block.1.weight", [out]), bias: w.tensor("block.1.bias", [out]) };
    this.#groups = groups;
  }

  forward(x: Tensor, { film, residual }: { film?: Film; residual?: Tensor } = {}): Tensor {
    const options = { groups: this.#groups, epsilon: EPSILON, activation: "mish", film, residual } as const;
    return channelGroupNorm(this.#conv.forward(x), { ...this.#gains, ...options });
  }
}

/**
 * All blocks ask the condition, each by a linear map of its own, at the same time: their matrices stand one above the other, so that
 * one product answers all (28,672 columns in the published network).
 */
class Conditions {
  readonly #parts: { readonly key: string; readonly bias: HostWeight; readonly out: number }[] = [];
  #width = 0;
  #w!: Affine;

  /** Columns of the table for a block under `key`, its scales before its shifts. */
  ask(w: WeightLoader, key: string, channels: number, scaled: boolean): Omit<Film, "table"> {
    const out = scaled ? 2 * channels : channels;
    const at = this.#width;
    this.#parts.push({ key: `${key}.weight`, bias: w.host(`${key}.bias`, [out]), out });
    this.#width += out;
    return scaled ? { scale: at, shift: at + channels } : { shift: at };
  }

  /** When every block has asked. */
  close(w: WeightLoader, inner: number): void {
    const weight: Matrix = w.stacked(this.#parts, inner);
    const bias = w.computed("conditions' biases", [this.#width], () => {
      const all = new Float32Array(this.#width);
      let at = 0;
      for (const { bias: own, out } of this.#parts) {
        all.set(own.data, at);
        at += out;
      }
      return all;
    });
    this.#w = { weight, bias };
  }

  /** mish(condition) (B, e + G) → (B, all columns) */
  table(condition: Tensor): Tensor {
    return linear(condition, this.#w.weight, { bias: this.#w.bias });
  }
}

/** A convolution, FiLM, a convolution, beside a shortcut. */
class ResidualBlock {
  readonly #convs: readonly [ConvolutionBlock, ConvolutionBlock];
  readonly #film: Omit<Film, "table">;
  readonly #shortcut: Affine | undefined;

  constructor(
    w: WeightLoader,
    at: string,
    inner: number,
    out: number,
    config: UNetConfig,
    conditions: Conditions,
  ) {
    const { kernelSize, groups, filmScale } = config;
    const own = w.within(at);
    this.#convs = [
      new ConvolutionBlock(own.within("conv1"), inner, out, kernelSize, groups),
      new ConvolutionBlock(own.within("conv2"), out, out, kernelSize, groups),
    ];
    this.#film = conditions.ask(w, `${at}.cond_encoder.1`, out, filmScale);
    this.#shortcut = inner === out ? undefined : affine(own, "residual_conv", out, inner, [1]);
  }

  forward(x: Tensor, table: Tensor): Tensor {
    const [first, second] = this.#convs;
    const told = first.forward(x, { film: { table, ...this.#film } });
    const residual = this.#shortcut ? linear(x, this.#shortcut.weight, { bias: this.#shortcut.bias }) : x;
    return second.forward(told, { residual });
  }
}

/** Two blocks, and what changes the number of positions behind them. */
interface Level {
  readonly blocks: readonly [ResidualBlock, ResidualBlock];
  readonly resample?: (x: Tensor) => Tensor;
}

export class UNet {
  readonly config: UNetConfig;
  readonly #step: readonly [Affine, Affine];
  readonly #conditions = new Conditions();
  readonly #downs: readonly Level[];
  readonly #middle: readonly [ResidualBlock, ResidualBlock];
  readonly #ups: readonly Level[];
  readonly #final: ConvolutionBlock;
  readonly #out: Affine;

  /** @param w within the U-Net */
  constructor(config: UNetConfig, w: WeightLoader) {
    const { widths, stepWidth: e, actionDim: A, conditionDim: G, kernelSize } = config;
    this.config = config;
    this.#step = [
      affine(w, "diffusion_step_encoder.1", 4 * e, e),
      affine(w, "diffusion_step_encoder.3", e, 4 * e),
    ];
    const pair = (at: string, inner: number, out: number): [ResidualBlock, ResidualBlock] => [
      new ResidualBlock(w, `${at}.0`, inner, out, config, this.#conditions),
      new ResidualBlock(w, `${at}.1`, out, out, config, this.#conditions),
    ];
    const last = widths.length - 1;
    this.#downs = widths.map((width, j) => {
      const at = `down_modules.${j}`;
      const blocks = pair(at, j === 0 ? A : widths[j - 1], width);
      if (j === last) return { blocks };
      const down = new Convolution(w, `${at}.2`, width, width, 3, 2);
      return { blocks, resample: (x) => down.forward(x) };
    });
    const widest = widths[last];
    this.#middle = [
      new ResidualBlock(w, "mid_modules.0", widest, widest, config, this.#conditions),
      new ResidualBlock(w, "mid_modules.1", widest, widest, config, this.#conditions),
    ];
    this.#ups = Array.from({ length: last }, (_, j) => {
      const at = `up_modules.${j}`;
      const [wide, narrow] = [widths[last - j], widths[last - j - 1]];
      const up = {
        weight: w.transposedConvolution(`${at}.2.weight`, [narrow, narrow, 4]),
        bias: w.tensor(`${at}.2.bias`, [narrow]),
      };
      return {
        // Beside x stands the skip of the same level, as wide.
        blocks: pair(at, 2 * wide, narrow),
        resample: (x) => convTranspose1d(x, up.weight, { taps: 4, stride: 2, padding: 1, bias: up.bias }),
      };
    });
    this.#final = new ConvolutionBlock(
      w.within("final_conv.0"),
      widths[0],
      widths[0],
      kernelSize,
      FINAL_GROUPS,
    );
    this.#out = affine(w, "final_conv.1", A, widths[0], [1]);
    this.#conditions.close(w, e + G);
  }

  forward({ sample, sinusoids, condition }: UNetInputs): UNetOutputs {
    const [first, second] = this.#step;
    const risen = linear(sinusoids, first.weight, { bias: first.bias, activation: "mish" }); // (B, 4e)
    const embedding = linear(risen, second.weight, { bias: second.bias }); // (B, e)
    const told = activation(concat([embedding, condition], 1), "mish"); // (B, e + G)
    const table = this.#conditions.table(told);

    let x = sample; // (B, H, A)
    const skips: Tensor[] = [];
    for (const { blocks, resample } of this.#downs) {
      for (const block of blocks) x = block.forward(x, table); // (B, H / 2ʲ, C_j)
      skips.push(x);
      if (resample) x = resample(x);
    }
    for (const block of this.#middle) x = block.forward(x, table);
    const middle = x;
    const ups: Tensor[] = [];
    // The skip of level 0 is never asked for.
    for (const [j, { blocks, resample }] of this.#ups.entries()) {
      x = concat([x, skips[skips.length - 1 - j]], 2);
      for (const block of blocks) x = block.forward(x, table);
      x = resample!(x);
      ups.push(x);
    }
    const output = linear(this.#final.forward(x), this.#out.weight, { bias: this.#out.bias });
    return { embedding, skips, middle, ups, output };
  }
}
