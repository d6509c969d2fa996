/**
 * The experiment: follow the trajectories of every episode, read out at every probe step, and keep what was read. Nothing here knows a
 * system, statistics, files or Node; the browser page runs the same code.
 */
import type { Held, Subject } from "../subject.ts";
import { populationEstimates } from "../statistics/population.ts";
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
import { isOf, mergedVariants, shareOf } from "./share.ts";

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
  const share = shareOf(settings, subject.mostCopies);
  const found = new Set(
    await hooks.store?.begin(
      fingerprintOf(settings, provenance),
      share.map(({ episode }) => episode),
    ),
  );
  const started = performance.now();
  const measured = new Map<number, EpisodeMeasurement>();
  for (const own of share) {
    const known = found.has(own.episode) ? await hooks.store?.load(own.episode) : undefined;
    if (known && isOf(own, known)) measured.set(own.at, known);
  }
  const resumed = measured.size;
  const run = new EpisodeRun(
    subject,
    settings,
    hooks,
    share.filter(({ at }) => !measured.has(at)),
  );
  try {
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
  const { times, calls, nullCurve } = subject.axes.stop(videoSteps);
  const all = share.map(({ at }) => measured.get(at)!);
  const callsOfBudget = (budget: number): number => subject.axes.stop(budget).calls?.[budget] ?? budget + 1;
  const meter = settings.straightness ? subject.straightness : undefined;
  return {
    settings,
    provenance: { ...provenance, variants: mergedVariants([...measured.values()]) },
    actionNames: [...names],
    actionUnits: [...units],
    datasetMean: subject.floors(first).datasetMean,
    taus: probeSteps.map((k) => times[k]),
    actionTimes: [...(subject.axes.inner?.(actionSteps).times ?? [0])],
    stopCalls: probeSteps.map((k) => calls?.[k] ?? k + 1),
    budgetCalls: settings.budgets?.map(callsOfBudget),
    stopNull: nullCurve && probeSteps.map((k) => nullCurve[k]),
    flow: meter && { of: meter.of, times: [...meter.times({ inner: actionSteps, stop: videoSteps })] },
    chunkLength: subject.positions,
    parts: subject.parts,
    interval: subject.interval,
    words: subject.words,
    rules: settings.rules && subject.axes.rules,
    population:
      subject.population && populationEstimates(subject.population, settings, all, subject.items.count),
    episodes: all,
    timing: {
      phases: [{ name: "episodes", seconds: (performance.now() - started) / 1000 }],
      resumedEpisodes: resumed,
      parts: run.cost.seconds,
      peakGpuBytes: subject.gpu.memory.usage.peak,
    },
  };
}
