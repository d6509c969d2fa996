/**
 * In the worker: what is measured of the model that is open, told as it comes. A run for the scene on the screen and the episodes behind it, or two
 * runs side by side.
 */
import type { Gpu } from "../src/gpu/gpu.ts";
import type { ProbeHooks, ProbeMeasurement } from "../src/probe/experiment/measurement.ts";
import { runProbe } from "../src/probe/experiment/run.ts";
import { probeResult } from "../src/probe/result/result.ts";
import { runRecord } from "../src/probe/result/run-record.ts";
import type { CompareWish, Event, RunRequest, RunSettings } from "./protocol.ts";
import type { BoundRun, Session } from "./session.ts";
import { SoFar } from "./so-far.ts";
import { Stopwatch } from "./stopwatch.ts";
import { loading, tell } from "./telling.ts";

/** What is computed of a run is told as it comes, and nothing any more once it was cancelled. */
export async function run(
  session: Session,
  { settings, prompt, link }: RunRequest,
  signal: AbortSignal,
): Promise<void> {
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
export async function compare(
  session: Session,
  { episode, sides, settings }: CompareWish,
  signal: AbortSignal,
): Promise<void> {
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
