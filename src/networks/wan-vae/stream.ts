/** Encoding a clip as its frames come, as a robot's policy does: what the convolutions have seen is kept from one recording to the next. */
import type { Gpu } from "../../gpu/gpu.ts";
import { record, type Replay } from "../../gpu/recording.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Past, type WanPosterior, type WanVae } from "./vae.ts";

export class WanStream {
  readonly #gpu: Gpu;
  readonly #vae: WanVae;
  #past = new Past();
  #last: Replay<{ posterior: WanPosterior; kept: readonly Tensor[] }> | undefined;

  constructor(gpu: Gpu, vae: WanVae) {
    this.#gpu = gpu;
    this.#vae = vae;
  }

  /**
   * The latents that these frames (B, 3, T, H, W) add: first one frame, then multiples of four. Valid until the next call.
   * @throws UsageError for another number of frames; the stream must be reset then
   */
  async push(video: Tensor): Promise<WanPosterior> {
    const past = this.#past;
    const replay = await record(this.#gpu, "encode frames", () => {
      const posterior = this.#vae.encodeNext(video, past);
      return { posterior, kept: past.kept };
    });
    await replay.run();
    this.#last?.dispose();
    this.#last = replay;
    return replay.outputs.posterior;
  }

  /** Another clip begins. */
  reset(): void {
    this.#past = new Past();
    this.#last?.dispose();
    this.#last = undefined;
  }

  dispose(): void {
    this.reset();
  }
}
