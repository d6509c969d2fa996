/**
 * One client's conversation, without its socket: a message in, an answer out. Each has a policy of its own, made when it first
 * asks, and remembers what its cameras showed.
 *
 * Axes: T actions of a chunk, D values of an action, S seeds.
 */
import type { Observation, Picture, Policy, PolicyDescription } from "../systems/policy.ts";
import { History, type Seen, stackSeen } from "./history.ts";
import { decodeMessage, encodeMessage, type Sent } from "./message.ts";
import { cameraKeys } from "./names.ts";
import { NdArray } from "./ndarray.ts";
import { type Query, readRequest, type Request, type RequestHabits } from "./request.ts";
import { spreadOf } from "./spread.ts";

export interface SessionSettings extends RequestHabits {
  readonly description: PolicyDescription;
  readonly policy: () => Promise<Policy>;
  /** requests a second */
  readonly requestHz: number;
  /** of requests that have none; default the policy's own */
  readonly stop?: number;
}

/** Milliseconds. */
type Timing = Record<string, number>;

export class Session {
  private readonly settings: SessionSettings;
  private readonly history: History;
  private policy?: Policy;
  /** the one before, with its way to the client */
  private previousMs?: number;

  constructor(settings: SessionSettings) {
    this.settings = settings;
    this.history = new History(settings.description.cameras, settings.requestHz);
  }

  /**
   * The answer to a message.
   * @param queuedMs how long it waited
   * @throws FormatError or UsageError for a request that cannot be answered, which changes nothing; what the policy throws
   */
  async answer(message: Uint8Array, queuedMs: number, signal: AbortSignal): Promise<Uint8Array> {
    const start = performance.now();
    const request = readRequest(decodeMessage(message), this.settings.description, this.settings);
    this.policy ??= await this.settings.policy();
    signal.throwIfAborted();
    if (request.reset) {
      this.history.clear();
      this.policy.reset();
    }
    const timing: Timing = { queue_ms: queuedMs, read_ms: performance.now() - start };
    const body = request.query ? await this.act(request, request.query, timing, signal) : { reset: true };
    if (this.previousMs !== undefined) timing.prev_total_ms = this.previousMs;
    return encodeMessage({ ...body, server_timing: timing });
  }

  /** Told when an answer is on its way, for the next one's timing. */
  sent(totalMs: number): void {
    this.previousMs = totalMs;
  }

  dispose(): void {
    this.policy?.dispose();
    this.policy = undefined;
    this.history.clear();
  }

  private async act(
    { stop = this.settings.stop, seeds, spread }: Request,
    query: Query,
    timing: Timing,
    signal: AbortSignal,
  ): Promise<Record<string, Sent>> {
    const { cameras, actions } = this.settings.description;
    const seen = new Map<string, Seen>();
    for (const camera of cameras) {
      const shown = query.pictures.get(camera.name)!;
      seen.set(
        camera.name,
        "stack" in shown ? stackSeen(camera, shown.stack) : this.history.with(camera.name, shown.now),
      );
    }
    const observation: Observation = {
      frames: Object.fromEntries([...seen].map(([name, { frames }]) => [name, frames])),
      state: query.state,
      prompt: query.prompt,
    };
    const start = performance.now();
    const samples: Float32Array[] = [];
    for (const seed of seeds) {
      const acted = await this.policy!.act(observation, { stop, seed, signal });
      signal.throwIfAborted();
      samples.push(acted.actions);
      for (const [part, ms] of Object.entries(acted.timing))
        timing[`${part}_ms`] = (timing[`${part}_ms`] ?? 0) + ms;
    }
    timing.infer_ms = performance.now() - start;
    // Only what was answered was seen: a request that failed is sent again.
    for (const [name, { frames }] of seen) this.history.keep(name, lastOf(frames));
    const shape = [actions.positions, actions.names.length];
    return {
      actions: NdArray.float32(samples[0], shape),
      history: this.historyOf(seen),
      ...(spread ? spreadOf(samples, shape) : {}),
    };
  }

  /** Seconds: how old the oldest frame is that was looked at, and each camera's. */
  private historyOf(seen: ReadonlyMap<string, Seen>): Sent {
    const keys = cameraKeys(this.settings.description);
    return {
      age: Math.max(0, ...[...seen.values()].map(({ ages }) => ages[0])),
      ages: Object.fromEntries([...seen].map(([name, { ages }]) => [keys.get(name)!, [...ages]])),
    };
  }
}

const lastOf = (frames: readonly Picture[]): Picture => frames[frames.length - 1];
