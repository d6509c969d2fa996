/**
 * In the worker: a model of any other system of the registry, through the system's own interface. Loaded when such a model is opened. What
 * its subject does not have is not shown: no imagined frames, no steps of a read-out.
 */
import { FormatError, UsageError } from "../src/errors.ts";
import type { Gpu } from "../src/gpu/gpu.ts";
import type { ProbeProvenance, ProbedState } from "../src/probe/experiment/measurement.ts";
import { statementOf } from "../src/probe/result/made-by.ts";
import type { Held, Item, Subject } from "../src/probe/subject.ts";
import type { PlanItem } from "../src/systems/diffusion-policy/subject.ts";
import { recognise } from "../src/systems/registry.ts";
import type { PolicyDescription } from "../src/systems/policy.ts";
import type { BoundSubject, Opened, System } from "../src/systems/system.ts";
import type { WeightDtype } from "../src/tensor/matrix.ts";
import type { LoadOptions } from "../src/weights/loader.ts";
import { modelFilesOf } from "../src/weights/model-files.browser.ts";
import type { ModelFiles } from "../src/weights/model-files.ts";
import { type BrowserDevice, provenanceDevice } from "./device.ts";
import { bySeeds } from "./chunk.ts";
import { rgbaFrames } from "./pixels.ts";
import type { OpenedPlace } from "./place.ts";
import type { DataPlace, EpisodeView, ModelView, RunSettings, StateView } from "./protocol.ts";
import { openRecordings } from "./recorded-data.ts";
import type { BoundRun, Session } from "./session.ts";

const SHOWN_EPISODES = 8;

/** A model with data, on a device. */
interface Bound {
  readonly opened: Opened;
  readonly subject: BoundSubject;
  readonly dtype: WeightDtype;
  readonly data: { readonly name: string; readonly sha256: () => Promise<string> };
  readonly recorded?: string;
  loaded: boolean;
}

export class OpenedSession implements Session {
  readonly #device: BrowserDevice;
  readonly #files: ModelFiles;
  readonly #system: System;
  /** the recorded set that was asked for; without one the model's own data */
  #place: DataPlace | undefined;
  #bound: Bound | undefined;
  #view: ModelView | undefined;

  private constructor(
    device: BrowserDevice,
    files: ModelFiles,
    system: System,
    place: DataPlace | undefined,
  ) {
    this.#device = device;
    this.#files = files;
    this.#system = system;
    this.#place = place;
  }

  /** Builds the networks and binds the data; no weights are read. */
  static async open(
    { name, revision, sources }: OpenedPlace,
    place: DataPlace | undefined,
    device: BrowserDevice,
  ): Promise<OpenedSession> {
    const files = modelFilesOf(name, sources, revision);
    const session = new OpenedSession(device, files, await recognise(files), place);
    const bound = await session.#bind(place, "f32");
    try {
      session.#view = await viewOf(bound);
      session.#bound = bound;
      return session;
    } catch (error) {
      await close(bound);
      throw error;
    }
  }

  get view(): ModelView {
    return this.#view!;
  }

  get device(): BrowserDevice {
    return this.#device;
  }

