/**
 * Derivatives of whole networks beyond the golden cases: forms that no case has, against central differences along the same direction, and linearity.
 * (u in float32 leaves about 1e-4 of a difference with steps of 3e-3.)
 */
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { buildMeanFlowNetwork } from "../../src/networks/meanflow/build.ts";
import { readMeanFlowConfig } from "../../src/networks/meanflow/config.ts";
import { MeanFlowEvaluator } from "../../src/networks/meanflow/evaluator.ts";
import { sinusoids, sinusoidTangents, type Told } from "../../src/networks/meanflow/network.ts";
import { evaluateLoss, measureStraightness } from "../../src/systems/meanflow/loss.ts";
import { straightnessAlong } from "../../src/systems/meanflow/straightness.ts";
import { createTensor, releaseTensor } from "../../src/tensor/tensor.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import type { TensorSource } from "../../src/weights/source.ts";
import { testGpu } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";
import { drawnSource, sourceOf } from "./shapes-only.ts";

type Config = Record<string, unknown>;

const CONDITIONS = { omega: [1.5, 3], tMin: [0.1, 0.2], tMax: [0.8, 0.9] };
const dit = { input_size: 4, in_channels: 2, hidden_size: 16, depth: 1, num_heads: 2, num_classes: 3 };
const unet = { in_channels: 2, base_channels: 32, channel_mult: [1], num_res_blocks: 1, input_resolution: 4 };
const NETWORKS: Readonly<Record<string, { config: Config; state: readonly number[]; told?: Partial<Told> }>> =
  {
    mlp: { config: { arch: "zoo_mlp", feature_dim: 3, hidden_dim: 16 }, state: [3] },
    cnn: {
      config: { arch: "zoo_cnn", in_channels: 2, base_channels: 5, num_layers: 3, kernel_size: 3 },
      state: [2, 4, 6],
    },
    "DiT with one embedder": {
      config: { ...dit, arch: "zoo_dit", use_separate_time_embeds: false },
      state: [2, 4, 4],
      told: { labels: [1, 3] },
    },
    "U-Net with one embedder": {
      config: {
        ...unet,
        arch: "zoo_unet",
        use_separate_time_embeds: false,
        attention_resolutions: [4],
        num_heads: 1,
      },
      state: [2, 4, 4],
    },
    "improved, with two heads": {
      config: { ...dit, arch: "imf_dit", depth: 2, aux_head_depth: 1, hidden_size: 24 },
      state: [2, 4, 4],
      told: { labels: [0, 2], ...CONDITIONS },
    },
    "SongUNet with a filter of two taps": {
      config: {
        ...{ arch: "song_unet", img_resolution: 8, in_channels: 2, out_channels: 2, model_channels: 8 },
        ...{ channel_mult: [1, 2], num_blocks: 1, attn_resolutions: [4], channel_mult_noise: 1 },
        ...{ resample_filter: [1, 1], augment_dim: 0 },
      },
      state: [2, 8, 8],
    },
  };

/** The same weights, those of convolutions as small as their terms are many: what comes out of them stays near 1, and derivatives with it. */
function calm(source: TensorSource): TensorSource {
  const read = async (name: string): Promise<Uint8Array> => {
    const bytes = await source.read(name);
    const { shape } = source.tensors.get(name)!;
    if (shape.length !== 4) return bytes;
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    const factor = (shape[1] * shape[2]) ** -0.5;
    return new Uint8Array(values.map((v) => v * factor).buffer);
  };
  return {
    ...{ ...source, read },
    async *stream(name) {
      yield await read(name);
    },
  };
}

/** An evaluator on drawn weights, for `body`. */
async function withEvaluator<T>(
  { config, state, told }: (typeof NETWORKS)[string],
  body: (evaluator: MeanFlowEvaluator, all: Told) => Promise<T>,
): Promise<T> {
  const gpu = await testGpu();
  const size = [state[1] ?? 1, state[2] ?? 1] as const;
  const build = (w: WeightLoader) => buildMeanFlowNetwork(readMeanFlowConfig(config), w, size);
  const asking = WeightLoader.from(gpu, sourceOf({}));
  build(asking);
  const shapes = Object.fromEntries(asking.asked.map(({ key, shape }) => [key, shape]));
  const loader = WeightLoader.from(gpu, calm(drawnSource(shapes, 7)));
  const network = build(loader);
  await loader.load();
  const all = { r: [0.2, 0.45], t: [0.6, 0.8], ...told };
  const evaluator = new MeanFlowEvaluator(gpu, network, all);
  try {
    return await body(evaluator, all);
  } finally {
    evaluator.dispose();
    loader.release();
  }
}

