/**
 * The networks of a Diffusion Policy: encoders of pictures, one for all cameras or one each, and the U-Net, which is told
 *
 *   condition = [state | features of camera 0, 1, … | environment] of every observation, the oldest first
 *
 * Axes: B plans, S observations, J values of a state, K key points of a picture.
 */
import { UsageError } from "../../errors.ts";
import { concat } from "../../kernels/copy.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { TensorInfo } from "../../weights/source.ts";
import type { DiffusionPolicyConfig } from "./config.ts";
import { PictureEncoder } from "./encoder.ts";
import { resNetShape } from "./resnet.ts";
import { UNet } from "./unet.ts";

/** Everything normalised. */
export interface Observations {
  /** (B, S, J) */
  readonly state: Tensor;
  /** (B, S, 3, rows, columns) in the order of the configuration's cameras */
  readonly pictures: readonly Tensor[];
  /** (B, S, E) where the policy has one */
  readonly environment?: Tensor;
}

/** G */
export function conditionDim({
  observations,
  cameras,
  state,
  environment,
  keypoints,
}: DiffusionPolicyConfig): number {
  return observations * (state.shape[0] + cameras.length * 2 * keypoints + (environment?.shape[0] ?? 0));
}

export class DiffusionPolicyNetworks {
  readonly config: DiffusionPolicyConfig;
  readonly unet: UNet;
  /** one, or one a camera */
  readonly #encoders: readonly PictureEncoder[];

  /**
   * @param w at the checkpoint's root
   * @param tensors of the checkpoint, whose shapes tell the backbone's widths
   * @throws UsageError when the actions to be carried out do not lie within the horizon, or as the parts
   */
  constructor(
    config: DiffusionPolicyConfig,
    w: WeightLoader,
    tensors: ReadonlyMap<string, TensorInfo>,
    name: string,
  ) {
    this.config = config;
    const { cameras, encoderPerCamera, observations, actionSteps, horizon } = config;
    if (observations - 1 + actionSteps > horizon)
      throw new UsageError(
        `${name}: n_obs_steps ${observations} and n_action_steps ${actionSteps} reach beyond a horizon of ${horizon}; ` +
          `n_action_steps may be ${horizon - observations + 1}`,
      );
    const own = w.within("diffusion");
    const count = encoderPerCamera ? cameras.length : Math.min(1, cameras.length);
    this.#encoders = Array.from({ length: count }, (_, i) => {
      const at = encoderPerCamera ? `rgb_encoder.${i}` : "rgb_encoder";
      const shape = resNetShape(tensors, name, `diffusion.${at}.backbone.`);
      const [, rows, columns] = cameras[i].shape;
      return new PictureEncoder(config, shape, [rows, columns], own.within(at));
    });
    const actionDim = config.action.shape[0];
    this.unet = new UNet({ ...config, actionDim, conditionDim: conditionDim(config) }, own.within("unet"));
  }

  /** What the U-Net is told of the observations, (B, G). */
  condition({ state, pictures, environment }: Observations): Tensor {
    const [B, S] = state.shape;
    const features = pictures.map((x, i) => {
      const encoder = this.#encoders[i] ?? this.#encoders[0];
      return encoder.forward(x.reshape(B * S, ...x.shape.slice(2))).features.reshape(B, S, -1); // (B, S, 2K)
    });
    const each = concat([state, ...features, ...(environment ? [environment] : [])], 2);
    return each.reshape(B, -1);
  }
}
