/**
 * What a Diffusion Policy makes of a picture: K expected positions of what its maps look for, mixed by one linear layer. Axes: n pictures
 * of rows × columns, N pixels of the feature map.
 */
import { UsageError } from "../../errors.ts";
import { permute, slice } from "../../kernels/copy.ts";
import { linear } from "../../kernels/linear.ts";
import { spatialSoftmax } from "../../kernels/spatial-softmax.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { Affine } from "../vae.ts";
import type { DiffusionPolicyConfig } from "./config.ts";
import { ResNet, type ResNetShape } from "./resnet.ts";

export interface Seen {
  /** behind the stem and each stage, (n, h, w, C) */
  readonly maps: readonly Tensor[];
  /** (n, K, 2), x and y, each from −1 to 1 */
  readonly keypoints: Tensor;
  /** (n, 2K) */
  readonly features: Tensor;
}

/** Half of what a crop leaves, rounded to even where it ends in ½, as Python rounds. */
export function cropOffset(length: number, crop: number): number {
  const half = (length - crop) / 2;
  const floor = Math.floor(half);
  return half === floor ? half : floor + (floor % 2);
}

export class PictureEncoder {
  readonly #crop: readonly [number, number] | undefined;
  readonly #backbone: ResNet;
  readonly #maps: Affine;
  readonly #grid: Tensor;
  readonly #out: Affine;

  /**
   * @param picture (rows, columns)
   * @param w within the encoder
   * @throws UsageError when the crop is larger than a picture
   */
  constructor(
    { crop, keypoints: K, groupNorm }: Pick<DiffusionPolicyConfig, "crop" | "keypoints" | "groupNorm">,
    shape: ResNetShape,
    picture: readonly [number, number],
    w: WeightLoader,
  ) {
    if (crop && (crop[0] > picture[0] || crop[1] > picture[1]))
      throw new UsageError(
        `crop_shape (${crop.join(", ")}) is larger than the pictures, (${picture.join(", ")}) rows and columns`,
      );
    this.#crop = crop;
    this.#backbone = new ResNet(shape, w.within("backbone"), groupNorm);
    const { width } = this.#backbone;
    const [h, v] = ResNet.mapSize(crop ?? picture);
    this.#maps = {
      weight: w.linear("pool.nets.weight", K, width, [K, width, 1, 1]),
      bias: w.tensor("pool.nets.bias", [K]),
    };
    this.#grid = w.tensor("pool.pos_grid", [h * v, 2]);
    this.#out = { weight: w.linear("out.weight", 2 * K, 2 * K), bias: w.tensor("out.bias", [2 * K]) };
  }

  /** Pictures (n, 3, rows, columns), normalised, not yet cropped. */
  forward(pictures: Tensor): Seen {
    const maps = this.#backbone.forward(permute(this.#middle(pictures), 0, 2, 3, 1));
    const last = maps[maps.length - 1]; // (n, h, w, C)
    const [n, , , C] = last.shape;
    const looks = linear(last.reshape(n, -1, C), this.#maps.weight, { bias: this.#maps.bias }); // (n, N, K)
    const keypoints = spatialSoftmax(looks, this.#grid); // (n, K, 2)
    const features = linear(keypoints.reshape(n, -1), this.#out.weight, {
      bias: this.#out.bias,
      activation: "relu",
    });
    return { maps, keypoints, features };
  }

  #middle(pictures: Tensor): Tensor {
    if (!this.#crop) return pictures;
    return this.#crop.reduce((x, length, i) => {
      const axis = 2 + i;
      const from = cropOffset(x.dim(axis), length);
      return length === x.dim(axis) ? x : slice(x, axis, from, from + length);
    }, pictures);
  }
}
