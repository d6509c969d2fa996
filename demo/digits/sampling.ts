/**
 * The worker of the digits: pictures by every rule from the same noise, told after each call. It is not the page's worker, which does one
 * thing at a time: a run there may take minutes and keeps its model open, and pictures are drawn beside it.
 */
import { NonFiniteError, UsageError } from "../../src/errors.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { joined } from "../../src/systems/arrays.ts";
import { meanFlowSystem } from "../../src/systems/meanflow/system.ts";
import type { Sampler } from "../../src/systems/sampler.ts";
import { type DrawnBeside, sideBySide } from "../../src/systems/side-by-side.ts";
import type { Opened } from "../../src/systems/system.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { modelFilesOf } from "../../src/weights/model-files.browser.ts";
import { BrowserDevice, deviceView } from "../device.ts";
import { kindOf } from "../error-kind.ts";
import { type Download, modelAmong, openBeside, type OpenedPlace, openHub } from "../place.ts";
import type {
  DigitsEvent,
  DigitsRequest,
  DrawWish,
  RuleView,
  SamplesPlace,
  SamplesView,
} from "./protocol.ts";

/** A model on a device. */
interface Standing {
  readonly gpu: Gpu;
  readonly device: BrowserDevice;
  readonly opened: Opened;
  readonly sampler: Sampler;
  readonly rules: readonly RuleView[];
}

/** @param moved buffers that go to the page without a copy */
const tell = (event: DigitsEvent, moved: ArrayBuffer[] = []): void =>
  self.postMessage(event, { transfer: moved });
const progress = (words: string) => (done: number, total: number) =>
  tell({ type: "progress", words, done, total });

/** where the model that stands came from, so that it can be opened again when its device was lost */
let place: SamplesPlace | undefined;
let standing: Standing | undefined;
let abort: AbortController | undefined;
/** One thing at a time, in the order it was asked for. */
let turn: Promise<void> = Promise.resolve();
let newest = 0;

self.onmessage = ({ data }: MessageEvent<DigitsRequest>) => {
  // Only the newest pictures are looked at.
  abort?.abort();
  if (data.type === "draw") newest = data.id;
  turn = turn.then(async () => {
    if (data.type === "draw" && data.id !== newest) return;
    const { signal } = (abort = new AbortController());
    try {
      if (data.type === "open") await open(data.place);
      else await draw(data.id, data.wish, signal);
    } catch (error) {
      if (!signal.aborted) fail(data.type, error);
    }
  });
};

function fail(during: DigitsRequest["type"], error: unknown): void {
  const kind = kindOf(error);
  if (kind === "DeviceLostError") standing = undefined;
  tell({ type: "failed", during, kind, message: error instanceof Error ? error.message : String(error) });
}

/** Only a model that could be opened takes the place of the one before. */
async function open(wanted: SamplesPlace): Promise<void> {
  const next = await stand(wanted);
  await standing?.opened.release();
  standing?.device.drop();
  standing = next;
  place = wanted;
  tell({ type: "opened", model: viewOf(next) });
}

async function stand(wanted: SamplesPlace): Promise<Standing> {
  const { name, revision, sources } = await openSamplesPlace(wanted, (words, done, total) =>
    progress(words)(done, total),
  );
  const files = modelFilesOf(name, sources, revision);
  const known = await meanFlowSystem.recognise(files);
  if ("missing" in known)
    throw new UsageError(`${name} is no MeanFlow model: what is missing is ${known.missing.join("; ")}.`);
  const device = new BrowserDevice(watch);
  try {
    const gpu = await device.gpu();
    const opened = await meanFlowSystem.open(gpu, files, {});
    try {
      const sampler = opened.sampler!();
      refuseUnseen(sampler);
      await opened.load({ onProgress: progress("loading weights") });
      return { gpu, device, opened, sampler, rules: rulesOf(sampler) };
    } catch (error) {
      await opened.release();
      throw error;
    }
  } catch (error) {
    device.drop();
    throw error;
  }
}

