/** One implementation for the package's editions: old weights under new keys, steps that remember, towers that run anew, the way back to noise. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { record } from "../../../src/gpu/recording.ts";
import { readActionConfig } from "../../../src/networks/lucidrains-action/config.ts";
import { ActionDecoder } from "../../../src/networks/lucidrains-action/decoder.ts";
import { sampleActions } from "../../../src/systems/mimic-video/action-sampler.ts";
import { actionsToNoise } from "../../../src/systems/mimic-video/action-to-noise.ts";
import { attendedTokens, leadingFrames } from "../../../src/systems/mimic-video/context-frames.ts";
import { frameTimes, noisedFrames } from "../../../src/systems/mimic-video/single-pass.ts";
import { mimicVideo } from "../../../src/systems/mimic-video/system.ts";
import { createTensor, readTensor, releaseTensor } from "../../../src/tensor/tensor.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { mapKeys } from "../../../src/weights/key-map.ts";
import { WeightLoader } from "../../../src/weights/loader.ts";
import type { ModelFiles } from "../../../src/weights/model-files.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError, uniform } from "../../support/numbers.ts";

let gpu: Gpu;
const releases: (() => void)[] = [];
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => {
  for (const release of releases) release();
});

const INDEXED = /^(to_action_tokens|to_joint_state_token|to_pred|action_normalizer)\.(?=[a-z])/;

/** The decoder of a golden case, and its inputs. */
async function load(folder: string, options: object = {}, rename = (key: string): string => key) {
  const text = await readFile(join("test", folder, "case.json"), "utf8");
  const { config } = JSON.parse(text) as { config: object };
  const source = await openWeights(join("test", folder, "weights.safetensors"));
  const loader = WeightLoader.from(gpu, mapKeys(source, rename));
  releases.push(() => loader.release());
  const decoder = new ActionDecoder(readActionConfig({ ...config, ...options }), loader);
  await loader.load();
  await source.close();
  const inputs = new Map<string, Float32Array>();
  const given = await openWeights(join("test", folder, "inputs.safetensors"));
  for (const { name, dtype } of given.tensors.values())
    if (dtype === "F32") inputs.set(name, Float32Array.from(toFloat32(await given.read(name), "F32")));
  await given.close();
  return {
    decoder,
    noise: inputs.get("noise_latents")!,
    jointState: inputs.get("joint_state")!,
    videoHiddens: [inputs.get("video_hiddens.0")!],
    actions: inputs.get("actions")!,
  };
}

describe("old weights", () => {
  it("under the keys of 0.5, gated by −5 and remembering in every step, give the same bits", async () => {
    const old = await load("golden/action-sample-16", { _mimic_video_version: "0.3.10" });
    const bridged = await load("golden/action-sample-16", { ada_ln_zero_bias: -5 }, (key) =>
      key.replace(INDEXED, "$1.0."),
    );
    expect([old, bridged].map(({ decoder }) => decoder.edition)).toMatchObject([
      { indexed: false, cachedSteps: "all" },
      { indexed: true, cachedSteps: 1 },
    ]);
    const { actions } = await sampleActions(gpu, old.decoder, old, { steps: 5 });
    const same = await sampleActions(gpu, bridged.decoder, bridged, { steps: 5, memory: 5 });
    expect(same.actions).toEqual(actions);
    // By its own habit it remembers nothing.
    const own = await sampleActions(gpu, bridged.decoder, bridged, { steps: 5 });
    const without = await sampleActions(gpu, old.decoder, old, { steps: 5, memory: false });
    expect(own.actions).toEqual(without.actions);
    expect(relativeError(own.actions, actions)).toBeGreaterThan(1e-3);
  });
});

