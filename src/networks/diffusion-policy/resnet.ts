/**
 * torchvision's ResNet of basic blocks (18 and 34 layers) without its pool and classifier, as LeRobot stores it: a list of layers, norms
 * of groups of 16 channels or of running statistics. Axes: n pictures, h × w pixels, C channels, channels last inside.
 */
import { UsageError } from "../../errors.ts";
import { channelGroupNorm } from "../../kernels/channel-group-norm.ts";
import { conv3d } from "../../kernels/conv3d.ts";
import { activation, add, scaleShift } from "../../kernels/elementwise.ts";
import { maxPool } from "../../kernels/max-pool.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { TensorInfo } from "../../weights/source.ts";
import { axes, numbered } from "../shapes.ts";

/** Widths and blocks, from the weights: the name of a backbone does not say them. */
export interface ResNetShape {
  readonly stem: number;
  readonly stages: readonly { readonly width: number; readonly blocks: number }[];
}

const EPSILON = 1e-5;
/** What LeRobot replaces a batch norm of C channels by: C / 16 groups. */
const CHANNELS_A_GROUP = 16;
/** Place of the first of four stages in the list; before it convolution, norm, ReLU and pool. */
const FIRST_STAGE = 4;
const STAGES = 4;

/**
 * The backbone under `prefix` ("" or ending in a dot).
 * @throws WeightsError when a stage is missing, UsageError for bottleneck blocks
 */
export function resNetShape(
  tensors: ReadonlyMap<string, TensorInfo>,
  name: string,
  prefix: string,
): ResNetShape {
  const inside = [...tensors.keys()]
    .filter((key) => key.startsWith(prefix))
    .map((key) => key.slice(prefix.length));
  const bottleneck = inside.find((key) => /^\d+\.\d+\.conv3\./.test(key));
  if (bottleneck)
    throw new UsageError(
      `${name}: ${prefix}${bottleneck} belongs to bottleneck blocks; ResNets of basic blocks (18 and 34 layers) are supported`,
    );
  const [stem] = axes(tensors, name, `${prefix}0.weight`, 4);
  const stages = Array.from({ length: STAGES }, (_, i) => {
    const stage = FIRST_STAGE + i;
    const [width] = axes(tensors, name, `${prefix}${stage}.0.conv1.weight`, 4);
    return { width, blocks: numbered(inside, new RegExp(`^${stage}\\.(\\d+)\\.conv1\\.weight$`)) };
  });
  return { stem, stages };
}

/** A k×k convolution without a bias, padded so that a stride of 1 keeps the size. */
class Convolution {
  readonly #weight: Matrix;
  readonly #taps: number;
  readonly #stride: number;

  constructor(w: WeightLoader, key: string, inner: number, out: number, taps: number, stride = 1) {
    this.#weight = w.convolution(`${key}.weight`, [out, inner, taps, taps]);
    this.#taps = taps;
    this.#stride = stride;
  }

