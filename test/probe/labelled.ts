/** A subject whose taps say whose they are, so that every read-out, control and resumed or split run shows what it was made from. */
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Noise, Reading, Subject } from "../../src/probe/subject.ts";
import { copyTensor, createTensor, readTensor, releaseTensor, writeTensor } from "../../src/tensor/tensor.ts";

export const EPISODES = 4;
export const STEPS = 3;

export interface Encoded {
  readonly index: number;
  readonly copies: number;
  dispose(): void;
}

export interface Watched {
  /** taps a call of read */
  readonly batches: number[];
  /** episodes that were followed, in order */
  readonly followed: number[];
  held: number;
}

/** N tokens of C channels, of which the first number is the label. */
export const TOKENS = 4;
export const CHANNELS = 3;

/** A tap of which only its first number is the label itself. */
export const tapOf = (label: number): number[] =>
  Array.from({ length: TOKENS * CHANNELS }, (_, i) => (i === 0 ? label : Math.sin(label + i * i)));

/** Operations that are said to be done: of a call of the network, and of reading a tap from a noise. */
export const FLOPS = { encode: 5, call: 70, reading: 11 } as const;

/** Read-out = 100·episode + 10·seed + step of the tap, + 0.25 with frames shuffled; + 0.5 · own action seed; + 1/128 for each step that the schedule is shorter. */
export function labelled(
  gpu: Gpu,
  watched: Watched,
  options: { mostCopies: number; budget: number },
): Subject<Encoded> {
  const provide = (value: number): Noise => [Float32Array.of(value)];
  return {
    ...{ shufflesFrames: true, interval: 0.5 },
    ...{ gpu, positions: 1, pairsSeeds: false, tapKinds: ["label"], mostCopies: options.mostCopies },
    readBudget: options.budget,
    dimensions: { names: ["label"], units: ["1"] },
    parts: [{ name: "label", from: 0, to: 1, kind: "squared", units: "1" }],
    axes: {
      budget: [1, 2],
      stop: (steps = STEPS) => ({ steps, times: Array.from({ length: steps + 1 }, (_, k) => 1 - k / steps) }),
    },
    items: {
      count: EPISODES,
      read: async (index) => ({ index, id: `e${index}`, prompt: "", truth: Float32Array.of(index) }),
    },
    noise: (_, seed) => provide(seed),
    readNoise: (_, seed) => provide(seed),
    encode: async ({ index }, copies) => {
      watched.held++;
      // Once for all copies, as a prompt is encoded.
      gpu.counters.flops += FLOPS.encode;
      return { index, copies, dispose: () => void watched.held-- };
    },
    async *denoise({ index, copies }, noise, { last = STEPS, steps = STEPS }) {
      if (steps === STEPS) watched.followed.push(index);
      const state = createTensor(gpu, [copies, TOKENS, CHANNELS]);
      const latents = createTensor(gpu, [copies, 1]);
      for (let step = 0; step <= last; step++) {
        const shorter = (STEPS - steps) / 128;
        const labels = noise.map(([seed]) => 100 * index + 10 * seed[0] + step + shorter);
        gpu.counters.flops += FLOPS.call * copies;
        const write = (more: number): void =>
          writeTensor(gpu, state, Float32Array.from(labels.flatMap((label) => tapOf(label + more))));
        write(0);
        writeTensor(
          gpu,
          latents,
          Float32Array.from(labels, (label) => label ** 2),
        );
        yield {
          ...{ step, time: 1 - step / STEPS, latents, tap: async () => [state] },
          shuffled: async () => {
            write(0.25);
            return [state];
          },
        };
        // A tap that is looked at too late would show.
        writeTensor(gpu, state, new Float32Array(state.size).fill(-1));
      }
      releaseTensor(gpu, state);
      releaseTensor(gpu, latents);
    },
    bytes: ({ copies }) => ({ tap: 4 * copies, readRow: 4 * copies }),
    read: async (taps, _, noises) => {
      watched.batches.push(taps.length);
      const readings: Reading[] = [];
      for (const { tap } of taps) {
        const numbers = await readTensor(gpu, tap[0]);
        const labels = numbers.filter((_, i) => i % (TOKENS * CHANNELS) === 0);
        gpu.counters.flops += FLOPS.reading * labels.length * noises.length;
        for (const perCopy of noises)
          readings.push({ values: labels.map((label, v) => label + 0.5 * perCopy[v][0][0]) });
      }
      return readings;
    },
    // The label of the tap at both times, apart by the read-out's own noise; the trajectory's as speed.
    straightness: {
      of: "a flow of labels",
      times: () => [0, 0.5],
      measure: async (_, { tap }, noise, readNoise) => {
        const numbers = await readTensor(gpu, tap[0]);
        const labels = numbers.filter((__, i) => i % (TOKENS * CHANNELS) === 0);
        const both = (of: (v: number, p: number) => number): Float32Array =>
          Float32Array.from({ length: 2 * labels.length }, (__, i) => of(i >> 1, i % 2));
        return {
          residual: both((v, p) => labels[v] + p * readNoise[v][0][0]),
          speed: both((v) => noise[v][0][0]),
        };
      },
    },
    floors: () => ({}),
    controls: {
      zeroed: {
        needsOther: false,
        write: (_own, _other, [into]) => writeTensor(gpu, into, new Float32Array(into.size)),
      },
      otherEpisode: { needsOther: true, write: (_own, other, [into]) => copyTensor(gpu, other![0], into) },
    },
    toData: (values) => values.map((value) => 1000 + value),
  };
}

export const PROVENANCE = {
  model: { name: "", revision: "", weightsSha256: "", trainedOn: "toy", system: "labelled", stamp: {} },
  ...{ data: { name: "", sha256: "" }, noiseSha256: null, dtype: "f32" as const, versions: {} },
  device: { name: "", driver: "", adapter: "", software: true },
} as const;
