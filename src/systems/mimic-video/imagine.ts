/** One episode's imagined futures: the video axis of the probe. */
import { type MimicVideo, type Prepared } from "./model.ts";
import { sampleFlow } from "../../sampling/flow.ts";
import { VideoFlow } from "./video-flow.ts";
import { videoGrid } from "../../sampling/grid.ts";
import { copyTensor, createTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import type { Episode } from "./episodes.ts";

/**
 * Hidden states tapped at every probe step, on the GPU: one tensor (K + 2, V, N, D) for each captured layer. The two
 * rows behind the K probe steps belong to the controls: zeros, and another episode's last step.
 */
export interface Features {
  readonly layers: readonly Tensor[];
  release(): void;
}

/** What a watcher sees at a probe step. Tensors stay on the GPU and are overwritten by the next step. */
export interface ImaginedState {
  readonly episode: Episode;
  /** k */
  readonly step: number;
  /** τ_k */
  readonly tau: number;
  /** (V, C, T, H, W) normalised latents of the future */
  readonly latents: Tensor;
  /** (V, C, T, H, W) of the context */
  readonly context: Tensor;
  /** (V, N, D) hidden states of each captured layer */
  readonly tapped: readonly Tensor[];
}

export interface ImagineOptions {
  readonly videoSteps: number;
  /** ascending, the last is `videoSteps` */
  readonly probeSteps: readonly number[];
  /** (V, C, T, H, W) */
  readonly noise: Float32Array<ArrayBuffer>;
  readonly copies: number;
  readonly signal?: AbortSignal;
  /** after every state, 0 to `videoSteps` */
  readonly onStep?: () => void;
  /** at every probe step; the flow waits for it */
  readonly onState?: (state: ImaginedState) => Promise<void>;
}

/** Denoises the futures of one episode for V seeds at once and keeps the hidden states of the probe steps. */
export async function imagine(
  model: MimicVideo,
  episode: Episode,
  options: ImagineOptions,
): Promise<Features> {
  const { videoSteps, probeSteps, noise, copies, signal, onStep, onState } = options;
  const { gpu, tower } = model;
  const prepared: Prepared = await model.prepare(episode.prompt, episode.context, copies);
  const latents = createTensor(gpu, [copies, ...model.futureShape], noise, "future latents");
  const flow = new VideoFlow(gpu, tower, prepared.text, prepared.context);
  let layers: Tensor[] = [];
  try {
    await sampleFlow(gpu, flow, latents, {
      grid: videoGrid(videoSteps),
      signal,
      onStep: async ({ step, time, tapped }) => {
        if (layers.length === 0) {
          layers = tapped.map((x) =>
            createTensor(gpu, [probeSteps.length + 2, ...x.shape], undefined, "probed hidden states"),
          );
        }
        const row = probeSteps.indexOf(step);
        if (row >= 0) tapped.forEach((x, i) => copyTensor(gpu, x, layers[i], { to: row * x.size }));
        // Waiting keeps the progress honest and an interrupt prompt.
        await gpu.idle();
        onStep?.();
        if (row >= 0) {
          await onState?.({ episode, step, tau: time, latents, context: prepared.context, tapped });
        }
      },
    });
  } catch (error) {
    for (const layer of layers) releaseTensor(gpu, layer);
    throw error;
  } finally {
    flow.dispose();
    prepared.dispose();
    releaseTensor(gpu, latents);
  }
  return {
    layers,
    release: () => {
      for (const layer of layers) releaseTensor(gpu, layer);
    },
  };
}
