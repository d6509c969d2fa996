/** The worker: opens models, runs the probe of src/probe, and tells the page what happens. */
import type { Gpu } from "../src/gpu/gpu.ts";
import { BrowserDevice, deviceView } from "./device.ts";
import { drawsSamples } from "./draws-samples.ts";
import { kindOf } from "./error-kind.ts";
import { type OpenedPlace, openPlace } from "./place.ts";
import type { DataPlace, Request, Wanted } from "./protocol.ts";
import { compare, run } from "./runs.ts";
import { MimicVideoSession, type Session } from "./session.ts";
import { loading, tell } from "./telling.ts";

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
      else if (data.type === "compare") await (session && compare(session, data.wish, controller.signal));
      else await (session && run(session, data.run, controller.signal));
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
