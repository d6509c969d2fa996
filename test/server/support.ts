/** A policy without a model, and a client that speaks as openpi's does. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { WebSocket } from "ws";
import { decodeMessage, encodeMessage, type Sent, type Value } from "../../src/server/message.ts";
import { NdArray } from "../../src/server/ndarray.ts";
import type { ActOptions, Observation, Policy, PolicyDescription } from "../../src/systems/policy.ts";

export const fixture = (name: string): Buffer =>
  readFileSync(join(import.meta.dirname, "fixtures", `${name}.bin`));

export const DESCRIPTION: PolicyDescription = {
  name: "a table",
  cameras: [{ name: "table", frames: 5, interval: 0.2, size: [32, 32] }],
  state: ["x", "y", "gripper"],
  actions: { names: ["dx", "dy", "gripper"], units: ["m", "m", "1"], positions: 4, interval: 0.1 },
  stops: { last: 50, default: 5 },
};

/** A description with other cameras, by name and number of frames. */
export const withCameras = (cameras: Readonly<Record<string, number>>): PolicyDescription => ({
  ...DESCRIPTION,
  cameras: Object.entries(cameras).map(([name, frames]) => ({
    name,
    frames,
    interval: 0.2,
    size: [32, 32] as const,
  })),
});

export interface Asked {
  readonly observation: Observation;
  readonly options: ActOptions;
}

/** What a policy without a model answers: its first values tell stop, seed, the state's first value and a sum of the present picture. */
export function expectedActions(
  { frames, state }: Observation,
  { stop, seed }: ActOptions,
  { actions, stops }: PolicyDescription = DESCRIPTION,
): Float32Array {
  const out = new Float32Array(actions.positions * actions.names.length);
  const present = Object.values(frames).map((all) => all[all.length - 1]);
  const sum = present.reduce((total, { rgb }) => total + rgb.reduce((a, b) => a + b, 0), 0);
  out.set([stop ?? stops.default, seed ?? 0, state[0] ?? 0, sum % 9973]);
  return out;
}

/** Policies that note what they are asked. @param work what an answer takes */
export function fakePolicies(
  description = DESCRIPTION,
  work: (asked: Asked) => Promise<void> = async () => {},
) {
  const log = { asked: [] as Asked[], made: 0, disposed: 0, resets: 0, running: 0, mostRunning: 0 };
  const policy = async (): Promise<Policy> => {
    log.made++;
    return {
      description,
      reset: () => void log.resets++,
      act: async (observation, options = {}) => {
        log.running++;
        log.mostRunning = Math.max(log.mostRunning, log.running);
        log.asked.push({ observation, options });
        try {
          await work({ observation, options });
          return {
            actions: expectedActions(observation, options, description),
            timing: { video: 2, action: 1 },
          };
        } finally {
          log.running--;
        }
      },
      dispose: () => void log.disposed++,
    };
  };
  return { policy, log };
}

export type Answer = ReadonlyMap<string, Value>;

/** One connection; answers come in the order of requests. */
export class Client {
  readonly socket: WebSocket;
  readonly closed: Promise<{ code: number; reason: string }>;
  private readonly messages: (Answer | string)[] = [];
  private readonly wanting: (() => void)[] = [];

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data: Buffer, isBinary) => {
      this.messages.push(isBinary ? (decodeMessage(data) as Answer) : data.toString());
      this.wanting.shift()?.();
    });
    this.closed = new Promise((resolve) =>
      socket.once("close", (code, reason) => {
        resolve({ code, reason: reason.toString() });
        for (const want of this.wanting.splice(0)) want();
      }),
    );
    socket.on("error", () => {});
  }

  /** The metadata too. @throws the status of a refusal */
  static async open(
    port: number,
    headers: Record<string, string> = {},
  ): Promise<Client & { metadata: Answer }> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, { headers });
    const client = new Client(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    return Object.assign(client, { metadata: (await client.next()) as Answer });
  }

  /** The next message. @throws Error when the connection closed before */
  async next(): Promise<Answer | string> {
    while (this.messages.length === 0) {
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error("closed");
      await new Promise<void>((resolve) => this.wanting.push(resolve));
    }
    return this.messages.shift()!;
  }

  send(message: Uint8Array | Sent): void {
    this.socket.send(message instanceof Uint8Array ? message : encodeMessage(message));
  }

  async infer(message: Uint8Array | Sent): Promise<Answer> {
    this.send(message);
    const answer = await this.next();
    if (typeof answer === "string") throw new Error(answer);
    return answer;
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.closed;
  }
}

export const picture = (height: number, width: number, value = 0): NdArray =>
  new NdArray("|u1", [height, width, 3], new Uint8Array(height * width * 3).fill(value));

/** A stack of pictures, each of one value. */
export const stack = (values: readonly number[], height = 32, width = 32): NdArray => {
  const bytes = new Uint8Array(values.length * height * width * 3);
  values.forEach((value, f) => bytes.fill(value, f * height * width * 3, (f + 1) * height * width * 3));
  return new NdArray("|u1", [values.length, height, width, 3], bytes);
};

export const request = (value = 0, more: Record<string, Sent> = {}): Record<string, Sent> => ({
  "observation/image": picture(32, 32, value),
  "observation/state": [0.5, 0, 1],
  prompt: "push",
  ...more,
});

export const numbers = (value: Value | undefined): number[] => [...(value as NdArray).numbers()];
