/** Full action decodes of one episode: one for every probe step, video seed and action seed, and for the controls. */
import type { MimicVideo } from "./model.ts";
import { ActionSampler, type ActionSamples } from "./action-sampler.ts";
import { copyTensor } from "../../tensor/tensor.ts";
import type { Features } from "./imagine.ts";

export interface DecodeInputs {
  readonly features: Features;
  /** τ of every row of the features: K probe steps, then the controls */
  readonly taus: readonly number[];
  /** (J) */
  readonly jointState: Float32Array;
  /** S noises of one chunk each, (n, A); every row and video seed starts from the same one */
  readonly noises: readonly Float32Array[];
  readonly signal?: AbortSignal;
  /** after every action step */
  readonly onStep?: () => void;
}

/** What the decodes of some rows of the features gave. */
export interface DecodedRows {
  /** (V, S, rows, n, A), in the caller's units */
  readonly actions: Float32Array;
  /** (V, S, rows, M + 1, n, A) */
  readonly iterates: Float32Array;
  /** (V, S, rows, M, n, A) */
  readonly oneJump: Float32Array;
}

/** Decodes all rows of an episode's features in one batch, B = rows · V, once for each action seed. */
export class EpisodeDecoder {
  readonly #model: MimicVideo;
  readonly #sampler: ActionSampler;
  readonly #seeds: number;

  private constructor(model: MimicVideo, sampler: ActionSampler, seeds: number) {
    this.#model = model;
    this.#sampler = sampler;
    this.#seeds = seeds;
  }

  /** Records the decoder's steps for `rows` rows of V = `seeds` video seeds. Free it with `dispose`. */
  static async create(
    model: MimicVideo,
    shape: { rows: number; seeds: number; steps: number; videoTokens: readonly number[] },
  ): Promise<EpisodeDecoder> {
    const { rows, seeds, steps, videoTokens } = shape;
    const sampler = await ActionSampler.create(model.gpu, model.actionDecoder, {
      batch: rows * seeds,
      steps,
      videoTokens,
      memory: model.description.samplerMemory,
      distinctVideoTimes: rows,
    });
    return new EpisodeDecoder(model, sampler, seeds);
  }

  /**
   * @returns a reader of rows `from` (inclusive) to `to` (exclusive)
   * @throws the signal's reason when aborted
   */
  async decode(inputs: DecodeInputs): Promise<(from: number, to: number) => DecodedRows> {
    const { features, taus, jointState, noises, signal, onStep } = inputs;
    const { gpu, chunkShape } = this.#model;
    const size = chunkShape[0] * chunkShape[1];
    const V = this.#seeds;
    const batch = taus.length * V;
    features.layers.forEach((layer, i) => copyTensor(gpu, layer, this.#sampler.videoHiddens[i]));
    const runs: ActionSamples[] = [];
    for (const noise of noises) {
      const run = await this.#sampler.run(
        {
          noise: repeat(noise, batch),
          jointState: repeat(jointState, batch),
          videoTimes: Array.from({ length: batch }, (_, b) => taus[Math.floor(b / V)]),
        },
        {
          signal,
          onStep: async () => {
            await gpu.idle();
            onStep?.();
          },
        },
      );
      runs.push(run);
    }
    return (from, to) => {
      // Samples come as (states, rows · V, n, A) per action seed; results are wanted per video seed.
      const gather = (pick: (run: ActionSamples) => Float32Array): Float32Array => {
        const states = pick(runs[0]).length / (batch * size);
        const out = new Float32Array(V * runs.length * (to - from) * states * size);
        let at = 0;
        for (let v = 0; v < V; v++) {
          for (const run of runs) {
            for (let row = from; row < to; row++) {
              for (let state = 0; state < states; state++, at += size) {
                const start = (state * batch + row * V + v) * size;
                out.set(pick(run).subarray(start, start + size), at);
              }
            }
          }
        }
        return out;
      };
      return {
        actions: gather((run) => run.actions),
        iterates: gather((run) => run.iterates),
        oneJump: gather((run) => run.oneJump),
      };
    };
  }

  dispose(): void {
    this.#sampler.dispose();
  }
}

function repeat(values: Float32Array, times: number): Float32Array {
  const out = new Float32Array(values.length * times);
  for (let i = 0; i < times; i++) out.set(values, i * values.length);
  return out;
}
