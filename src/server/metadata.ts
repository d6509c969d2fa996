/** What a client is told first: what the policy looks at, what it gives, and how often. */
import type { PolicyDescription } from "../systems/policy.ts";
import type { Sent } from "./message.ts";
import { cameraKeys, IMAGE, OPTION_KEYS, STATE, unusedKeys } from "./names.ts";

/**
 * The metadata of a policy; seconds and hertz.
 * @param hz requests a second that histories count with
 */
export function serverMetadata(
  policy: PolicyDescription,
  hz: number,
  limits: { readonly message: number; readonly pixels: number },
): Sent {
  const keys = cameraKeys(policy);
  const { names, units, positions, interval } = policy.actions;
  const image = policy.cameras.find(({ name }) => keys.get(name) === IMAGE)!;
  return {
    server: "mimic-video-webgpu",
    policy: policy.name,
    // Of observation/image: how many, and how many a second.
    frames: image.frames,
    rate: 1 / image.interval,
    cameras: policy.cameras.map(({ name, frames, interval, size }) => ({
      name,
      key: keys.get(name)!,
      frames,
      interval,
      size: [...size],
    })),
    state: { key: STATE, names: [...policy.state] },
    actions: { names: [...names], units: [...units], positions, interval, hz: 1 / interval },
    action_horizon: positions,
    stops: { last: policy.stops.last, default: policy.stops.default },
    request_hz: hz,
    option_keys: [...OPTION_KEYS],
    unused_keys: [...unusedKeys(policy)],
    limits: { message_bytes: limits.message, picture_pixels: limits.pixels },
  };
}
