/** The U-Net as a sampler follows it: a plan in noise, at a noise level, of observations that stay. */
import type { Gpu } from "../../gpu/gpu.ts";
import { stepSinusoids, type UNet } from "../../networks/diffusion-policy/unet.ts";
import type { Denoiser, Evaluation } from "../../sampling/denoiser.ts";
import type { Call } from "../../sampling/scheduler.ts";
import { createTensor, releaseTensor, type Tensor, writeTensor } from "../../tensor/tensor.ts";

export class PlanDenoiser implements Denoiser {
  readonly #gpu: Gpu;
  readonly #unet: UNet;
  /** (B, G) */
  readonly #condition: Tensor;
  /** (B, e) of the noise level, the same for every plan */
  readonly #sinusoids: Tensor;

  constructor(gpu: Gpu, unet: UNet, condition: Tensor) {
    this.#gpu = gpu;
    this.#unet = unet;
    this.#condition = condition;
    const { stepWidth } = unet.config;
    this.#sinusoids = createTensor(
      gpu,
      [condition.dim(0), stepWidth],
      undefined,
      "sinusoids of the noise level",
    );
  }

  /** Plans (B, H, A) → what the network says of them, which is also what is tapped. */
  evaluate(plans: Tensor): Evaluation {
    const { output } = this.#unet.forward({
      ...{ sample: plans, sinusoids: this.#sinusoids, condition: this.#condition },
    });
    return { output, tapped: [output] };
  }

  setCall({ at }: Call): void {
    const [B, e] = this.#sinusoids.shape;
    writeTensor(this.#gpu, this.#sinusoids, stepSinusoids(new Array<number>(B).fill(at), e));
  }

  dispose(): void {
    releaseTensor(this.#gpu, this.#sinusoids);
  }
}