describe("remembering steps", () => {
  it("0 and 1 are none, as many as steps are all", async () => {
    const { decoder, ...inputs } = await load("golden-mimic-0.5/mv5-sample-16");
    const sample = async (memory?: boolean | number) =>
      (await sampleActions(gpu, decoder, inputs, { steps: 4, memory })).actions;
    const [usual, none, one, two, four, many, all] = [
      await sample(),
      ...[await sample(0), await sample(1), await sample(2)],
      ...[await sample(4), await sample(9), await sample(true)],
    ];
    expect(none).toEqual(usual);
    expect(one).toEqual(usual);
    expect(relativeError(two, usual)).toBeGreaterThan(1e-3);
    expect(relativeError(four, two)).toBeGreaterThan(1e-3);
    expect(many).toEqual(four);
    expect(all).toEqual(four);
    await expect(sample(-1)).rejects.toThrow(/-1 remembering steps/);
    await expect(sample(1.5)).rejects.toThrow(/1\.5 remembering steps/);
    await expect(sampleActions(gpu, decoder, inputs, { steps: 1001 })).rejects.toThrow(
      /1001 action steps; .* at most 1000/,
    );
    const bodyCond = new Float32Array(4);
    await expect(sampleActions(gpu, decoder, { ...inputs, bodyCond })).rejects.toThrow(/takes none/);
  });

  it.each([
    [0, [0, 1, 2, 3]],
    [1, [0, 1, 2, 3]],
    [3, [0, 1]],
    [4, [0]],
  ])("%i of 4: a tower is asked in steps %j, once each", async (memory, expected) => {
    const { decoder, videoHiddens, ...inputs } = await load("golden-mimic-0.5/mv5-sample-16");
    const asked: number[] = [];
    const towerHiddens = (step: number) => {
      asked.push(step);
      return videoHiddens;
    };
    const options = { steps: 4, memory };
    const anew = await sampleActions(gpu, decoder, { ...inputs, towerHiddens }, options);
    expect(asked).toEqual(expected);
    const once = await sampleActions(gpu, decoder, { ...inputs, videoHiddens }, options);
    expect(anew.actions).toEqual(once.actions);
  });
});

describe("from actions to noise", () => {
  it("and back by the sampler", { timeout: 240_000 }, async () => {
    const { decoder, ...inputs } = await load("golden-mimic-0.5/mv5-action-to-noise");
    const steps = 8;
    const noise = await actionsToNoise(gpu, decoder, inputs, { steps, iterations: 10 });
    expect(relativeError(noise, inputs.actions)).toBeGreaterThan(1e-2);
    const { actions } = await sampleActions(gpu, decoder, { ...inputs, noise }, { steps });
    expect(relativeError(actions, inputs.actions)).toBeLessThan(1e-4);
  });

  it("is refused where it has no meaning", async () => {
    const clean = await load("golden-mimic-0.5/mv5-sample-16");
    const actions = uniform(1, clean.noise.length);
    await expect(actionsToNoise(gpu, clean.decoder, { ...clean, actions })).rejects.toThrow(
      /predicts the flow \(model_output_clean = false\)/,
    );
    const { decoder, ...inputs } = await load("golden-mimic-0.5/mv5-action-to-noise");
    for (const [options, message] of [
      [{ steps: 0 }, /0 steps; a whole number from 1 to 1000/],
      [{ steps: 1001 }, /1001 steps/],
      [{ iterations: 0 }, /0 fixed-point iterations/],
    ] as const)
      await expect(actionsToNoise(gpu, decoder, inputs, options)).rejects.toThrow(message);
  });
});

