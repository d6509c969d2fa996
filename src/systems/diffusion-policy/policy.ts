/**
 * A Diffusion Policy as a robot asks it: the last S pictures of each camera and the last S states in, T actions out, read after any number of
 * evaluations. It remembers nothing: what a robot saw before comes with the query, and where less comes than the policy looks at, the first
 * of it is repeated, as at the beginning of an episode.
 *
 * Noise of a query is drawn as for an item of the probe with the id `query` and number 0, so that a policy and a probe with equal seeds start
 * alike.
 */
import { NonFiniteError, UsageError } from "../../errors.ts";
import { readTensor } from "../../tensor/tensor.ts";
import type { Feature } from "../../networks/diffusion-policy/config.ts";
import { joined } from "../arrays.ts";
import type { Acted, ActOptions, Observation, Picture, Policy, PolicyDescription } from "../policy.ts";
import type { DiffusionPolicyModel } from "./model.ts";
import { fromBytes, normalised, type Observed } from "./observed.ts";
import { type PolicyStatistics, toData } from "./statistics.ts";
import { carriedOut, planNoise, walkPlan } from "./walk-plan.ts";

/** What the noise of a query is drawn for. */
export const QUERY = { id: "query", index: 0 };

/** "observation.images.top" is the camera "top", "observation.image" the camera "image". */
export const cameraName = ({ key }: Feature): string => key.replace(/^observation\.(images\.)?/, "");

/**
 * @param interval seconds between two environment steps; 0 where the checkpoint does not say
 * @throws UsageError for a policy that is told an environment state, which no observation has
 */
export function robotPolicy(
  model: DiffusionPolicyModel,
  statistics: PolicyStatistics,
  name: string,
  interval: number,
): Policy {
  const { gpu, config, plans } = model;
  const { cameras, state, environment, action, observations: S, actionSteps: T } = config;
  if (environment)
    throw new UsageError(
      `${name} is told ${environment.key}, an environment state; a robot's observation has none.`,
    );
  const numbered = (what: string, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `${what} ${i}`);
  const description: PolicyDescription = {
    name,
    cameras: cameras.map((feature) => ({
      ...{ name: cameraName(feature), frames: S, interval },
      size: [feature.shape[1], feature.shape[2]],
    })),
    state: numbered(state.key, state.shape[0]),
    actions: {
      ...{ names: numbered(action.key, action.shape[0]), units: numbered("", action.shape[0]).map(() => "") },
      ...{ positions: T, interval },
    },
    stops: { last: plans.evaluations, default: plans.evaluations },
  };

  async function act(
    observation: Observation,
    { stop = plans.evaluations, seed = 0, signal }: ActOptions = {},
  ): Promise<Acted> {
    if (!Number.isInteger(stop) || stop < 0 || stop > plans.evaluations)
      throw new UsageError(`stop ${stop}: actions can be read after 0 to ${plans.evaluations} evaluations`);
    const timing: Record<string, number> = {};
    let last = performance.now();
    const lap = (part: string): void => {
      const now = performance.now();
      timing[part] = now - last;
      last = now;
    };
    const prepared = await model.prepare(normalised(look(observation), config, statistics), 1);
    try {
      await gpu.idle();
      lap("observations");
      let actions = new Float32Array();
      for await (const { step, clean } of walkPlan(model, prepared.condition, planNoise(model, QUERY, seed), {
        last: stop,
        signal,
      }))
        if (step === stop)
          actions = toData(carriedOut(model, await readTensor(gpu, clean)), statistics.action);
      lap("plan");
      const bad = actions.find((value) => !Number.isFinite(value));
      if (bad !== undefined)
        throw new NonFiniteError(
          `${name}: an action is ${bad}; are the pictures and states of the kind that the policy was trained on?`,
        );
      return { actions, timing };
    } finally {
      prepared.dispose();
    }
  }

  /** @throws UsageError naming what does not fit */
  function look({ frames, state: values }: Observation): Observed {
    const known = description.cameras.map((camera) => camera.name);
    const unknown = Object.keys(frames).find((camera) => !known.includes(camera));
    if (unknown !== undefined)
      throw new UsageError(`there is no camera "${unknown}"; the policy sees ${known.join(", ") || "none"}`);
    const [J] = state.shape;
    const given = values.length / J;
    if (!Number.isInteger(given) || given < 1 || given > S)
      throw new UsageError(
        `a state of ${values.length} numbers; the policy's has ${J}, of which the last ${S} may be given, oldest first`,
      );
    const bad = values.find((value) => !Number.isFinite(value));
    if (bad !== undefined) throw new UsageError(`the state holds ${bad}, expected finite numbers`);
    return {
      pictures: description.cameras.map((camera) =>
        picturesOf(camera, Object.hasOwn(frames, camera.name) ? frames[camera.name] : []),
      ),
      state: joined(
        lastOf(
          Array.from({ length: given }, (_, s) => values.subarray(s * J, (s + 1) * J)),
          S,
        ),
      ),
    };
  }

  return { description, act, reset: () => undefined, dispose: () => undefined };
}

/** The last `count`, the first repeated where there are fewer. */
const lastOf = <E>(given: readonly E[], count: number): E[] =>
  Array.from({ length: count }, (_, i) => given[Math.max(0, given.length - count + i)]);

function picturesOf(
  camera: PolicyDescription["cameras"][number],
  pictures: readonly Picture[],
): Float32Array<ArrayBuffer> {
  const { name, frames, size } = camera;
  if (pictures.length === 0)
    throw new UsageError(`no picture of camera "${name}"; the policy sees its last ${frames}`);
  const [rows, columns] = size;
  for (const { width, height, rgb } of pictures)
    if (width !== columns || height !== rows || rgb.length !== 3 * rows * columns)
      throw new UsageError(
        `a picture of camera "${name}" has ${height}×${width} pixels and ${rgb.length} bytes; the policy's have ${rows}×${columns}, three bytes each`,
      );
  const all = new Uint8Array(frames * 3 * rows * columns);
  lastOf(pictures, frames).forEach(({ rgb }, s) => all.set(rgb, s * rgb.length));
  return fromBytes(all, frames);
}
