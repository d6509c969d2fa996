/** The worker: opens models, runs the probe of src/probe, and tells the page what happens. */
import type { ProbeHooks, ProbeMeasurement } from "../src/probe/experiment/measurement.ts";
import { probeResult } from "../src/probe/result/result.ts";
import { runRecord } from "../src/probe/result/run-record.ts";
import { runProbe } from "../src/probe/experiment/run.ts";
import type { Gpu } from "../src/gpu/gpu.ts";
import type { LoadOptions } from "../src/weights/loader.ts";
import { BrowserDevice, deviceView } from "./device.ts";
import { drawsSamples } from "./draws-samples.ts";
import { kindOf } from "./error-kind.ts";
import { type OpenedPlace, openPlace } from "./place.ts";
import type { CompareWish, DataPlace, Event, Request, RunRequest, RunSettings, Wanted } from "./protocol.ts";
import { type BoundRun, MimicVideoSession, type Session } from "./session.ts";
import { SoFar } from "./so-far.ts";
import { Stopwatch } from "./stopwatch.ts";

/** @param moved buffers that go to the page without a copy; the worker has them no longer */
const tell = (event: Event, moved: ArrayBuffer[] = []): void => self.postMessage(event, { transfer: moved });
const progress = (phase: string, unit: string) => (done: number, total: number) =>
  tell({ type: "progress", phase, done, total, unit });

const loading = (signal: AbortSignal): LoadOptions => ({
  signal,
  onProgress: progress("loading weights", "bytes"),
  onSaturated: (key, count) => {
    const message = `${key}: ${count} values beyond float16’s ±65504 became ±65504`;
    tell({ type: "warning", kind: "Saturated", message });
  },
});

let session: Session | undefined;
let abort: AbortController | undefined;
/** runs that are under way or wait */
let runs = 0;
/** what is under way was cancelled, and the page was told so */
let told = false;
/** One thing at a time, in the order it was asked for. */
let turn: Promise<void> = Promise.resolve();
/** requests so far, and how many of them a cancel came after */
let [requests, cancelled] = [0, 0];

self.onmessage = ({ data }: MessageEvent<Request>) => {
  if (data.type === "cancel") return cancel();
  if (data.type === "check")
    return void check(data.wanted).catch((error: unknown) =>
      report("check", error, new AbortController().signal),
    );
  const request = ++requests;
  const measures = data.type === "run" || data.type === "compare";
  if (measures) runs++;
  // Another model or other data make what is under way superfluous; a run waits for what is being opened.
  if (data.type === "open" || data.type === "data") abort?.abort();
  turn = turn.then(async () => {
    // A run may be cancelled while it still waits for the model to open; the page was told at once.
    if (measures && request <= cancelled) return void runs--;
    const controller = (abort = new AbortController());
    told = false;
    try {
      if (data.type === "open") await open(data, controller.signal);
      else if (data.type === "data") await useData(data.place);
      else if (data.type === "act") await act(data, controller.signal);
      else if (data.type === "compare") await compare(data.wish, controller.signal);
      else await run(data.run, controller.signal);
    } catch (error) {
      report(data.type, error, controller.signal);
    }
    abort = undefined;
    if (measures) runs--;
  });
};

/** The page need not wait until the GPU has finished what it was given, or kernels that are being compiled. */
function cancel(): void {
  cancelled = requests;
  abort?.abort();
  if (runs === 0) return;
  told = true;
  tell({ type: "cancelled" });
}

/** Opens and closes it, beside what is under way. */
async function check(wanted: Wanted): Promise<void> {
  if (wanted.model) {
    const found = await openPlace(wanted.model, () => {});
    // Another worker opens what draws samples, and says what does not fit.
    if (await drawsSamples(found)) return tell({ type: "checked", wanted });
    if (found.sources.has("model.json"))
      await (await MimicVideoSession.open(found, wanted.data, new BrowserDevice(() => {}))).close();
    else await (await import("./opened-session.ts")).checkModel(found);
  } else await session?.checkData(wanted.data);
  tell({ type: "checked", wanted });
}

type Open = Extract<Request, { type: "open" }>;