describe("context frames", () => {
  it("are counted in latent frames", () => {
    const counted = (pixels: number) => leadingFrames(pixels, 4, 4).filter(Boolean).length;
    expect([1, 4, 5, 8, 9, 99].map(counted)).toEqual([1, 1, 2, 2, 3, 4]);
    expect(() => leadingFrames(0, 4, 4)).toThrow(/0 context frames/);
    expect([...attendedTokens([true, false], 1, 2)]).toEqual([1, 1, 0, 0, 0, 0]);
  });

  it("stay clean where the rest of a video is noised, and change nothing where a future is imagined", () => {
    const kept = [[true, false, true]];
    expect(frameTimes({ kept, frames: 3, imagined: 0, taus: [0.25] })).toEqual([[0, 0.25, 0]]);
    expect(frameTimes({ frames: 2, imagined: 0, taus: [0.25, 1] })).toEqual([
      [0.25, 0.25],
      [1, 1],
    ]);
    expect(frameTimes({ kept, frames: 3, imagined: 2, taus: [0.25] })).toEqual([[0, 0, 0, 1, 1]]);
  });

  it.each([0, 2])("enter the transformer beside %i imagined frames", async (imagined) => {
    const [B, C, f, H, W] = [2, 3, 3, 2, 2];
    const kept = [
      [true, false, false],
      [false, false, true],
    ];
    const taus = [0.25, 0.8];
    const times = frameTimes({ kept, frames: f, imagined, taus });
    const data = [uniform(1, B * C * f * H * W), uniform(2, B * C * (imagined || f) * H * W)];
    const z = createTensor(gpu, [B, C, f, H, W], data[0], "z");
    const noise = createTensor(gpu, [B, C, imagined || f, H, W], data[1], "noise");
    const replay = await record(gpu, "noised", () => noisedFrames(z, noise, times, imagined));
    await replay.run();
    const entered = await readTensor(gpu, replay.outputs);
    replay.dispose();
    for (const tensor of [z, noise]) releaseTensor(gpu, tensor);
    const T = f + imagined;
    const expected = Array.from({ length: B * C * T * H * W }, (_, i) => {
      const [at, frame, channel] = [i % (H * W), Math.floor(i / (H * W)) % T, Math.floor(i / (T * H * W))];
      const own = (values: Float32Array, frames: number, t: number) =>
        values[(channel * frames + t) * H * W + at];
      if (imagined > 0) return frame < f ? own(data[0], f, frame) : own(data[1], imagined, frame - f);
      const b = Math.floor(channel / C);
      const tau = kept[b][frame] ? 0 : taus[b];
      return (1 - tau) * own(data[0], f, frame) + tau * own(data[1], f, frame);
    });
    expect(relativeError(entered, expected)).toBeLessThan(2e-7);
    expect(() => noisedFrames(z, z, times, 5)).toThrow(/the noise is .* expected \(2, 3, 5, 2, 2\)/);
  });

  /** Whether the toy's actions change with the hidden states of what it imagines. */
  async function seesTheFuture(description: object): Promise<boolean> {
    const toy = await openModelFolder("weights/toy");
    const files: ModelFiles = {
      ...toy,
      json: async (path) =>
        path === "model.json" ? { ...((await toy.json(path)) as object), ...description } : toy.json(path),
    };
    const opened = await mimicVideo.open(gpu, files, {});
    const subject = await opened.subject(await openModelFolder("weights/toy/episodes"));
    await opened.load({});
    const item = await subject.items.read(0);
    const encoded: unknown = await subject.encode(item, 1);
    const [tokens, width, past] = [80, 96, 32];
    const seen = uniform(7, tokens * width);
    const other = seen.map((x, i) => (i < past * width ? x : -x));
    const taps = [seen, other].map((data) => createTensor(gpu, [1, tokens, width], data, "tap"));
    const noises = [[subject.readNoise(item, 0)]];
    const timed = taps.map((tap) => ({ tap: [tap], time: 0.5 }));
    const [a, b] = await subject.read(timed, encoded, noises, 2, {});
    for (const tap of taps) releaseTensor(gpu, tap);
    (encoded as { dispose(): void }).dispose();
    await subject.close();
    await opened.release();
    return relativeError(a.values, b.values) > 0;
  }

  it("alone are attended to where the model's description says so", { timeout: 60_000 }, async () => {
    expect(await seesTheFuture({})).toBe(true);
    expect(await seesTheFuture({ attended_frames: 5 })).toBe(false);
    expect(await seesTheFuture({ attended_frames: 17 })).toBe(false);
  });
});

it("says and records what was assumed", async () => {
  const toy = await openModelFolder("weights/toy");
  const notes: string[] = [];
  const open = (change: object, description: object = {}) => {
    const changed = async (path: string): Promise<unknown> => {
      const json = (await toy.json(path)) as object;
      if (path === "action_decoder/config.json") return { ...json, ...change };
      return path === "model.json" ? { ...json, ...description } : json;
    };
    return mimicVideo.open(gpu, { ...toy, json: changed }, { onNote: (line) => notes.push(line) });
  };
  const stated = await open({});
  expect(notes).toEqual([]);
  expect(stated.stamp).toEqual({ "gate bias": "-5", "remembering action steps": "none" });
  const less = await open({ eps: undefined, ada_ln_zero_bias: -2 }, { sampler_memory: undefined });
  expect(notes.join()).toMatch(
    /assumed is: eps = 0\.00001; num_cached_steps = all\. State it in action_decoder\/config\.json/,
  );
  expect(less.stamp).toEqual({
    "gate bias": "-2",
    "remembering action steps": "all",
    assumed: "eps = 0.00001; num_cached_steps = all",
  });
  for (const opened of [stated, less]) await opened.release();
});
