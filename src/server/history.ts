/**
 * What a connection's cameras showed before, for clients that send only the present. Requests are taken to be 1 / hz seconds apart, by
 * their number and not by a clock: a simulator's time stands still while the policy thinks.
 */
import { UsageError } from "../errors.ts";
import type { Picture, PolicyDescription } from "../systems/policy.ts";

type Cameras = PolicyDescription["cameras"];

/** A camera's frames, oldest first, and the seconds each one is old. */
export interface Seen {
  readonly frames: readonly Picture[];
  readonly ages: readonly number[];
}

/**
 * For each of F frames `interval` seconds apart, oldest first, how many requests ago the nearest one was; halfway between two the newer.
 */
export function nearestRequests(frames: number, interval: number, hz: number): number[] {
  return Array.from({ length: frames }, (_, i) => {
    // 3 × 0.1 s × 5 Hz shall be 1.5.
    const requests = Number(((frames - 1 - i) * interval * hz).toFixed(6));
    return Math.max(0, Math.ceil(requests - 0.5));
  });
}

export class History {
  private readonly past = new Map<string, Picture[]>();
  private readonly offsets: ReadonlyMap<string, readonly number[]>;
  private readonly hz: number;
  private readonly mostBytes: number;

  /**
   * @param hz requests a second
   * @param mostBytes of a camera's pictures
   */
  constructor(cameras: Cameras, hz: number, mostBytes = 2 ** 28) {
    this.hz = hz;
    this.mostBytes = mostBytes;
    this.offsets = new Map(
      cameras.map(({ name, frames, interval }) => [name, nearestRequests(frames, interval, hz)]),
    );
  }

  /** An episode begins. */
  clear(): void {
    this.past.clear();
  }

  /**
   * What the policy looks at when `now` is the present; before the first request the first one is repeated.
   * @throws UsageError when pictures of this size cannot be kept for as long as the policy looks back
   */
  with(camera: string, now: Picture): Seen {
    const kept = this.offsets.get(camera)![0];
    if (kept * now.rgb.length > this.mostBytes)
      throw new UsageError(
        `Pictures of ${now.width} × ${now.height} pixels for a history of ${kept} requests at ${this.hz} a second would be ` +
          `${kept * now.rgb.length} bytes, more than ${this.mostBytes}. Send frames, or smaller pictures.`,
      );
    const past = this.past.get(camera) ?? [];
    const steps = this.offsets.get(camera)!.map((offset) => Math.min(offset, past.length));
    return {
      frames: steps.map((step) => (step === 0 ? now : past[past.length - step])),
      ages: steps.map((step) => step / this.hz),
    };
  }

  /** Keeps a copy of the present for requests to come. */
  keep(camera: string, now: Picture): void {
    const most = this.offsets.get(camera)![0];
    if (most === 0) return;
    const past = this.past.get(camera) ?? [];
    this.past.set(camera, [
      ...past.slice(Math.max(0, past.length + 1 - most)),
      { ...now, rgb: now.rgb.slice() },
    ]);
  }
}

/** The ages of a stack that a client sent: the last F of its frames, the first repeated where there are fewer. */
export function stackSeen({ frames, interval }: Cameras[number], stack: readonly Picture[]): Seen {
  const steps = Array.from({ length: frames }, (_, i) => Math.min(frames - 1 - i, stack.length - 1));
  return {
    frames: steps.map((step) => stack[stack.length - 1 - step]),
    ages: steps.map((step) => step * interval),
  };
}