function openSamplesPlace(wanted: SamplesPlace, onDownload: Download): Promise<OpenedPlace> {
  switch (wanted.kind) {
    case "digits":
      return openBeside("digits", new URL("digits/", wanted.page).href, onDownload);
    case "dropped":
      return Promise.resolve({ ...modelAmong(wanted.files), revision: "unversioned" });
    case "hub":
      return openHub(wanted.name, (remote) => meanFlowSystem.needed(remote, {}), onDownload);
  }
}

/** @throws UsageError for samples that are no pictures */
function refuseUnseen(sampler: Sampler): void {
  const { name, contents, shape } = sampler;
  const instead = "node dist/generate.js --out samples.safetensors writes their numbers.";
  if (contents === "latents")
    throw new UsageError(
      `${name} makes latents of ${shape.join(" × ")}, which only the decoder of an autoencoder turns into pictures, and none is part of this project. ${instead}`,
    );
  if (contents === "vectors" || !sampler.toBytes)
    throw new UsageError(`${name} makes vectors of ${sizeOf(shape)} numbers and no pictures. ${instead}`);
  if (shape[0] !== 1 && shape[0] !== 3)
    throw new UsageError(`${name}’s pictures have ${shape[0]} channels; 1 and 3 can be shown. ${instead}`);
}

/** Both rules, and why one is refused. */
function rulesOf(sampler: Sampler): RuleView[] {
  return (["average", "instant"] as const).map((name) => {
    try {
      sampler.checkRule(name);
      return { name };
    } catch (error) {
      return { name, refused: (error as Error).message };
    }
  });
}

function viewOf({ opened, sampler, rules }: Standing): SamplesView {
  const { name, classes, mostTogether } = sampler;
  const [C, H, W] = sampler.shape;
  return { name, trainedOn: opened.trainedOn, classes, shape: [C, H, W], rules, mostTogether };
}

async function draw(id: number, { labels, seeds, calls }: DrawWish, signal: AbortSignal): Promise<void> {
  if (!place) return;
  const started = performance.now();
  standing ??= await stand(place);
  const { gpu, sampler, rules } = standing;
  const before = gpu.pipelines.created;
  gpu.pipelines.onBuild = (built, asked) => {
    if (built < asked && !signal.aborted) progress("compiling kernels")(built - before, asked - before);
  };
  const noise = joined(seeds.map((seed, i) => sampler.noise(labels?.[i], seed)));
  const asked = rules.filter(({ refused }) => refused === undefined).map(({ name }) => name);
  try {
    for await (const drawn of sideBySide(sampler, { labels, noise, calls, signal }, asked)) {
      const bytes = await bytesOf(sampler, drawn);
      signal.throwIfAborted();
      const { rule, step, steps } = drawn;
      tell({ type: "drawn", id, drawn: { rule, step, steps, bytes } }, [bytes.buffer]);
    }
  } finally {
    gpu.pipelines.onBuild = undefined;
  }
  const seconds = (performance.now() - started) / 1000;
  tell({ type: "done", id, seconds, device: deviceView(gpu).name });
}

/** @throws NonFiniteError for a picture that is no number */
async function bytesOf(sampler: Sampler, drawn: DrawnBeside<string>): Promise<Uint8Array<ArrayBuffer>> {
  const samples = await drawn.read();
  const bad = samples.find((value) => !Number.isFinite(value));
  if (bad !== undefined)
    throw new NonFiniteError(`after call ${drawn.step} by the rule ${drawn.rule} a picture holds ${bad}.`);
  return sampler.toBytes!(samples);
}

/** Speaks up when the device is lost, or refuses something outside of a checked scope. */
function watch(gpu: Gpu): void {
  const lost = (kind: string, message: string): void => {
    if (standing?.gpu === gpu) standing = undefined;
    abort?.abort();
    tell({ type: "failed", during: "draw", kind, message });
  };
  void gpu.device.lost.then(({ reason, message }) => {
    if (reason !== "destroyed") lost("DeviceLostError", `the GPU device was lost (${message || reason}).`);
  });
  gpu.device.addEventListener("uncapturederror", ({ error }) => lost(error.constructor.name, error.message));
}
