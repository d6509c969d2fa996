/**
 * The experiment: imagine the futures of every episode, decode actions at every probe step, and keep what was decoded.
 * Nothing here knows statistics, files or Node; the browser page runs the same code.
 */
import { NonFiniteError } from "../../errors.ts";
import type { MimicVideo } from "../../systems/mimic-video/model.ts";
import { gaussian } from "../../sampling/noise.ts";
import { linspace, videoGrid } from "../../sampling/grid.ts";
import { copyTensor } from "../../tensor/tensor.ts";
import { type DecodedRows, EpisodeDecoder } from "../../systems/mimic-video/decode.ts";
import type { Episode, EpisodeData, GivenNoise } from "../../systems/mimic-video/episodes.ts";
import { type Features, imagine } from "../../systems/mimic-video/imagine.ts";
import {
  type EpisodeMeasurement,
  fingerprintOf,
  type ProbeHooks,
  type ProbeMeasurement,
  type ProbeProvenance,
  type ProbeSettings,
} from "./measurement.ts";

/** What a run works on; whoever opens it closes it. */
export interface ProbeInputs {
  readonly model: MimicVideo;
  readonly data: Pick<EpisodeData, "count" | "read">;
  /** noise from a file; otherwise it is drawn from the seeds */
  readonly noise?: GivenNoise;
  readonly provenance: ProbeProvenance;
}

/** Episodes probed when none are named. */
const DEFAULT_EPISODES = 4;

/**
 * Measures. Finished episodes are saved to the store at once, and those found in it are not computed again.
 * @throws the signal's reason when interrupted; NonFiniteError naming the first tensor that is not finite
 */
export async function runProbe(
  inputs: ProbeInputs,
  settings: ProbeSettings,
  hooks: ProbeHooks,
): Promise<ProbeMeasurement> {
  const { model, data, provenance } = inputs;
  const { description, gpu } = model;
  const episodes =
    settings.episodes ?? Array.from({ length: Math.min(DEFAULT_EPISODES, data.count) }, (_, i) => i);
  const actionSteps = settings.actionSteps ?? description.actionSteps;
  const full = { ...settings, episodes, actionSteps };
  const stored = new Set(await hooks.store?.begin(fingerprintOf(full, provenance, actionSteps)));
  const run = new EpisodeRun(inputs, full, hooks, stored);

  const started = performance.now();
  const measured: EpisodeMeasurement[] = [];
  try {
    for (let at = 0; at < episodes.length; at++) {
      const known = stored.has(episodes[at]) ? await hooks.store?.load(episodes[at]) : undefined;
      measured.push(known ?? (await run.measure(at)));
      if (!known) await hooks.store?.save(measured[at]);
    }
  } finally {
    run.release();
  }
  return {
    settings: full,
    provenance: { ...provenance, variants: gpu.variantsRan },
    actionNames: [...description.action.names],
    actionUnits: [...description.action.units],
    datasetMean: description.action.mean,
    taus: settings.probeSteps.map((k) => videoGrid(settings.videoSteps)[k]),
    actionTimes: linspace(0, 1, actionSteps),
    chunkLength: model.chunkShape[0],
    episodes: measured,
    timing: {
      phases: [{ name: "episodes", seconds: (performance.now() - started) / 1000 }],
      resumedEpisodes: stored.size,
      peakGpuBytes: gpu.memory.usage.peak,
    },
  };
}

/** The noise that every decode of an episode starts from, where none is given. */
export function actionNoise({ index, id }: Episode, seed: number, size: number): Float32Array {
  return gaussian(`action/${id}/${index}`, seed, size);
}

type FullSettings = ProbeSettings & { readonly episodes: readonly number[]; readonly actionSteps: number };

/**
 * Episodes in turn. The control with another episode's context takes the episode before, and the first takes the last:
 * the last one's futures are therefore imagined first and kept until its own turn.
 */
class EpisodeRun {
  readonly #inputs: ProbeInputs;
  readonly #settings: FullSettings;
  readonly #hooks: ProbeHooks;
  /** position in the list → features that are still needed */
  readonly #features = new Map<number, Features>();
  #decoder: EpisodeDecoder | undefined;
  #done = 0;
  readonly #total: number;

