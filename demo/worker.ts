/** The worker: opens models, runs the probe of src/probe, and tells the page what happens. */
import * as errors from "../src/errors.ts";
import { type ProbeHooks } from "../src/probe/experiment/measurement.ts";
import { probeResult } from "../src/probe/result/result.ts";
import { runRecord } from "../src/probe/result/run-record.ts";
import { runProbe } from "../src/probe/experiment/run.ts";
import type { Gpu } from "../src/gpu/gpu.ts";
import { type Episodes, MimicVideoSubject } from "../src/systems/mimic-video/subject.ts";
import type { LoadOptions } from "../src/weights/loader.ts";
import { openPlace } from "./place.ts";
import { Preview } from "./preview.ts";
import type { DataPlace, Event, Request, RunRequest } from "./protocol.ts";
import { deviceView, Session } from "./session.ts";
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
/** One thing at a time, in the order it was asked for. */
let turn: Promise<void> = Promise.resolve();
/** requests so far, and how many of them a cancel came after */
let [requests, cancelled] = [0, 0];

self.onmessage = ({ data }: MessageEvent<Request>) => {
  if (data.type === "cancel") {
    cancelled = requests;
    abort?.abort();
    return;
  }
  const request = ++requests;
  // Another model or other data make what is under way superfluous; a run waits for what is being opened.
  if (data.type !== "run") abort?.abort();
  turn = turn.then(async () => {
    // A run may be cancelled while it still waits for the model to open.
    if (data.type === "run" && request <= cancelled) return tell({ type: "cancelled" });
    const controller = (abort = new AbortController());
    try {
      if (data.type === "open") await open(data, controller.signal);
      else if (data.type === "data") await useData(data.place);
      else await run(data.run, controller);
    } catch (error) {
      report(data.type, error, controller.signal);
    }
  });
};

type Open = Extract<Request, { type: "open" }>;

async function open({ place, data, dtype }: Open, signal: AbortSignal): Promise<void> {
  const onDownload = (phase: string, done: number, total: number): void =>
    tell({ type: "progress", phase, done, total, unit: "bytes" });
  const opened = await Session.open(await openPlace(place, onDownload), data);
  // Only a model that could be opened takes the place of the one before.
  await session?.close();
  session = opened;
  showSession(opened);
  const gpu = await opened.gpu(watch);
  await opened.model(gpu, dtype, loading(signal));
  tell({ type: "ready" });
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

async function run({ settings, prompt, link }: RunRequest, controller: AbortController): Promise<void> {
  if (!session) return;
  const { signal } = controller;
  const { episodes: data, view } = session;
  const started = performance.now();
  const gpu = await session.gpu(watch);
  const model = await session.model(gpu, settings.dtype, loading(signal));
  tell({ type: "ready" });
  const provenance = await session.provenance(gpu, settings.dtype);
  const actionSteps = settings.actionSteps ?? view.actionSteps;
  const times = new Stopwatch(gpu);
  // The first recording compiles every pipeline of the transformer, which can take longer than all the steps.
  tell({ type: "progress", phase: "compiling kernels", done: 0, total: 0, unit: "" });
  let preview: Preview | undefined;
  /** an episode's last state has been reached, so that action steps follow */
  let decoding = false;
  const hooks: ProbeHooks = {
    signal,
    onProgress: ({ phase, done, total, unit }) => {
      times.step(done);
      tell({ type: "progress", phase, done, total, unit });
    },
    onState: async (seen) => {
      const cost = times.cost(decoding ? "actionStep" : "videoStep");
      decoding = seen.state.step === settings.videoSteps;
      times.pause();
      // What is computed only to be shown is none of the method's operations.
      const counted = gpu.counters.flops;
      preview ??= await Preview.create(model, subject, seen, settings.actionSeeds);
      const shown = await preview.show(seen, actionSteps, signal);
      gpu.counters.flops = counted;
      tell({ type: "state", state: shown }, [shown.frames.buffer]);
      tell({ type: "cost", cost });
      times.resume();
    },
  };
  // Edited words describe another future than the recorded one, so there is nothing true to compare with.
  const words: Episodes = {
    count: data.count,
    close: async () => {},
    read: async (index: number) => {
      const episode = await data.read(index);
      if (prompt?.episode !== index) return episode;
      return { ...episode, prompt: prompt.text, truth: undefined };
    },
  };
  const subject = await MimicVideoSubject.bind(model, words);
  try {
    const measurement = await runProbe({ subject, provenance }, settings, hooks);
    tell({ type: "cost", cost: times.cost("actionStep") });
    const seconds = (performance.now() - started) / 1000;
    const facts = { date: new Date().toISOString(), command: link, seconds };
    tell({ type: "done", result: probeResult(measurement), run: runRecord(measurement.timing, facts) });
  } finally {
    preview?.dispose();
    await subject.close();
  }
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
    if (during === "run") tell({ type: "cancelled" });
    return;
  }
  const message = error instanceof Error ? error.message : String(error);
  const name = kindOf(error);
  if (name === "DeviceLostError") session?.dropDevice();
  fail(during, name, message);
}

/** The class of an error under its written name: a minifier renames what `error.name` was made from. */
function kindOf(error: unknown): string {
  const known = Object.entries(errors).find(
    ([, kind]) => error instanceof kind && kind !== errors.MimicVideoError,
  );
  return known?.[0] ?? "Error";
}

function fail(during: Request["type"], kind: string, message: string): void {
  tell({ type: "failed", during, kind, message });
}