  /** (n, h, w, C) → (n, h', w', O) */
  forward(x: Tensor): Tensor {
    const [n, h, v, C] = x.shape;
    const y = conv3d(x.reshape(n, 1, h, v, C), this.#weight, {
      ...{ kernel: [1, this.#taps, this.#taps], stride: [1, this.#stride, this.#stride] },
      padding: (this.#taps - 1) / 2,
    });
    return y.reshape(n, y.dim(2), y.dim(3), y.dim(4));
  }
}

/** Either norm under the key of the batch norm that stood there. */
type Norm = (x: Tensor, act?: "relu") => Tensor;

function makeNorm(w: WeightLoader, channels: number, grouped: boolean): Norm {
  if (!grouped) return batchNorm(w, channels);
  if (channels % CHANNELS_A_GROUP !== 0)
    throw new UsageError(`a group norm of ${channels} channels: groups of ${CHANNELS_A_GROUP} are needed`);
  const [weight, bias] = [w.tensor("weight", [channels]), w.tensor("bias", [channels])];
  const groups = channels / CHANNELS_A_GROUP;
  return (x, act) => {
    const rows = x.reshape(x.dim(0), -1, channels); // (n, h·w, C)
    return channelGroupNorm(rows, { groups, weight, bias, epsilon: EPSILON, activation: act }).reshape(
      ...x.shape,
    );
  };
}

/** (x − running mean) / √(running var + ε) · weight + bias, as a scale and a shift a channel. */
function batchNorm(w: WeightLoader, channels: number): Norm {
  w.ignore(/num_batches_tracked$/);
  const host = (key: string) => w.host(key, [channels]);
  const [gain, bias, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map(host);
  const factor = (c: number): number => gain.data[c] / Math.sqrt(variance.data[c] + EPSILON);
  const each = (value: (c: number) => number) => () =>
    Float32Array.from({ length: channels }, (_, c) => value(c));
  const scale = w.computed("scale", [channels], each(factor));
  const shift = w.computed(
    "shift",
    [channels],
    each((c) => bias.data[c] - mean.data[c] * factor(c)),
  );
  return (x, act) => {
    const y = scaleShift(x, scale, shift);
    return act ? activation(y, act) : y;
  };
}

/** relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)) */
class BasicBlock {
  readonly #convs: readonly [Convolution, Convolution];
  readonly #norms: readonly [Norm, Norm];
  readonly #shortcut: ((x: Tensor) => Tensor) | undefined;

  constructor(w: WeightLoader, inner: number, out: number, stride: number, grouped: boolean) {
    this.#convs = [
      new Convolution(w, "conv1", inner, out, 3, stride),
      new Convolution(w, "conv2", out, out, 3),
    ];
    this.#norms = [makeNorm(w.within("bn1"), out, grouped), makeNorm(w.within("bn2"), out, grouped)];
    if (inner === out && stride === 1) return;
    const narrow = new Convolution(w, "downsample.0", inner, out, 1, stride);
    const norm = makeNorm(w.within("downsample.1"), out, grouped);
    this.#shortcut = (x) => norm(narrow.forward(x));
  }

  forward(x: Tensor): Tensor {
    const [conv1, conv2] = this.#convs;
    const [norm1, norm2] = this.#norms;
    const y = norm2(conv2.forward(norm1(conv1.forward(x), "relu")));
    return activation(add(y, this.#shortcut?.(x) ?? x), "relu");
  }
}

export class ResNet {
  /** channels of the feature map */
  readonly width: number;
  readonly #conv: Convolution;
  readonly #norm: Norm;
  readonly #stages: readonly (readonly BasicBlock[])[];

  /** @param w within the backbone */
  constructor({ stem, stages }: ResNetShape, w: WeightLoader, grouped: boolean) {
    this.#conv = new Convolution(w, "0", 3, stem, 7, 2);
    this.#norm = makeNorm(w.within("1"), stem, grouped);
    this.#stages = stages.map(({ width, blocks }, i) =>
      Array.from({ length: blocks }, (_, b) => {
        const before = i === 0 ? stem : stages[i - 1].width;
        const stride = i > 0 && b === 0 ? 2 : 1;
        return new BasicBlock(
          w.within(`${FIRST_STAGE + i}.${b}`),
          b === 0 ? before : width,
          width,
          stride,
          grouped,
        );
      }),
    );
    this.width = stages[stages.length - 1].width;
  }

  /** Pictures (n, h, w, 3) → what stands behind the pool, and behind each stage, (n, h', w', C). */
  forward(pictures: Tensor): readonly Tensor[] {
    const seen = this.#norm(this.#conv.forward(pictures), "relu");
    const maps = [maxPool(seen, { taps: 3, stride: 2, padding: 1 })];
    for (const blocks of this.#stages)
      maps.push(blocks.reduce((x, block) => block.forward(x), maps[maps.length - 1]));
    return maps;
  }

  /** Rows and columns of the feature map of a picture (rows, columns). */
  static mapSize(picture: readonly [number, number]): readonly [number, number] {
    // Convolution, pool and the first blocks of three stages halve, rounding up.
    const [rows, columns] = picture.map((n) =>
      Array.from({ length: 5 }).reduce<number>((m) => Math.ceil(m / 2), n),
    );
    return [rows, columns];
  }
}
