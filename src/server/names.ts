/** What cameras and values are called in requests: the names of openpi's LIBERO example, with the policy's own beside them. */
import type { PolicyDescription } from "../systems/policy.ts";

export const IMAGE = "observation/image";
export const WRIST_IMAGE = "observation/wrist_image";
export const STATE = "observation/state";

/** Keys besides an observation's. */
export const OPTION_KEYS = ["frames", "stop", "seed", "seeds", "reset"] as const;

/** Keys of openpi's other examples, by the example that sends them. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "observation/exterior_image_1_left": "DROID",
  "observation/exterior_image_2_left": "DROID",
  "observation/wrist_image_left": "DROID",
  "observation/joint_position": "DROID",
  "observation/gripper_position": "DROID",
  images: "ALOHA",
  state: "ALOHA",
};

/** A camera's key: the first one that is not at a hand is the image, the first one at a hand the wrist image, others go by their own names. */
export function cameraKeys({ cameras }: PolicyDescription): ReadonlyMap<string, string> {
  const atHand = cameras.length > 1 ? cameras.filter(({ name }) => /wrist|hand|gripper/i.test(name)) : [];
  const image = cameras.find((camera) => !atHand.includes(camera)) ?? cameras[0];
  return new Map(
    cameras.map((camera) => [
      camera.name,
      camera === image ? IMAGE : camera === atHand[0] ? WRIST_IMAGE : `observation/${camera.name}`,
    ]),
  );
}

/** Keys that LIBERO clients send in any case and this policy does not look at. */
export function unusedKeys(description: PolicyDescription): readonly string[] {
  const used = [...cameraKeys(description).values(), ...(description.state.length > 0 ? [STATE] : [])];
  return [WRIST_IMAGE, STATE].filter((key) => !used.includes(key));
}

/** Every key that a request may have. */
export function knownKeys(description: PolicyDescription): readonly string[] {
  const keys = cameraKeys(description);
  const own = description.cameras.map(({ name }) => `observation/${name}`);
  return [
    ...new Set([...keys.values(), ...own, STATE, "prompt", ...OPTION_KEYS, ...unusedKeys(description)]),
  ];
}

/** A key that is not known, with the example it is from. */
export function strangeKey(key: string): string {
  const shown = JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);
  return Object.hasOwn(ELSEWHERE, key) ? `${shown} (openpi's ${ELSEWHERE[key]} example)` : shown;
}