async function open({ place, data, dtype }: Open, signal: AbortSignal): Promise<void> {
  const onDownload = (phase: string, done: number, total: number): void =>
    tell({ type: "progress", phase, done, total, unit: "bytes" });
  const found = await openPlace(place, onDownload);
  if (await drawsSamples(found)) return tell({ type: "samples", place });
  const device = new BrowserDevice(watch);
  const opened = await openSession(found, data, device).catch((error: unknown) => {
    device.drop();
    throw error;
  });
  // Only a model that could be opened takes the place of the one before.
  await session?.close();
  session = opened;
  showSession(opened);
  await opened.load(dtype, loading(signal));
  tell({ type: "ready" });
}

async function openSession(
  found: OpenedPlace,
  data: DataPlace | undefined,
  device: BrowserDevice,
): Promise<Session> {
  // What a composed model needs is here; other systems come when one of them is opened.
  if (found.sources.has("model.json")) return MimicVideoSession.open(found, data, device);
  const { OpenedSession } = await import("./opened-session.ts");
  return OpenedSession.open(found, data, device);
}

/** Other episodes for the model that is open. */
async function useData(place: DataPlace | undefined): Promise<void> {
  if (!session) return;
  tell({ type: "progress", phase: "reading the data set", done: 0, total: 0, unit: "" });
  await session.useData(place);
  showSession(session);
  tell({ type: "ready" });
}

function showSession({ view }: Session): void {
  const pictures = view.episodes.map(({ context }) => context.buffer);
  tell({ type: "opened", model: view }, pictures);
}

/** What is computed of a run is told as it comes, and nothing any more once it was cancelled. */
async function run({ settings, prompt, link }: RunRequest, signal: AbortSignal): Promise<void> {
  if (!session) return;
  const started = performance.now();
  const { view } = session;
  const say = unless(signal);
  const order = inOrder(settings.episodes);
  say({ type: "measuring", episode: order[0] });
  const { gpu, bound } = await prepared(session, settings, prompt, signal);
  const times = new Stopwatch(gpu);
  const sizes = {
    ...{ positions: view.chunkLength, dimensions: view.actionNames.length },
    actionSteps: view.actionSteps > 0 ? (settings.actionSteps ?? view.actionSteps) : 0,
  };
  const soFar = new SoFar(settings, sizes, view.datasetMean);
  let measuring = order[0];
  /** an episode's last state has been reached, so that action steps follow */
  let decoding = false;
  const hooks: ProbeHooks = {
    signal,
    onProgress: ({ done, total, unit }) => {
      times.step(done);
      const place = order.length > 1 ? ` (${order.indexOf(measuring) + 1} of ${order.length})` : "";
      say({ type: "progress", phase: `probing episode ${measuring}${place}`, done, total, unit });
    },
    onState: async (seen) => {
      const cost = times.cost(decoding ? "actionStep" : "videoStep");
      decoding = seen.state.step === settings.probeSteps.at(-1) && view.actionSteps > 0;
      times.pause();
      // What is computed only to be shown is none of the method's operations.
      const counted = gpu.counters.flops;
      const shown = await bound.show(seen, settings, signal);
      gpu.counters.flops = counted;
      const known = soFar.add(shown, seen.item, bound.subject.floors(seen.item).holdStill);
      say({ type: "state", state: shown }, [shown.frames.buffer]);
      say({ type: "cost", cost });
      if (known) {
        say({ type: "soFar", soFar: known });
        measuring = order[order.indexOf(seen.item.index) + 1] ?? measuring;
        say({ type: "measuring", episode: measuring });
      }
      times.resume();
    },
  };
  const measurement = await measured(session, gpu, bound, settings, hooks);
  say({ type: "cost", cost: times.cost(view.actionSteps > 0 ? "actionStep" : "videoStep") });
  const seconds = (performance.now() - started) / 1000;
  const facts = { date: new Date().toISOString(), command: link, seconds };
  say({ type: "done", result: probeResult(measurement), run: runRecord(measurement.timing, facts) });
}

