/**
 * The experiment: follow the trajectories of every episode, read out at every probe step, and keep what was read. Nothing here knows a
 * system, statistics, files or Node; the browser page runs the same code.
 */
import type { Held, Subject } from "../subject.ts";
import { EpisodeRun } from "./episode-run.ts";
import {
  type EpisodeMeasurement,
  fingerprintOf,
  type ProbeHooks,
  type ProbeMeasurement,
  type ProbeProvenance,
  type ProbeSettings,
} from "./measurement.ts";
import { completeSettings } from "./settings.ts";

/** What a run works on; whoever opens it closes it. */
export interface ProbeInputs<C extends Held> {
  readonly subject: Subject<C>;
  readonly provenance: ProbeProvenance;
}

/**
 * Measures. Finished episodes are saved to the store at once, and those found in it are not computed again.
 * @throws the signal's reason when interrupted; NonFiniteError naming the first tensor that is not finite
 */
export async function runProbe<C extends Held>(
  { subject, provenance }: ProbeInputs<C>,
  asked: ProbeSettings,
  hooks: ProbeHooks,
): Promise<ProbeMeasurement> {
  const settings = completeSettings(asked, subject);
  const { episodes, probeSteps, videoSteps, actionSteps } = settings;
  const stored = new Set(await hooks.store?.begin(fingerprintOf(settings, provenance)));
  const run = new EpisodeRun(subject, settings, hooks, stored);
  const started = performance.now();
  const measured = new Map<number, EpisodeMeasurement>();
  try {
    for (const [at, episode] of episodes.entries()) {
      const known = stored.has(episode) ? await hooks.store?.load(episode) : undefined;
      if (known) measured.set(at, known);
    }
    for await (const [at, measurement] of run.all()) {
      const finished = { ...measurement, variants: subject.gpu.variantsRan };
      await hooks.store?.save(finished);
      measured.set(at, finished);
    }
  } finally {
    run.release();
  }
  const first = await subject.items.read(episodes[0]);
  const { names, units } = subject.dimensions;
  const { times, calls } = subject.axes.stop(videoSteps);
  const callsOfBudget = (budget: number): number => subject.axes.stop(budget).calls?.[budget] ?? budget + 1;
  return {
    settings,
    provenance: { ...provenance, variants: variantsOf([...measured.values()]) },
    actionNames: [...names],
    actionUnits: [...units],
    datasetMean: subject.floors(first).datasetMean,
    taus: probeSteps.map((k) => times[k]),
    actionTimes: [...(subject.axes.inner?.(actionSteps).times ?? [0])],
    stopCalls: probeSteps.map((k) => calls?.[k] ?? k + 1),
    budgetCalls: settings.budgets?.map(callsOfBudget),
    chunkLength: subject.positions,
    episodes: episodes.map((_, at) => measured.get(at)!),
    timing: {
      phases: [{ name: "episodes", seconds: (performance.now() - started) / 1000 }],
      resumedEpisodes: stored.size,
      peakGpuBytes: subject.gpu.memory.usage.peak,
    },
  };
}

/** What any of the episodes was computed with, in alphabetical order. */
function variantsOf(episodes: readonly EpisodeMeasurement[]): Record<string, string[]> {
  const all = new Map<string, Set<string>>();
  for (const { variants = {} } of episodes) {
    for (const [kernel, names] of Object.entries(variants)) {
      const known = all.get(kernel) ?? new Set();
      for (const name of names) known.add(name);
      all.set(kernel, known);
    }
  }
  const sorted = [...all].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([kernel, names]) => [kernel, [...names].sort()]));
}
