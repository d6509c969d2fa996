/**
 * Moments of a LeRobot data set as a policy sees them: pictures, states and perhaps an environment state of the last S frames, the first one
 * repeated before the episode began; and the actions that were done from the present frame on. Pictures must have the policy's size, as
 * it crops them by pixels.
 */
import { UsageError } from "../../errors.ts";
import type { Camera } from "../../data/lerobot/info.ts";
import type { FloatPicture } from "../../data/lerobot/pixels.ts";
import { labelsOf, type Recordings } from "../../data/lerobot/recordings.ts";
import { Windows as RecordedWindows } from "../../data/lerobot/windows.ts";
import type { DiffusionPolicyConfig, Feature } from "../../networks/diffusion-policy/config.ts";
import { joined } from "../arrays.ts";
import type { PolicyStatistics } from "./statistics.ts";
import type { Windows } from "./windows.ts";

/** @throws UsageError when cameras, sizes or names do not fit the policy, saying what the set has */
export async function recordedWindows(
  data: Recordings,
  config: DiffusionPolicyConfig,
  { renamed }: Pick<PolicyStatistics, "renamed">,
  onNote: (line: string) => void = () => {},
): Promise<Windows> {
  const { cameras, state, environment, action, observations: S, actionSteps: T } = config;
  if (data.choices.embodiment !== undefined)
    throw new UsageError("--embodiment does not apply to a Diffusion Policy; leave it out.");
  /** What the data call it. */
  const raw = ({ key }: Feature): string => [...renamed].find(([, to]) => to === key)?.[0] ?? key;
  const seen = camerasOf(data, cameras, raw);
  const surroundings = environment && vectorCalled(data, raw(environment), environment);
  const acted = data.vectorOf("action", action.shape[0]);
  const past = { frames: Array.from({ length: S }, (_, s) => s - S + 1) };
  const windows = await RecordedWindows.plan(
    data.set,
    {
      pictures: Object.fromEntries(seen.map(({ key }, i) => [`${i}`, { key, at: past }])),
      vectors: {
        state: { key: data.vectorOf("state", state.shape[0]).key, at: past },
        actions: { key: acted.key, at: { frames: Array.from({ length: T }, (_, t) => t) } },
        ...(surroundings && { environment: { key: surroundings, at: past } }),
      },
      before: "first",
    },
    data.choices,
  );
  onNote(windows.note);
  return {
    count: windows.count,
    files: [],
    ...(acted.names && { actionNames: acted.names }),
    close: () => data.close(),
    read: async (index) => {
      const { id, episode, task, pictures, vectors } = await windows.read(index);
      return {
        ...{ id, prompt: task, labels: labelsOf(data, episode) },
        observed: {
          pictures: cameras.map((_, i) => joined(pictures[`${i}`].map(toUnit))),
          state: Float32Array.from(vectors.state.values),
          ...(surroundings && { environment: Float32Array.from(vectors.environment.values) }),
        },
        actions: Float32Array.from(vectors.actions.values),
      };
    },
  };
}

/** (3, rows, columns) from 0 to 255 → from 0 to 1 */
const toUnit = ({ rgb }: FloatPicture): Float32Array => rgb.map((value) => value / 255);

/** Those that bear the policy's names, unless others were chosen, in the policy's order. */
function camerasOf(
  data: Recordings,
  features: readonly Feature[],
  raw: (feature: Feature) => string,
): readonly Camera[] {
  if (features.length === 0) return [];
  const named = features.map((feature) => data.set.cameras.find(({ key }) => key === raw(feature)));
  const all = named.every((camera) => camera !== undefined);
  const cameras = data.choices.cameras === undefined && all ? named : data.cameras(features.length);
  cameras.forEach(({ key, height, width }, i) => {
    const [, rows, columns] = features[i].shape;
    if (height === rows && width === columns) return;
    throw new UsageError(
      `${data.set.name}: pictures of ${key} have ${height}×${width} pixels, the policy's ${features[i].key} has ${rows}×${columns}. ` +
        "Choose another camera with --camera, or a set of that size.",
    );
  });
  return cameras;
}

function vectorCalled({ set }: Recordings, key: string, { shape: [size] }: Feature): string {
  const found = set.vectors.find((vector) => vector.key === key);
  if (found?.size === size) return key;
  const has = set.vectors.map((vector) => `${vector.key} (${vector.size})`).join(", ");
  throw new UsageError(`${set.name} has no vector "${key}" of ${size} numbers; it has ${has || "none"}.`);
}