/** Two runs from one scene, one after the other; only what they look like is told. */
async function compare({ episode, sides, settings }: CompareWish, signal: AbortSignal): Promise<void> {
  if (!session) return;
  const say = unless(signal);
  for (const side of [0, 1] as const) {
    const { prompt, seed } = sides[side];
    const own = session.view.episodes[episode].prompt;
    const words = prompt === own ? undefined : { episode, text: prompt };
    const { gpu, bound } = await prepared(session, settings, words, signal);
    const one = {
      ...settings,
      episodes: [episode],
      videoSeeds: [seed],
      actionSeeds: [settings.actionSeeds[0]],
    };
    await measured(session, gpu, bound, one, {
      signal,
      onProgress: ({ done, total, unit }) =>
        say({ type: "progress", phase: `comparing, ${side === 0 ? "left" : "right"}`, done, total, unit }),
      onState: async (seen) => {
        const state = await bound.show(seen, one, signal);
        say({ type: "compared", side, state }, [state.frames.buffer]);
      },
    });
  }
  say({ type: "comparedAll" });
}

/** The episodes as they are measured: the last of the list first, see src/probe/experiment/episode-run.ts. */
const inOrder = (episodes: readonly number[]): number[] => [...episodes.slice(-1), ...episodes.slice(0, -1)];

const unless =
  (signal: AbortSignal) =>
  (event: Event, moved: ArrayBuffer[] = []): void => {
    if (!signal.aborted) tell(event, moved);
  };

/** Weights on the device, data bound; compiling is told as a number from now on. */
async function prepared(
  open: Session,
  { dtype }: RunSettings,
  prompt: RunRequest["prompt"],
  signal: AbortSignal,
): Promise<{ gpu: Gpu; bound: BoundRun }> {
  const say = unless(signal);
  const gpu = await open.device.gpu();
  await open.load(dtype, loading(signal));
  say({ type: "ready" });
  // The first recording compiles every pipeline of the transformer, which can take longer than all the steps.
  const phase = "compiling kernels";
  say({ type: "progress", phase, done: 0, total: 0, unit: "" });
  const before = gpu.pipelines.created;
  gpu.pipelines.onBuild = (built, asked) => {
    if (built < asked)
      say({ type: "progress", phase, done: built - before, total: asked - before, unit: "" });
  };
  return { gpu, bound: await open.run(prompt) };
}

/** Measures, and lets go of what was bound. */
async function measured(
  { view }: Session,
  gpu: Gpu,
  { subject, provenance, dispose }: BoundRun,
  asked: RunSettings,
  hooks: ProbeHooks,
): Promise<ProbeMeasurement> {
  try {
    const settings = view.plan?.pairsSeeds ? { ...asked, actionSeeds: "same" as const } : asked;
    return await runProbe({ subject, provenance }, settings, hooks);
  } finally {
    gpu.pipelines.onBuild = undefined;
    await dispose();
  }
}

async function act({ wish, dtype }: Extract<Request, { type: "act" }>, signal: AbortSignal): Promise<void> {
  if (!session?.act) return tell({ type: "acted" });
  await session.load(dtype, loading(signal));
  for await (const view of session.act(wish, signal))
    tell({ type: "acting", act: view }, [view.frames.buffer]);
  tell({ type: "acted" });
  tell({ type: "ready" });
}

/** Says what device it is, and speaks up when it is lost or refuses something outside of a checked scope. */
function watch(gpu: Gpu): void {
  tell({ type: "device", device: deviceView(gpu) });
  void gpu.device.lost.then(({ reason, message }) => {
    if (reason === "destroyed") return;
    abort?.abort();
    session?.dropDevice();
    fail("run", "DeviceLostError", `the GPU device was lost (${message || reason}).`);
  });
  gpu.device.addEventListener("uncapturederror", ({ error }) => {
    abort?.abort();
    fail("run", error.constructor.name, error.message);
  });
}

function report(during: Request["type"], error: unknown, signal: AbortSignal): void {
  if (signal.aborted) {
    if (during === "act") tell({ type: "acted" });
    else if (!told && (during === "run" || during === "compare")) tell({ type: "cancelled" });
    return;
  }
  const message = error instanceof Error ? error.message : String(error);
  const name = kindOf(error);
  if (name === "DeviceLostError") session?.dropDevice();
  fail(during, name, message);
}

function fail(during: Request["type"], kind: string, message: string): void {
  tell({ type: "failed", during, kind, message });
}
