/** The worker: opens models, runs the probe of src/probe, and tells the page what happens. */
import * as errors from "../src/errors.ts";
import type { ProbeHooks, ProbeSettings } from "../src/probe/experiment/measurement.ts";
import { probeResult } from "../src/probe/result/result.ts";
import { runRecord } from "../src/probe/result/run-record.ts";
import { runProbe } from "../src/probe/experiment/run.ts";
import type { Gpu } from "../src/gpu/gpu.ts";
import type { LoadOptions } from "../src/weights/loader.ts";
import { BrowserDevice, deviceView } from "./device.ts";
import { type OpenedPlace, openPlace } from "./place.ts";
import type { DataPlace, Event, Request, RunRequest } from "./protocol.ts";
import { MimicVideoSession, type Session } from "./session.ts";
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
  if (data.type === "open" || data.type === "data") abort?.abort();
  turn = turn.then(async () => {
    // A run may be cancelled while it still waits for the model to open.
    if (data.type === "run" && request <= cancelled) return tell({ type: "cancelled" });
    const controller = (abort = new AbortController());
    try {
      if (data.type === "open") await open(data, controller.signal);
      else if (data.type === "data") await useData(data.place);
      else if (data.type === "act") await act(data, controller.signal);
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
  const found = await openPlace(place, onDownload);
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

async function run(
  { settings: asked, prompt, link }: RunRequest,
  controller: AbortController,
): Promise<void> {
  if (!session) return;
  const { signal } = controller;
  const { device, view } = session;
  const started = performance.now();
  const gpu = await device.gpu();
  await session.load(asked.dtype, loading(signal));
  tell({ type: "ready" });
  const times = new Stopwatch(gpu);
  // The first recording compiles every pipeline of the transformer, which can take longer than all the steps.
  tell({ type: "progress", phase: "compiling kernels", done: 0, total: 0, unit: "" });
  const bound = await session.run(prompt);
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
      decoding = seen.state.step === asked.videoSteps && view.actionSteps > 0;
      times.pause();
      // What is computed only to be shown is none of the method's operations.
      const counted = gpu.counters.flops;
      const shown = await bound.show(seen, asked, signal);
      gpu.counters.flops = counted;
      tell({ type: "state", state: shown }, [shown.frames.buffer]);
      tell({ type: "cost", cost });
      times.resume();
    },
  };
  try {
    const { subject, provenance } = bound;
    const settings: ProbeSettings = view.plan?.pairsSeeds ? { ...asked, actionSeeds: "same" } : asked;
    const measurement = await runProbe({ subject, provenance }, settings, hooks);
    tell({ type: "cost", cost: times.cost(view.actionSteps > 0 ? "actionStep" : "videoStep") });
    const seconds = (performance.now() - started) / 1000;
    const facts = { date: new Date().toISOString(), command: link, seconds };
    tell({ type: "done", result: probeResult(measurement), run: runRecord(measurement.timing, facts) });
  } finally {
    await bound.dispose();
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
    if (during === "run") tell({ type: "cancelled" });
    if (during === "act") tell({ type: "acted" });
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
