/**
 * How far the read-outs of two seeds lie apart, by what the data say of an episode: where a prompt leaves open what is to be done, equally good
 * answers differ. Mean squared difference of two seeds' decodes at a probe step, over all pairs of seeds.
 *
 * The label `ambiguity` has a contrast: episodes whose prompt leaves something open less those that are `unambiguous`.
 */
import type { EpisodeMeasurement } from "../experiment/measurement.ts";
import type { BootstrapOptions, Interval } from "./bootstrap.ts";
import { meanOf } from "./curve.ts";
import { RECORDING } from "./independent.ts";
import { differenceOfMeans } from "./two-samples.ts";

const AMBIGUITY = { label: "ambiguity", none: "unambiguous" } as const;

export interface LabelSpread {
  /** which seeds differ */
  seeds: "video" | "action";
  label: string;
  /** Each value that occurs, in order of first appearance, with its independent episodes. */
  values: { value: string; episodes: number; /** (K) */ spread: number[] }[];
  /** (K) mean of the ambiguous less mean of the unambiguous; null for other labels, or where one of the groups is empty. */
  contrast: {
    difference: number[];
    /** null with fewer than 2 in a group */ interval: Interval[] | null;
  } | null;
}

/**
 * @param spread (E, K) an episode's mean squared difference between two seeds, by probe step
 * @param clusters (E) copies of one episode count as one
 */
export function labelSpreads(
  episodes: readonly Pick<EpisodeMeasurement, "labels">[],
  spread: readonly (readonly number[])[],
  clusters: readonly number[],
  seeds: LabelSpread["seeds"],
  options: BootstrapOptions,
): LabelSpread[] {
  const names = new Set(episodes.flatMap(({ labels }) => Object.keys(labels ?? {})));
  // Each recording is a cluster of its own, and no kind of episode.
  names.delete(RECORDING);
  const steps = spread[0].map((_, k) => k);
  /** (C, K) means of the clusters whose first episode is wanted. */
  const rowsOf = (wanted: (value: string | undefined) => boolean, label: string): number[][] =>
    [...new Set(clusters)].flatMap((cluster) => {
      const members = clusters.flatMap((c, e) => (c === cluster ? [e] : []));
      if (!wanted(episodes[members[0]].labels?.[label])) return [];
      return [steps.map((k) => meanOf(members.map((e) => spread[e][k])))];
    });
  return [...names].map((label) => {
    const values = new Set(episodes.flatMap(({ labels }) => labels?.[label] ?? []));
    return {
      ...{ seeds, label },
      values: [...values].flatMap((value) => {
        const rows = rowsOf((own) => own === value, label);
        if (rows.length === 0) return [];
        return [
          { value, episodes: rows.length, spread: steps.map((k) => meanOf(rows.map((row) => row[k]))) },
        ];
      }),
      contrast: label === AMBIGUITY.label ? contrastOf(rowsOf, steps, options) : null,
    };
  });
}

function contrastOf(
  rowsOf: (wanted: (value: string | undefined) => boolean, label: string) => number[][],
  steps: readonly number[],
  options: BootstrapOptions,
): LabelSpread["contrast"] {
  const open = rowsOf((value) => value !== undefined && value !== AMBIGUITY.none, AMBIGUITY.label);
  const clear = rowsOf((value) => value === AMBIGUITY.none, AMBIGUITY.label);
  if (open.length === 0 || clear.length === 0) return null;
  const found = steps.map((k) =>
    differenceOfMeans(
      open.map((row) => row[k]),
      clear.map((row) => row[k]),
      options,
    ),
  );
  const intervals = found.map(({ interval }) => interval);
  return {
    difference: found.map(({ mean }) => mean),
    interval: intervals.includes(null) ? null : (intervals as Interval[]),
  };
}
