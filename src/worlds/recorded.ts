/**
 * A recorded world: a policy acts and is shown what was recorded, whatever it did, so that nothing is said of success. What is said is how far
 * its actions are from those that were recorded; its own are what it remembers having done.
 *
 * Axes: t actions of a query, D values of an action.
 */
import { UsageError } from "../errors.ts";
import type { PolicyDescription, Recording, RecordedTrials } from "../systems/policy.ts";
import type { Scene, World } from "./world.ts";

const EPISODE = "episode";

/**
 * @param description of the policy, which sees the pictures of its cameras that followed its last query
 * @throws UsageError for no recordings
 */
export async function recordedWorld(
  recordings: RecordedTrials,
  description: PolicyDescription,
): Promise<World> {
  if (recordings.count === 0) throw new UsageError("there is no recorded episode to act in");
  const { positions, names } = description.actions;
  return {
    name: "recorded episodes",
    dataSha256: await recordings.sha256(),
    actionsPerQuery: positions,
    // A first chunk may be shorter than the others.
    queries: Math.ceil(recordings.steps / positions) + 1,
    measures: [
      {
        name: "squared_difference",
        title: "Squared difference from the recorded actions",
        kind: "amount",
        units: "squared units of the data, mean over dimensions",
      },
    ],
    repeats: EPISODE,
    misfit: () => undefined,
    // Scenes are numbered by hashes; each is one of the episodes, from its beginning.
    scene: async (seed) => sceneOf(await recordings.read(seed % recordings.count), names.length),
  };
}

function sceneOf({ id, prompt, frames, actions }: Recording, dimensions: number): Scene {
  const steps = Math.min(...Object.values(frames).map(({ length }) => length));
  let done = 0;
  let seen = 0;
  let [sum, count] = [0, 0];
  return {
    prompt,
    labels: { [EPISODE]: id },
    observe: () => {
      // The picture of the beginning, then those after each action since the last look.
      const from = done === 0 ? 0 : seen + 1;
      seen = done;
      const shown = Object.entries(frames).map(
        ([camera, all]) => [camera, all.slice(from, done + 1)] as const,
      );
      return { frames: Object.fromEntries(shown), state: new Float32Array(0), prompt };
    },
    execute: (own) => {
      const recorded = actions?.subarray(done * dimensions, done * dimensions + own.length);
      recorded?.forEach((value, i) => {
        sum += (own[i] - value) ** 2;
        count++;
      });
      done += own.length / dimensions;
    },
    get over() {
      // Another query needs the picture that follows what was done.
      return done >= steps;
    },
    score: () => ({ squared_difference: count > 0 ? sum / count : null }),
  };
}