describe.each(Object.entries(NETWORKS))("%s", (name, net) => {
  const n = 2 * net.state.reduce((a, b) => a * b, 1);
  const [x, dx] = [uniform(1, n), uniform(2, n)];
  const rates = { r: [0.7, -0.4], t: [-0.3, 1] };

  it("moves as its central difference says, and linearly in the direction", () =>
    withEvaluator(net, async (evaluator, told) => {
      const { u, du } = await evaluator.derivative(x, told, { x: dx, rates });
      expect(relativeError(await evaluator.velocity(x, told), u)).toBeLessThan(2e-6);
      // Shorter where ReLU bends.
      const h = name === "cnn" || name === "mlp" ? 3e-4 : 3e-3;
      const shifted = (times: ArrayLike<number>, rate: readonly number[], k: number) =>
        Array.from(times, (v, b) => v + k * rate[b]);
      const at = (k: number) =>
        evaluator.velocity(
          x.map((v, i) => v + k * dx[i]),
          { ...told, r: shifted(told.r, rates.r, k), t: shifted(told.t, rates.t, k) },
        );
      const [after, before] = [await at(h), await at(-h)];
      const difference = after.map((v, i) => (v - before[i]) / (2 * h));
      expect(relativeError(du, difference)).toBeLessThan(1e-3);

      // du(a + 2b) = du(a) + 2·du(b), the times' part apart from the state's.
      const still = { r: [0, 0], t: [0, 0] };
      const state = (await evaluator.derivative(x, told, { x: dx, rates: still })).du;
      const times = (await evaluator.derivative(x, told, { x: new Float32Array(n), rates })).du;
      const twice = { r: rates.r.map((v) => 2 * v), t: rates.t.map((v) => 2 * v) };
      const both = (await evaluator.derivative(x, told, { x: dx, rates: twice })).du;
      expect(
        relativeError(
          both,
          state.map((v, i) => v + 2 * times[i]),
        ),
      ).toBeLessThan(5e-6);
    }));
});

it("derivatives of sinusoids", () => {
  for (const layout of ["sine first", "cosine first"] as const) {
    const [times, rates, h] = [[0.3, 0.9], [1, -2], 1e-3];
    const at = (k: number) =>
      sinusoids(
        times.map((v, i) => v + k * rates[i]),
        8,
        layout,
      ).data;
    const [after, before] = [at(h), at(-h)];
    const difference = after.map((v, i) => (v - before[i]) / (2 * h));
    const { shape, data } = sinusoidTangents(times, rates, 8, layout);
    expect(shape).toEqual([2, 8]);
    expect(relativeError(data, difference)).toBeLessThan(1e-4);
  }
});

describe("measurements", () => {
  const net = NETWORKS["DiT with one embedder"];
  const [data, noise] = [uniform(3, 64), uniform(4, 64)];

  it("straightness takes the network's own velocity, and is 0 where r = t", () =>
    withEvaluator(net, async (evaluator, told) => {
      const { residual, bend, speed } = await measureStraightness(evaluator, noise, told);
      expect([...residual, ...bend, ...speed].every((v) => v > 0)).toBe(true);
      const { residual: none, bend: straight } = await measureStraightness(evaluator, noise, {
        ...told,
        t: told.r,
      });
      expect([...none, ...straight].every((v) => v < 1e-5)).toBe(true);
    }));

  it("straightness along a way is that of its states, of what is left", () =>
    withEvaluator(net, async (evaluator, { labels }) => {
      const times = [0, 0.3, 0.7, 1];
      const along = await straightnessAlong(evaluator, noise, times, { labels });
      const at = (r: number, t: number) => ({ r: [r, r], t: [t, t], labels });
      const u = await evaluator.velocity(noise, at(0, 0.3));
      const next = noise.map((x, i) => x + 0.3 * u[i]);
      for (const [p, states] of [noise, next].entries()) {
        const own = await measureStraightness(evaluator, states, at(times[p], 1));
        for (const name of ["residual", "bend", "speed"] as const)
          [0, 1].forEach((v) => expect(along[name][3 * v + p]).toBeCloseTo(own[name][v], 4));
      }
      await expect(straightnessAlong(evaluator, noise, [1, 0])).rejects.toThrow(/times rise from 0 to 1/);
    }));

  it("a loss with its guidance switched off is the loss without; with it, another", () =>
    withEvaluator(net, async (evaluator, told) => {
      const form = { power: 0.5, constant: 1e-3, form: "sum" } as const;
      const plain = await evaluateLoss(evaluator, data, noise, told, form);
      const guidance = (omega: number, kappa: number, interval: readonly [number, number]) =>
        evaluateLoss(evaluator, data, noise, told, { ...form, guidance: { omega, kappa, interval } });
      expect((await guidance(1, 0, [0, 1])).loss).toBeCloseTo(plain.loss, 6);
      expect((await guidance(3, 0.5, [0.9, 1])).loss).toBeCloseTo(plain.loss, 6);
      expect(Math.abs((await guidance(3, 0.5, [0, 1])).loss - plain.loss)).toBeGreaterThan(1e-2);
      expect(plain.guidedV).toBeUndefined();
    }));

  it("states may lie on the GPU; others than it was made for are refused", () =>
    withEvaluator(net, async (evaluator, told) => {
      const gpu = await testGpu();
      const x = createTensor(gpu, [2, 2, 4, 4], noise);
      expect(await evaluator.velocity(x, told)).toEqual(await evaluator.velocity(noise, told));
      releaseTensor(gpu, x);
      await expect(evaluator.velocity(noise, { ...told, r: [0], t: [1], labels: [0] })).rejects.toThrow(
        UsageError,
      );
      await expect(evaluator.velocity(noise.subarray(1), told)).rejects.toThrow(/64 elements, got 63/);
    }));
});
