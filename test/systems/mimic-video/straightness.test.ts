/** The rate of the action decoder's flow along its own way, against its central differences; and what the sampler makes of it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { record } from "../../../src/gpu/recording.ts";
import { readActionConfig } from "../../../src/networks/lucidrains-action/config.ts";
import { ActionDecoder } from "../../../src/networks/lucidrains-action/decoder.ts";
import { flowAndRate } from "../../../src/networks/lucidrains-action/derivative.ts";
import { fourierFeatures, fourierRates, tokenRows } from "../../../src/networks/lucidrains-action/times.ts";
import { sampleActions } from "../../../src/systems/mimic-video/action-sampler.ts";
import { createTensor, readTensor, releaseTensor, writeTensor } from "../../../src/tensor/tensor.ts";
import { WeightLoader } from "../../../src/weights/loader.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError, uniform } from "../../support/numbers.ts";

const [n, A, S, V] = [24, 3, 80, 96];
const jointState = uniform(3, 3);
const hiddens = uniform(4, S * V, 2);

/** The toy's decoder on a device. */
async function toy(gpu: Gpu): Promise<{ decoder: ActionDecoder; release: () => void }> {
  const files = await openModelFolder("weights/toy");
  const source = await files.weights("action_decoder");
  const loader = WeightLoader.from(gpu, source);
  const decoder = new ActionDecoder(readActionConfig(await files.json("action_decoder/config.json")), loader);
  await loader.load();
  await source.close();
  return { decoder, release: () => loader.release() };
}

describe("derivatives of the times' features", () => {
  it("are those of a cosine, of the action time alone", () => {
    const [weight, bias, h] = [uniform(1, 5, 2), uniform(2, 5), 1e-3];
    const at = (t: number) => fourierFeatures([[t, 0.3]], weight, bias);
    const [after, before] = [at(0.4 + h), at(0.4 - h)];
    const difference = after.map((v, i) => (v - before[i]) / (2 * h));
    expect(relativeError(fourierRates([[0.4, 0.3]], weight, bias), difference)).toBeLessThan(1e-3);
  });
});

// With pools in one dispatch and in many: their rules are recorded in other ways.
const POOLS: Readonly<Record<string, string>>[] = [{}, { historyPool: "fused" }];
describe.each(POOLS)("the toy's decoder, %j", (variants) => {
  let gpu: Gpu;
  let decoder: ActionDecoder;
  let release: () => void;
  beforeAll(async () => {
    gpu = await testGpu({ variants });
    ({ decoder, release } = await toy(gpu));
  });
  afterAll(() => release());

  it("moves along its way as central differences say", async () => {
    const x = createTensor(gpu, [1, n, A]);
    const joint = createTensor(gpu, [1, 3], jointState);
    const video = createTensor(gpu, [1, S, V], hiddens);
    const times = decoder.createTimes(gpu, 1, n + 1);
    const rates = times.createRates();
    const context = await record(gpu, "context", () => decoder.prepareContext([video]));
    await context.run();
    const inputs = { actions: x, jointState: joint, times, context: context.outputs };
    const replay = await record(gpu, "rate", () => flowAndRate(decoder, inputs, rates));
    const run = async (actions: Float32Array, t: number) => {
      const rows = tokenRows([t], [0.5], n, 1, "item");
      times.write(rows);
      times.writeRates(rows.pairs, rates);
      writeTensor(gpu, x, actions);
      await replay.run();
      return {
        flow: await readTensor(gpu, replay.outputs.flow),
        rate: await readTensor(gpu, replay.outputs.rate),
      };
    };
    const start = uniform(5, n * A, 1.5);
    const h = 2e-3;
    for (const t of [0.1, 0.7]) {
      const { flow, rate } = await run(start, t);
      const at = (k: number) =>
        run(
          start.map((v, i) => v + k * flow[i]),
          t + k,
        );
      const [after, before] = [await at(h), await at(-h)];
      const difference = after.flow.map((v, i) => (v - before.flow[i]) / (2 * h));
      expect(relativeError(rate, difference), `at ${t}`).toBeLessThan(3e-3);
    }
    for (const r of [context, replay]) r.dispose();
    times.release();
    for (const tensor of [x, joint, video, rates.features, rates.times]) releaseTensor(gpu, tensor);
  });

  it("is measured at every state, and samples the same", async () => {
    const inputs = {
      noise: uniform(6, 2 * n * A),
      jointState: uniform(3, 6),
      videoHiddens: [uniform(4, 2 * S * V, 2)],
    };
    const plain = await sampleActions(gpu, decoder, inputs, { steps: 4, memory: false });
    const measured = await sampleActions(gpu, decoder, inputs, {
      steps: 4,
      memory: false,
      straightness: true,
    });
    expect(measured.actions).toEqual(plain.actions);
    expect(plain.straightness).toBeUndefined();
    expect(measured.straightness!.map(({ time }) => time)).toEqual([0, 0.25, 0.5, 0.75]);
    for (const { residual, speed } of measured.straightness!) {
      expect([residual.length, speed.length]).toEqual([2, 2]);
      expect([...residual, ...speed].every((v) => v > 0 && Number.isFinite(v))).toBe(true);
    }
    // ‖v‖ of the first step is that of its clean estimate less the noise.
    const jump = measured.oneJump.subarray(0, n * A);
    const length = Math.hypot(...jump.map((v, i) => v - inputs.noise[i]));
    expect(measured.straightness![0].speed[0] / length).toBeCloseTo(1, 5);
  });
});

it("refuses what remembers, and prefixes", async () => {
  const gpu = await testGpu();
  const { decoder, release } = await toy(gpu);
  const inputs = { noise: uniform(6, n * A), jointState, videoHiddens: [hiddens] };
  const attempt = (more: object, options: object) =>
    sampleActions(
      gpu,
      decoder,
      { ...inputs, ...more },
      { steps: 2, memory: false, straightness: true, ...options },
    );
  await expect(attempt({}, { memory: true })).rejects.toThrow(UsageError);
  await expect(attempt({ prefix: uniform(7, 2 * A) }, {})).rejects.toThrow(
    /leave out the memory and the prefix/,
  );
  release();
});
