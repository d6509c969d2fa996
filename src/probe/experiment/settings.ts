/** What was asked, made complete by what the subject has: steps, episodes and seeds, checked before anything is computed. */
import { UsageError } from "../../errors.ts";
import type { Axis, Defaults, Subject } from "../subject.ts";
import type { FullSettings, ProbeSettings } from "./measurement.ts";

/** What is probed when nothing is named, by a system that does not say. */
export const DEFAULTS: Defaults = { episodes: 4, probeSteps: [0, 0.1, 0.2, 0.4, 0.8, 1], videoSeeds: [0, 1] };

/**
 * @throws UsageError for a step beyond the schedule, an episode that does not exist, or an axis that the system does not have
 */
export function completeSettings(settings: ProbeSettings, subject: Subject): FullSettings {
  const axis = subject.axes.stop(settings.videoSteps);
  const last = axis.times.length - 1;
  const { count } = subject.items;
  const defaults = subject.defaults ?? DEFAULTS;
  const asked = settings.episodes ?? Math.min(defaults.episodes, count);
  const first = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
  const episodes = asked === "all" ? first(count) : typeof asked === "number" ? first(asked) : asked;
  const absent = episodes.find((e) => e >= count);
  if (absent !== undefined)
    throw new UsageError(`episode ${absent} does not exist; the data hold ${count}, counted from 0`);
  const inner = subject.axes.inner?.(settings.actionSteps);
  if (settings.actionSteps !== undefined && !inner)
    throw new UsageError(`--action-steps ${settings.actionSteps}: the read-out of this system has no steps.`);
  const own = defaults.budgets?.filter((budget) => budget <= axis.steps);
  const wanted = settings.budgets ?? (own && own.length > 0 ? own : undefined);
  const budgets = wanted && budgetsToRun(wanted, axis, subject);
  const rules = budgets && subject.axes.rules?.slice(1).map(({ name }) => name);
  if (subject.population && settings.shard)
    throw new UsageError(
      `--shard ${settings.shard.index}/${settings.shard.count}: what only all samples together have, such as a Fréchet distance, cannot be put together from parts. Run it whole.`,
    );
  if (settings.straightness && !subject.straightness)
    throw new UsageError("--straightness: the flow of this system cannot be differentiated. Leave it out.");
  return {
    ...settings,
    episodes,
    videoSteps: axis.steps,
    probeSteps: settings.probeSteps
      ? stepsToProbe(settings.probeSteps, last, axis)
      : defaultSteps(defaults, last, budgets),
    budgets,
    ...(rules && rules.length > 0 && { rules }),
    videoSeeds: settings.videoSeeds ?? [...defaults.videoSeeds],
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
 * K steps, ascending, ending in the last that can be read, unless the axis is open-ended and others are asked for.
 * @param axis N of the schedule, and whether it is open-ended
 * @throws UsageError for a step beyond the last
 */
export function stepsToProbe(
  asked: readonly number[] | undefined,
  last: number,
  { steps, openEnded = false }: Pick<Axis, "steps" | "openEnded"> = { steps: last },
): number[] {
  if (!asked) return defaultSteps(DEFAULTS, last);
  const beyond = asked.filter((step) => step > last);
  if (beyond.length > 0) {
    const end = last === steps ? "" : `, of which ${last} is the last that can be read`;
    throw new UsageError(
      `--probe-steps ${asked.join(",")}: ${beyond.join(", ")} lies beyond the ${steps} video steps${end}. ` +
        `Use steps in 0..${last}, or a larger --video-steps.`,
    );
  }
  // The decode at the last step is the reference of all others.
  return asked.at(-1) === last || openEnded ? [...asked] : [...asked, last];
}

/** The default steps, and those that cost what a budget does, so that the two questions can be compared. */
function defaultSteps({ probeSteps }: Defaults, last: number, budgets: readonly number[] = []): number[] {
  const steps = [...probeSteps.map((fraction) => Math.round(fraction * last)), ...budgets];
  return Array.from(new Set(steps)).sort((a, b) => a - b);
}

/**
 * B schedules by their steps, ascending, ending in that of the stop axis, whose end is the reference of both.
 * @throws UsageError for a system whose schedules have one length, or a schedule longer than that
 */
function budgetsToRun(asked: readonly number[], { steps, times }: Axis, { axes }: Subject): number[] {
  if (!axes.budget || times.length - 1 !== steps)
    throw new UsageError(
      `--budgets ${asked.join(",")}: this system's schedules cannot be read at their ends. Use --probe-steps.`,
    );
  const longer = asked.filter((budget) => budget > steps);
  if (longer.length > 0)
    throw new UsageError(
      `--budgets ${asked.join(",")}: ${longer.join(", ")} is more than the ${steps} video steps of the reference. ` +
        `Use budgets of 1..${steps}, or a larger --video-steps.`,
    );
  return asked.at(-1) === steps ? [...asked] : [...asked, steps];
}