  async load(dtype: WeightDtype, loading: LoadOptions): Promise<void> {
    if (this.#bound?.dtype !== dtype) {
      if (this.#bound) await close(this.#bound);
      this.#bound = undefined;
      this.#bound = await this.#bind(this.#place, dtype);
    }
    if (!this.#bound.loaded) await this.#bound.opened.load(loading);
    this.#bound.loaded = true;
  }

  async useData(place: DataPlace | undefined): Promise<void> {
    const bound = await this.#bind(place, this.#bound?.dtype ?? "f32");
    try {
      this.#view = await viewOf(bound);
    } catch (error) {
      await close(bound);
      throw error;
    }
    if (this.#bound) await close(this.#bound);
    this.#place = place;
    this.#bound = bound;
  }

  async checkData(place: DataPlace): Promise<void> {
    await (await openRecordings(place, () => {})).close();
  }

  async run(): Promise<BoundRun> {
    const { opened, subject, data, dtype } = this.#bound!;
    const gpu = await this.#device.gpu();
    const provenance: ProbeProvenance = {
      model: {
        ...{ name: opened.name, revision: this.#files.revision, trainedOn: opened.trainedOn },
        weightsSha256: await this.#files.sha256(opened.weightFiles),
        ...{ system: this.#system.name, stamp: opened.stamp },
      },
      data: { name: data.name, sha256: await data.sha256() },
      noiseSha256: null,
      ...provenanceDevice(gpu),
      dtype,
    };
    return {
      subject,
      provenance,
      show: (seen, settings) => shown(subject, seen, settings),
      dispose: async () => {},
    };
  }

  dropDevice(): void {
    this.#device.drop();
    this.#bound = undefined;
  }

  async close(): Promise<void> {
    if (this.#bound) await close(this.#bound);
    this.dropDevice();
  }

  async #bind(place: DataPlace | undefined, dtype: WeightDtype): Promise<Bound> {
    const gpu: Gpu = await this.#device.gpu();
    const notes: string[] = [];
    const onNote = (line: string): void => void notes.push(line);
    const opened = await this.#system.open(gpu, this.#files, { dtype, onNote });
    try {
      const own = this.#files.paths.includes("inputs.safetensors");
      const named = place ?? (own ? undefined : await this.#trainedOn());
      if (!named) {
        const files = this.#files;
        const subject = await opened.subject(files);
        const sha256 = () => files.sha256(subject.dataFiles ?? ["episodes.safetensors"]);
        return { opened, subject, dtype, data: { name: files.name, sha256 }, loaded: false };
      }
      const recordings = await openRecordings(named, onNote);
      const subject = await opened.subject(recordings).catch(async (error: unknown) => {
        await recordings.close();
        throw error;
      });
      const data = { name: recordings.name, sha256: () => recordings.sha256() };
      return { opened, subject, dtype, data, recorded: notes.join(". "), loaded: false };
    } catch (error) {
      await opened.release();
      throw error;
    }
  }

  /** @throws UsageError when the model's files name no data */
  async #trainedOn(): Promise<DataPlace> {
    const name = await this.#system.dataSet?.(this.#files);
    if (name !== undefined) return { kind: "hub", name, choices: {} };
    throw new UsageError(
      `${this.#files.name} brings no data and names none. Name a data set under “Other data” first, such as lerobot/pusht`,
    );
  }
}

/**
 * Whether any system knows such a model, from names, JSON and headers.
 * @throws FormatError or UsageError for what none knows
 */
export async function checkModel({ name, revision, sources }: OpenedPlace): Promise<void> {
  await recognise(modelFilesOf(name, sources, revision));
}

async function close({ opened, subject }: Bound): Promise<void> {
  await subject.close();
  await opened.release();
}

async function viewOf({ opened, subject, recorded }: Bound): Promise<ModelView> {
  const episodes: EpisodeView[] = [];
  // A policy describes what it sees before its weights are there; one that cannot act has no description.
  const policy = await opened.policy?.().catch(() => undefined);
  policy?.dispose();
  const described = policy?.description;
  let picture: Picture | undefined;
  let datasetMean: Float32Array | undefined;
  for (let index = 0; index < Math.min(subject.items.count, SHOWN_EPISODES); index++) {
    const item = await subject.items.read(index);
    const seen = pictureOf(item, described);
    picture ??= seen;
    const floors = subject.floors(item);
    datasetMean ??= floors.datasetMean;
    episodes.push({
      ...{ index, id: item.id, prompt: item.prompt, truth: item.truth, holdStill: floors.holdStill },
      ...{ context: seen.frames, jointState: stateOf(item, described) },
    });
  }
  if (!picture) throw new FormatError(`${opened.name}: the data hold nothing to be measured`);
  const stop = subject.axes.stop();
  const last = stop.times.length - 1;
  return {
    ...{ name: opened.name, trainedOn: opened.trainedOn, statement: statementOf(opened.trainedOn) },
    ...{ frameSize: picture.size, contextFrames: picture.count },
    ...{ actionNames: subject.dimensions.names, actionUnits: subject.dimensions.units },
    actionSteps: subject.axes.inner?.().steps ?? 0,
    chunkLength: subject.positions,
    datasetMean,
    ...(recorded !== undefined && { recorded }),
    episodes,
    plan: {
      steps: stop.steps,
      probed: (subject.defaults?.probeSteps ?? [0, 0.5, 1]).map((fraction) => Math.round(fraction * last)),
      pairsSeeds: subject.pairsSeeds,
    },
  };
}

interface Picture {
  readonly frames: Uint8ClampedArray<ArrayBuffer>;
  readonly count: number;
  readonly size: readonly [rows: number, columns: number];
}

/** What the first camera saw, oldest first, where the policy has one and says its size. */
function pictureOf(item: Item, seen: PolicyDescription | undefined): Picture {
  const [values] = (item as Partial<PlanItem>).observed?.pictures ?? []; // (S, 3, rows, columns)
  const camera = seen?.cameras.at(0);
  if (!values || !camera) return { frames: new Uint8ClampedArray(4), count: 1, size: [1, 1] };
  const { frames: S, size } = camera;
  const area = size[0] * size[1];
  const turned = new Float32Array(values.length); // (3, S, rows, columns)
  for (let s = 0; s < S; s++)
    for (let c = 0; c < 3; c++)
      turned.set(values.subarray((s * 3 + c) * area, (s * 3 + c + 1) * area), (c * S + s) * area);
  return { frames: rgbaFrames(turned, S), count: S, size };
}

/** The state of the last observation. */
function stateOf(item: Item, seen: PolicyDescription | undefined): Float32Array {
  const state = (item as Partial<PlanItem>).observed?.state ?? new Float32Array();
  return state.slice(-(seen?.state.length ?? 0) || state.length);
}

/** A probed state: its read-outs, and no frames. */
async function shown(
  subject: Subject,
  { item, state, tap, encoded }: ProbedState,
  { videoSeeds = [0], actionSeeds, actionSteps }: RunSettings,
): Promise<StateView> {
  const V = videoSeeds.length;
  const seeds = subject.pairsSeeds ? [videoSeeds] : actionSeeds.map((seed) => videoSeeds.map(() => seed));
  const noises = seeds.map((each) => each.map((seed) => subject.readNoise(item, seed)));
  const taps = [{ tap, time: state.time }];
  const readings = await subject.read(taps, encoded as Held, noises, actionSteps, {});
  const inner = subject.axes.inner !== undefined;
  return {
    ...{ episode: item.index, step: state.step, tau: state.time, frames: new Uint8ClampedArray() },
    iterates: bySeeds(
      readings.map(({ values, iterates }) => (inner ? iterates! : values)),
      V,
    ),
  };
}