  constructor(inputs: ProbeInputs, settings: FullSettings, hooks: ProbeHooks, stored: ReadonlySet<number>) {
    this.#inputs = inputs;
    this.#settings = settings;
    this.#hooks = hooks;
    const { episodes, videoSteps, actionSteps, actionSeeds } = settings;
    const open = episodes.flatMap((e, at) => (stored.has(e) ? [] : [at]));
    const imagined = new Set(open.flatMap((at) => [at, this.#before(at)]));
    this.#total = imagined.size * (videoSteps + 1) + open.length * actionSteps * actionSeeds.length;
  }

  /** Position whose context serves as "another episode's" at this position. */
  #before(at: number): number {
    const { length } = this.#settings.episodes;
    return (at + length - 1) % length;
  }

  async measure(at: number): Promise<EpisodeMeasurement> {
    try {
      return await this.#measureOnce(at);
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      return this.#explain(at, error);
    }
  }

  release(): void {
    this.#decoder?.dispose();
    this.#decoder = undefined;
    for (const features of this.#features.values()) features.release();
    this.#features.clear();
  }

  async #measureOnce(at: number): Promise<EpisodeMeasurement> {
    const { model } = this.#inputs;
    const { probeSteps, episodes, actionSeeds, videoSteps } = this.#settings;
    const before = this.#before(at);
    const other = before === at ? undefined : await this.#imagined(before);
    const features = await this.#imagined(at);
    const K = probeSteps.length;
    features.layers.forEach((layer, i) => {
      const row = layer.size / layer.dim(0);
      if (other)
        copyTensor(model.gpu, other.layers[i], layer, { from: (K - 1) * row, to: (K + 1) * row, count: row });
    });
    const episode = await this.#inputs.data.read(episodes[at]);
    const tau = videoGrid(videoSteps);
    const decoder = await this.#decoderFor(features);
    const rows = await decoder.decode({
      features,
      taus: [...probeSteps.map((k) => tau[k]), tau[videoSteps], tau[videoSteps]],
      jointState: episode.jointState,
      noises: actionSeeds.map((seed) => this.#actionNoise(episode, seed)),
      signal: this.#hooks.signal,
      onStep: () => this.#step(),
    });
    const [probed, zeroed, others] = [rows(0, K), rows(K, K + 1), rows(K + 1, K + 2)];
    assertFinite(episode, probed, zeroed, others);
    if (before !== episodes.length - 1 || at === episodes.length - 1) this.#forget(before);
    if (at === episodes.length - 1) this.#forget(at);
    return {
      episode: episode.index,
      id: episode.id,
      prompt: episode.prompt,
      truth: episode.truth,
      holdStill: holdStill(model.description.action.names, model.chunkShape[0], episode),
      ...probed,
      zeroedContext: zeroed.actions,
      otherContext: other ? others.actions : new Float32Array(0),
    };
  }

  /** Episodes have equal shapes, so one recording of the decoder serves all. */
  async #decoderFor({ layers }: Features): Promise<EpisodeDecoder> {
    const { videoSeeds, actionSteps } = this.#settings;
    return (this.#decoder ??= await EpisodeDecoder.create(this.#inputs.model, {
      rows: layers[0].dim(0),
      seeds: videoSeeds.length,
      steps: actionSteps,
      videoTokens: layers.map((layer) => layer.dim(2)),
    }));
  }

  async #imagined(at: number): Promise<Features> {
    const known = this.#features.get(at);
    if (known) return known;
    const { data, model } = this.#inputs;
    const { episodes, videoSteps, probeSteps, videoSeeds } = this.#settings;
    const episode = await data.read(episodes[at]);
    const each = videoSeeds.map((seed) => this.#videoNoise(episode, seed));
    const noise = new Float32Array(each.reduce((n, x) => n + x.length, 0));
    each.forEach((x, i) => noise.set(x, i * x.length));
    const features = await imagine(model, episode, {
      videoSteps,
      probeSteps,
      noise,
      copies: videoSeeds.length,
      signal: this.#hooks.signal,
      onStep: () => this.#step(),
      onState: this.#hooks.onState,
    });
    this.#features.set(at, features);
    return features;
  }

  #forget(at: number): void {
    this.#features.get(at)?.release();
    this.#features.delete(at);
  }

  #videoNoise({ index, id }: Episode, seed: number): Float32Array {
    const { model, noise } = this.#inputs;
    const size = model.futureShape.reduce((a, b) => a * b, 1);
    return noise ? noise.video(index, seed) : gaussian(`video/${id}/${index}`, seed, size);
  }

  #actionNoise(episode: Episode, seed: number): Float32Array {
    const { model, noise } = this.#inputs;
    const [n, A] = model.chunkShape;
    return noise ? noise.action(episode.index, seed) : actionNoise(episode, seed, n * A);
  }

  #step(): void {
    this.#done++;
    this.#hooks.onProgress?.({ phase: "probing", done: this.#done, total: this.#total, unit: "steps" });
  }

  /** Repeats an episode with every tensor looked at, so that the error names the first that is not finite. */
  async #explain(at: number, error: NonFiniteError): Promise<never> {
    const { gpu } = this.#inputs.model;
    this.release();
    // New buffers are zero; reused ones would still hold what the failed run left in parts not yet written.
    gpu.memory.trim();
    gpu.checkFinite = true;
    try {
      await this.#measureOnce(at);
    } finally {
      gpu.checkFinite = false;
    }
    throw error;
  }
}

/** @throws NonFiniteError; the caller then looks for the tensor where it began */
function assertFinite({ id }: Episode, ...decoded: DecodedRows[]): void {
  if (decoded.some(({ actions, iterates }) => ![...actions, ...iterates].every(Number.isFinite))) {
    throw new NonFiniteError(`the decoded actions of episode ${id} are not finite`);
  }
}

/**
 * The chunk of a robot that does not move: relative actions are zero, and a gripper keeps its state, which is the last
 * entry of the robot's state (weights/toy/README.md, "hold still").
 */
export function holdStill(
  names: readonly string[],
  positions: number,
  { jointState }: Pick<Episode, "jointState">,
): Float32Array<ArrayBuffer> {
  const still = names.map((name) => (name === "gripper" ? jointState[jointState.length - 1] : 0));
  return Float32Array.from({ length: positions * names.length }, (_, i) => still[i % names.length]);
}
