/**
 * What of a run one machine measures. The units are episode × batch of trajectories, in the order of the lists: trajectories that are followed together on one
 * machine stay together, because the size of a batch may decide which programs run, and so the last bits. A part is a contiguous range
 * of units, so that few episodes are followed only for another one's control.
 */
import { UsageError } from "../../errors.ts";
import type { EpisodeMeasurement, FlopCounts, FullSettings } from "./measurement.ts";

/** One episode's part of a share. */
export interface Share {
  /** position in the list of episodes */
  readonly at: number;
  /** index into the data */
  readonly episode: number;
  /** numbers of the batches */
  readonly batches: readonly number[];
  /** their video seeds; undefined: all of the run's */
  readonly seeds?: readonly number[];
}

/** Seeds of the trajectories that are followed together. */
export const seedBatches = (
  { videoSeeds }: Pick<FullSettings, "videoSeeds">,
  mostCopies: number,
): readonly (readonly number[])[] => chunks(videoSeeds, mostCopies);

/**
 * @param mostCopies most trajectories in one batch
 * @returns episodes in the order of the list; empty where there are more parts than units
 */
export function shareOf(
  settings: Pick<FullSettings, "episodes" | "videoSeeds" | "shard">,
  mostCopies: number,
): Share[] {
  const { episodes, shard = { index: 0, count: 1 } } = settings;
  const batches = seedBatches(settings, mostCopies);
  const units = episodes.length * batches.length;
  const from = Math.floor((shard.index * units) / shard.count);
  const to = Math.floor(((shard.index + 1) * units) / shard.count);
  return episodes.flatMap((episode, at) => {
    const own = batches
      .map((_, b) => b)
      .filter((b) => {
        const unit = at * batches.length + b;
        return unit >= from && unit < to;
      });
    if (own.length === 0) return [];
    const seeds = own.length === batches.length ? undefined : own.flatMap((b) => batches[b]);
    return [{ at, episode, batches: own, seeds }];
  });
}

/** Whether a stored measurement is of these seeds. */
export const isOf = ({ seeds }: Share, { videoSeeds }: Pick<EpisodeMeasurement, "videoSeeds">): boolean =>
  JSON.stringify(seeds ?? null) === JSON.stringify(videoSeeds ?? null);

/** Arrays of a measurement by name; one that is new does not compile until it is said here how parts are joined. */
type ArrayName = {
  [K in keyof EpisodeMeasurement]-?: Float32Array extends EpisodeMeasurement[K] ? K : never;
}[keyof EpisodeMeasurement];

/** Whether the video's seeds are the outermost axis; what has no such axis is the same in every part. */
const HAS_SEEDS: Readonly<Record<ArrayName, boolean>> = {
  truth: false,
  dataTruth: false,
  holdStill: false,
  actions: true,
  dataActions: true,
  iterates: true,
  oneJump: true,
  oracle: true,
  dataOracle: true,
  budgetActions: true,
  dataBudgetActions: true,
  ruleActions: true,
  samples: true,
  zeroedContext: true,
  otherContext: true,
  shuffledContext: true,
  tapCosine: true,
  tapCosineNull: true,
  tapCka: true,
  tapCkaNull: true,
  tapDrift: true,
  velocityChange: true,
  flowResidual: true,
  flowSpeed: true,
  flowBend: true,
};

/**
 * One episode from its parts.
 * @param parts in any order
 * @throws UsageError when a seed is missing or there twice, or when the parts disagree in what they share
 */
export function joinParts(
  parts: readonly EpisodeMeasurement[],
  videoSeeds: readonly number[],
): EpisodeMeasurement {
  const [first] = parts;
  const seedsOf = ({ videoSeeds: own = videoSeeds }: EpisodeMeasurement): readonly number[] => own;
  const place = (part: EpisodeMeasurement): number => videoSeeds.indexOf(seedsOf(part)[0]);
  const sorted = [...parts].sort((a, b) => place(a) - place(b));
  const found = sorted.flatMap(seedsOf);
  if (found.join() !== videoSeeds.join())
    throw new UsageError(
      `Episode ${first.episode} was measured with video seeds ${found.join(", ")}; ${videoSeeds.join(", ")} are needed, each once.`,
    );
  if (parts.length === 1) return first;
  const joined: EpisodeMeasurement = { ...first, variants: mergedVariants(sorted) };
  delete joined.videoSeeds;
  const flops = meanFlops(sorted.map((part) => ({ flops: part.flops, copies: seedsOf(part).length })));
  if (flops) joined.flops = flops;
  for (const name of Object.keys(HAS_SEEDS) as ArrayName[]) {
    const all = sorted.map((part) => part[name]).filter((array) => array !== undefined);
    if (all.length === 0) continue;
    const equal = all.every((one) => one.length === all[0].length && one.every((x, i) => x === all[0][i]));
    if (all.length !== sorted.length || (!HAS_SEEDS[name] && !equal))
      throw new UsageError(
        `Parts of episode ${first.episode} disagree in ${name}: they are of different data.`,
      );
    if (HAS_SEEDS[name]) joined[name] = concatenated(all);
  }
  return joined;
}

/** What any of the measurements was computed with, in alphabetical order. */
export function mergedVariants(
  measurements: readonly Pick<EpisodeMeasurement, "variants">[],
): Record<string, string[]> {
  const all = new Map<string, Set<string>>();
  for (const { variants = {} } of measurements)
    for (const [kernel, names] of Object.entries(variants))
      all.set(kernel, new Set([...(all.get(kernel) ?? []), ...names]));
  const sorted = [...all].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([kernel, names]) => [kernel, [...names].sort()]));
}

/** Of one trajectory, in the mean over all; undefined where a part was not counted. */
function meanFlops(
  parts: readonly { flops: FlopCounts | undefined; copies: number }[],
): FlopCounts | undefined {
  const all = parts.reduce((sum, { copies }) => sum + copies, 0);
  const mean = (name: keyof FlopCounts): number =>
    parts.reduce((sum, { flops, copies }) => sum + flops![name] * copies, 0) / all;
  if (parts.some(({ flops }) => !flops)) return undefined;
  return {
    ...{ encode: mean("encode"), trajectory: mean("trajectory") },
    ...{ readOut: mean("readOut"), similarity: mean("similarity") },
  };
}

function concatenated(arrays: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    whole.set(array, at);
    at += array.length;
  }
  return whole;
}

/** Consecutive parts of at most `most`. */
function chunks<T>(values: readonly T[], most: number): T[][] {
  const size = Math.min(values.length, most);
  return Array.from({ length: Math.ceil(values.length / size) }, (_, i) =>
    values.slice(i * size, (i + 1) * size),
  );
}
