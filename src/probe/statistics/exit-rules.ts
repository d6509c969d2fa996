/**
 * Exit rules that need no training: stop a trajectory at the first probed step where a signal of its own has fallen to a threshold, and else at the
 * last. A threshold is chosen on one half of the episodes and held to account on the other, both ways round, so each trajectory is judged by
 * a threshold that its episode had no part in. The same is done with a fixed step, which needs no signal: a rule that does not beat it has
 * found nothing in its signal but the step.
 *
 *   U trajectories, K probed steps          stop(u) = min { k : signal[u, k] ≤ θ, or k = K − 1 }
 *
 * Two goals choose θ: the least error; or the fewest steps whose error is within the margin of always going to the last.
 */
import { type ClusterBootstrap, mulberry32 } from "./bootstrap.ts";
import { meanOf } from "./curve.ts";
import { type Estimate, estimateOf } from "./estimate.ts";
import type { Trajectory } from "./trajectories.ts";

/** Fewest independent episodes that are split. */
export const FEWEST_SPLIT = 8;
/** Most thresholds that are tried: quantiles of the signal, where it takes more values. */
const MOST_THRESHOLDS = 256;

export interface Signal {
  name: string;
  /** (U, K); NaN where it is not known, which stops nothing */
  values: readonly (readonly number[])[];
  /** trajectories that have to be followed for one action, as they are compared with each other */
  trajectories: number;
  /** read-outs at each probed step until the stop; 0 where only the stop itself is read */
  reads: number;
}

export type Goal = "least_error" | "fewest_steps";

/** What stopping by a rule came to on episodes that did not choose its threshold. */
export interface ExitRule {
  /** a signal's name, or "fixed" */
  signal: string;
  goal: Goal;
  /** chosen without the first half, and without the second; null: never before the last. Of "fixed" the steps. */
  thresholds: (number | null)[];
  /** mean step at which it stops */
  steps: number;
  /** calls of the network until the action is there, over all trajectories that it takes */
  calls: number;
  /** read-outs, the last included */
  reads: number;
  /** to the truth */
  error: Estimate;
  /** error less that of each trajectory's own best step, which nobody knows beforehand */
  regret: Estimate;
  /** against the fixed step of the same goal, paired by episode; null for that itself */
  againstFixed: { error: Estimate; steps: number } | null;
}

export interface ExitRules {
  /** independent episodes in each half */
  halves: [number, number];
  /** the longest way: always to the last step */
  last: { steps: number; error: Estimate };
  /** each trajectory stopped at its own best step */
  oracle: { steps: number; error: Estimate };
  rules: ExitRule[];
}

export interface ExitInputs {
  /** (K) ascending */
  readonly steps: readonly number[];
  /** (K) calls of the network until each is read */
  readonly calls: readonly number[];
  readonly trajectories: readonly Trajectory[];
  readonly signals: readonly Signal[];
  /** rise of the error that counts as none, squared normalised units; null: without the second goal */
  readonly margin: number | null;
  /** (E) copies of an episode come into one half */
  readonly clusters: readonly number[];
  readonly bootstrap: ClusterBootstrap;
  /** of the split; default 0 */
  readonly seed?: number;
}

/** Where a rule stops: the place among the probed steps by trajectory. */
type Stop = (trajectory: number) => number;

/** A way to stop with a number that has to be chosen, from the one that goes farthest to the one that stops first. */
interface Family {
  readonly name: string;
  readonly trajectories: number;
  readonly reads: number;
  candidates(among: readonly number[]): (number | null)[];
  stop(threshold: number | null): Stop;
}

