/**
 * Trials: a policy acts in a world, looks again, and acts again, until there is nothing more to be done.
 *
 * What is random has one seed. The scene of trial i is that of `scene/i`, the noise of its query q that of `query/q/scene/i`, neither
 * knows of the stop: every depth meets the same scenes with the same noise, and differences between depths are paired.
 */
import { hash, seedOf } from "../sampling/noise.ts";
import type { Acted, Policy } from "../systems/policy.ts";
import type { Scene, World } from "../worlds/world.ts";

/** How one trial went. */
export interface Trial {
  /** i, from 0 */
  readonly scene: number;
  /** denoising steps before each read-out */
  readonly stop: number;
  readonly prompt: string;
  readonly labels: Readonly<Record<string, string>>;
  /** how often the policy was asked */
  readonly queries: number;
  /** by measure of the world; null where one does not apply */
  readonly scores: Readonly<Record<string, number | null>>;
  /** mean squared error of the first chunk against the expert's from there, in squared units of the data; null where none is known */
  readonly offline: number | null;
  /** eight hexadecimal digits that tell executed actions apart */
  readonly trajectory: string;
}

export interface TrialOptions {
  readonly stop: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** told whenever a trial is over */
  readonly onOver?: () => void;
}

/** A trial under way. */
interface Running {
  readonly index: number;
  readonly scene: Scene;
  readonly executed: number[];
  queries: number;
  offline: number | null;
}

/**
 * Runs the trials of some scenes, side by side where the policy answers several at once.
 * @throws what the policy throws; the signal's reason when aborted
 */
export async function runTrials(
  policy: Policy,
  world: World,
  scenes: readonly number[],
  options: TrialOptions,
): Promise<Trial[]> {
  const trials: Running[] = [];
  for (const index of scenes) {
    const scene = await world.scene(seedOf(`scene/${index}`, options.seed));
    trials.push({ index, scene, executed: [], queries: 0, offline: null });
  }
  // A policy that remembers is asked for one trial after another.
  const groups = policy.actMany ? [trials] : trials.map((trial) => [trial]);
  for (const group of groups) {
    policy.reset();
    let running = group;
    while (running.length > 0) {
      await advance(policy, world, running, options);
      running = running.filter(({ scene, queries }) => {
        const over = scene.over || queries >= world.queries;
        if (over) options.onOver?.();
        return !over;
      });
    }
  }
  return trials.map(({ index, scene, executed, queries, offline }) => ({
    ...{ scene: index, stop: options.stop, prompt: scene.prompt, labels: scene.labels },
    ...{ queries, scores: scene.score(), offline },
    trajectory: hash(executed.join()).toString(16).padStart(8, "0"),
  }));
}

/** One query of each, and what is done with its answer. */
async function advance(
  policy: Policy,
  { actionsPerQuery }: World,
  running: readonly Running[],
  { stop, seed, signal }: TrialOptions,
): Promise<void> {
  const queries = running.map(({ index, scene, queries: q }) => ({
    observation: scene.observe(),
    seed: seedOf(`query/${q}/scene/${index}`, seed),
  }));
  const answers: readonly Acted[] = policy.actMany
    ? await policy.actMany(queries, { stop, signal })
    : [await policy.act(queries[0].observation, { stop, signal, seed: queries[0].seed })];
  running.forEach((trial, i) => {
    const { actions } = answers[i];
    const { truth } = trial.scene;
    if (trial.queries === 0 && truth) trial.offline = squaredError(actions, truth);
    const done = actions.subarray(0, actionsPerQuery * policy.description.actions.names.length);
    trial.scene.execute(done);
    trial.executed.push(...done);
    trial.queries++;
  });
}

const squaredError = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / a.length;
