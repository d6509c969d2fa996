/** A system whose answer is known: every item is one point, the flow to it is straight, and the read-out is the state itself. */
import type { Subject } from "../src/probe/subject.ts";
import type { System } from "../src/systems/system.ts";
import { affine, multiply, subtract } from "../src/kernels/elementwise.ts";
import type { Denoiser } from "../src/sampling/denoiser.ts";
import { videoGrid } from "../src/sampling/grid.ts";
import { gaussian } from "../src/sampling/noise.ts";
import { sample } from "../src/sampling/sample.ts";
import { euler } from "../src/sampling/schedulers.ts";
import { createTensor, readTensor, releaseTensor, writeTensor } from "../src/tensor/tensor.ts";

const T = 4;
const stop = (steps = 10) => ({ steps, times: videoGrid(steps) });

export const points: System = {
  name: "points",
  items: () => Promise.resolve("."),
  recognise: async ({ paths }) =>
    paths.includes("points.json") ? { found: true } : { missing: ["points.json"] },
  needed: async () => ["points.json"],
  open: async (gpu, files) => {
    const all = (await files.json("points.json")) as number[];
    const subject: Subject<{ point: Float32Array<ArrayBuffer>; dispose(): void }> = {
      ...{ gpu, positions: T, mostCopies: 1, readBudget: 1 << 20, pairsSeeds: false, tapKinds: ["state"] },
      dimensions: { names: ["x"], units: ["1"] },
      parts: [{ name: "x", from: 0, to: 1, kind: "squared", units: "1" }],
      axes: { stop },
      items: {
        count: all.length,
        read: async (index) => ({
          index,
          id: `${index}`,
          prompt: "",
          truth: new Float32Array(T).fill(all[index]),
        }),
      },
      noise: ({ index }, seed) => [gaussian(`points/${index}`, seed, T)],
      readNoise: () => [],
      encode: async (item) => ({ point: item.truth!, dispose: () => {} }),
      async *denoise({ point }, [[noise]], { steps, last, signal }) {
        const [x, target, rate] = [noise, point, Float32Array.of(0)].map((v) =>
          createTensor(gpu, [v.length], v),
        );
        const flow: Denoiser = {
          evaluate: (z) => ({ output: multiply(subtract(z, target), rate), tapped: [affine(z, 1)] }),
          setCall: ({ at }) => writeTensor(gpu, rate, Float32Array.of(at > 0 ? 1 / at : 0)),
        };
        for await (const state of sample(gpu, flow, x, { scheduler: euler(stop(steps).times), last, signal }))
          yield { step: state.step, time: state.time, latents: x, tap: () => state.tapped() };
        for (const tensor of [x, target, rate]) releaseTensor(gpu, tensor);
      },
      bytes: () => ({ tap: 4 * T, readRow: 0 }),
      read: (taps) => Promise.all(taps.map(async ({ tap }) => ({ values: await readTensor(gpu, tap[0]) }))),
      floors: () => ({ holdStill: new Float32Array(T) }),
      controls: {},
      toData: (values) => values,
    };
    return {
      ...{ name: "points", trainedOn: "toy", weightFiles: [], stamp: {}, dtype: "f32" },
      plan: { weights: 0, peak: 0, lines: [] },
      load: async () => {},
      subject: async () => ({ ...subject, close: async () => {} }),
      release: async () => {},
    };
  },
};
