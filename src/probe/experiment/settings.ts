/** What was asked, made complete by what the subject has: steps, episodes and seeds, checked before anything is computed. */
import { UsageError } from "../../errors.ts";
import type { Subject } from "../subject.ts";
import type { FullSettings, ProbeSettings } from "./measurement.ts";

/** Episodes probed when none are named. */
const DEFAULT_EPISODES = 4;
/** Probed steps when none are named, as fractions of the last. */
const DEFAULT_FRACTIONS = [0, 0.1, 0.2, 0.4, 0.8, 1];

/**
 * @throws UsageError for a step beyond the schedule, an episode that does not exist, or an axis that the system does not have
 */
export function completeSettings(settings: ProbeSettings, subject: Subject): FullSettings {
  const axis = subject.axes.stop(settings.videoSteps);
  const last = axis.times.length - 1;
  const { count } = subject.items;
  const asked = settings.episodes ?? Math.min(DEFAULT_EPISODES, count);
  const first = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
  const episodes = asked === "all" ? first(count) : typeof asked === "number" ? first(asked) : asked;
  const absent = episodes.find((e) => e >= count);
  if (absent !== undefined)
    throw new UsageError(`episode ${absent} does not exist; the data hold ${count}, counted from 0`);
  const inner = subject.axes.inner?.(settings.actionSteps);
  if (settings.actionSteps !== undefined && !inner)
    throw new UsageError(`--action-steps ${settings.actionSteps}: the read-out of this system has no steps.`);
  return {
    ...settings,
    episodes,
    videoSteps: axis.steps,
    probeSteps: stepsToProbe(settings.probeSteps, last, axis.steps),
    actionSteps: inner?.steps ?? 0,
    actionSeeds: settings.actionSeeds ?? (subject.pairsSeeds ? "same" : [0]),
  };
}

/**
 * Asks for everything that can be refused before weights are loaded: the settings, every episode, every seed's noise.
 * @throws what `completeSettings` and the subject throw
 */
export async function checkSettings(asked: ProbeSettings, subject: Subject): Promise<void> {
  const { episodes, videoSeeds, actionSeeds } = completeSettings(asked, subject);
  for (const episode of episodes) {
    const item = await subject.items.read(episode);
    if (episode !== episodes[0]) continue;
    for (const seed of videoSeeds) subject.noise(item, seed);
    for (const seed of actionSeeds === "same" ? videoSeeds : actionSeeds) subject.readNoise(item, seed);
  }
}

/**
 * K steps, ascending, ending in the last that can be read.
 * @param steps N of the schedule, for the message
 * @throws UsageError for a step beyond the last
 */
export function stepsToProbe(asked: readonly number[] | undefined, last: number, steps = last): number[] {
  if (!asked) return Array.from(new Set(DEFAULT_FRACTIONS.map((fraction) => Math.round(fraction * last))));
  const beyond = asked.filter((step) => step > last);
  if (beyond.length > 0) {
    const end = last === steps ? "" : `, of which ${last} is the last that can be read`;
    throw new UsageError(
      `--probe-steps ${asked.join(",")}: ${beyond.join(", ")} lies beyond the ${steps} video steps${end}. ` +
        `Use steps in 0..${last}, or a larger --video-steps.`,
    );
  }
  // The decode at the last step is the reference of all others.
  return asked.at(-1) === last ? [...asked] : [...asked, last];
}