/** @returns null with too few independent episodes, or one step. */
export function exitRules(inputs: ExitInputs): ExitRules | null {
  const { steps, calls, trajectories, signals, margin, clusters, bootstrap, seed = 0 } = inputs;
  const last = steps.length - 1;
  if (bootstrap.clusters < FEWEST_SPLIT || last < 1) return null;
  const half = halvesOf(bootstrap.clusters, seed);
  const members = [0, 1].map((side) =>
    trajectories.flatMap(({ episode }, u) => (half[clusters[episode]] === side ? [u] : [])),
  );

  /** (E) means over the trajectories of each episode. */
  const perEpisode = (of: (u: number) => number): number[] => {
    const rows = clusters.map((): number[] => []);
    trajectories.forEach(({ episode }, u) => rows[episode].push(of(u)));
    return rows.map(meanOf);
  };
  const errorAt = (u: number, k: number): number => trajectories[u].errors[k];
  const best = trajectories.map(({ errors }) => errors.indexOf(Math.min(...errors)));
  /** Of what is never below 0. */
  const estimate = (of: (u: number) => number): Estimate =>
    estimateOf(perEpisode(of), bootstrap, { least: 0 });
  const mean = (of: (u: number) => number): number => bootstrap.mean(perEpisode(of));

  /** Means over one half; its independent episodes weigh alike, as in every mean of the result. */
  const weight = trajectories.map(({ episode }) => bootstrap.weights[episode]);
  const meanAmong = (among: readonly number[], of: (u: number) => number): number => {
    let [sum, total] = [0, 0];
    for (const u of among) {
      sum += weight[u] * of(u);
      total += weight[u];
    }
    return sum / total;
  };

  const choose = (family: Family, goal: Goal, among: readonly number[]): number | null => {
    const limit =
      goal === "least_error"
        ? Number.POSITIVE_INFINITY
        : meanAmong(among, (u) => errorAt(u, last)) + (margin ?? 0);
    let chosen: { threshold: number | null; error: number; steps: number } | undefined;
    for (const threshold of family.candidates(among)) {
      const stop = family.stop(threshold);
      const error = meanAmong(among, (u) => errorAt(u, stop(u)));
      if (error > limit) continue;
      const taken = meanAmong(among, (u) => steps[stop(u)]);
      const isBetter =
        !chosen ||
        (goal === "least_error"
          ? error < chosen.error || (error === chosen.error && taken < chosen.steps)
          : taken < chosen.steps || (taken === chosen.steps && error < chosen.error));
      if (isBetter) chosen = { threshold, error, steps: taken };
    }
    // Going to the last is among the candidates and keeps the limit.
    return chosen!.threshold;
  };

  const judged = (family: Family, goal: Goal): { rule: ExitRule; stop: number[] } => {
    // Chosen on the other half.
    const thresholds = [1, 0].map((side) => choose(family, goal, members[side]));
    const stops = thresholds.map((threshold) => family.stop(threshold));
    const stop = trajectories.map(({ episode }, u) => stops[half[clusters[episode]]](u));
    return {
      stop,
      rule: {
        ...{ signal: family.name, goal, thresholds },
        steps: mean((u) => steps[stop[u]]),
        calls: family.trajectories * mean((u) => calls[stop[u]]),
        reads: family.reads === 0 ? 1 : family.reads * mean((u) => stop[u] + 1),
        error: estimate((u) => errorAt(u, stop[u])),
        regret: estimate((u) => errorAt(u, stop[u]) - errorAt(u, best[u])),
        againstFixed: null,
      },
    };
  };

  const goals: Goal[] = margin === null ? ["least_error"] : ["least_error", "fewest_steps"];
  const rules = goals.flatMap((goal) => {
    const fixed = judged(fixedFamily(steps), goal);
    const others = signals.map((signal) => {
      const { rule, stop } = judged(signalFamily(signal, last), goal);
      const againstFixed = {
        error: estimateOf(
          perEpisode((u) => errorAt(u, stop[u]) - errorAt(u, fixed.stop[u])),
          bootstrap,
        ),
        steps: mean((u) => steps[stop[u]] - steps[fixed.stop[u]]),
      };
      return { ...rule, againstFixed };
    });
    return [fixed.rule, ...others];
  });
  const sizeOf = (side: number): number => half.filter((own) => own === side).length;
  return {
    halves: [sizeOf(0), sizeOf(1)],
    last: { steps: steps[last], error: estimate((u) => errorAt(u, last)) },
    oracle: { steps: mean((u) => steps[best[u]]), error: estimate((u) => errorAt(u, best[u])) },
    rules,
  };
}

/** The half, 0 or 1, of each of C clusters: the first gets the odd one. */
function halvesOf(C: number, seed: number): number[] {
  const random = mulberry32(seed);
  const order = Array.from({ length: C }, (_, c) => c);
  for (let i = C - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  const half = new Array<number>(C).fill(1);
  for (const c of order.slice(0, Math.ceil(C / 2))) half[c] = 0;
  return half;
}

/** Every trajectory at one step. */
function fixedFamily(steps: readonly number[]): Family {
  return {
    ...{ name: "fixed", trajectories: 1, reads: 0 },
    candidates: () => [...steps].reverse(),
    stop: (step) => () => steps.indexOf(step!),
  };
}

function signalFamily({ name, values, trajectories, reads }: Signal, last: number): Family {
  return {
    ...{ name, trajectories, reads },
    candidates: (among) => [null, ...thresholdsOf(among.flatMap((u) => values[u].slice(0, last)))],
    stop: (threshold) => (u) => {
      if (threshold === null) return last;
      const found = values[u].findIndex((value, k) => k === last || value <= threshold);
      return found;
    },
  };
}

/** Half-way between neighbouring values, and the largest itself, ascending. */
function thresholdsOf(values: readonly number[]): number[] {
  const sorted = [...new Set(values.filter(Number.isFinite))].sort((a, b) => a - b);
  const between = sorted.map((value, i) => (i + 1 < sorted.length ? (value + sorted[i + 1]) / 2 : value));
  if (between.length <= MOST_THRESHOLDS) return between;
  const stride = (between.length - 1) / (MOST_THRESHOLDS - 1);
  return Array.from({ length: MOST_THRESHOLDS }, (_, i) => between[Math.round(i * stride)]);
}
