/** The toy as a policy: what it answers is what the probe reads, however it is asked. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import type { Held } from "../../../src/probe/subject.ts";
import { sampleFlow } from "../../../src/sampling/flow.ts";
import { gaussian } from "../../../src/sampling/noise.ts";
import { sampleActions } from "../../../src/systems/mimic-video/action-sampler.ts";
import { MimicVideo } from "../../../src/systems/mimic-video/model.ts";
import type { Episode } from "../../../src/systems/mimic-video/episodes.ts";
import { mimicVideo } from "../../../src/systems/mimic-video/system.ts";
import { VideoFlow } from "../../../src/systems/mimic-video/video-flow.ts";
import type { Observation, Picture, Policy } from "../../../src/systems/policy.ts";
import type { BoundSubject, Opened } from "../../../src/systems/system.ts";
import { createTensor, readTensor, releaseTensor, sizeOf } from "../../../src/tensor/tensor.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { testGpu } from "../../support/gpu.ts";

let gpu: Gpu;
let opened: Opened;
let subject: BoundSubject;
let policy: Policy;

beforeAll(async () => {
  gpu = await testGpu();
  opened = await mimicVideo.open(gpu, await openModelFolder("weights/toy"), {});
  await opened.load({});
  subject = await opened.subject(await openModelFolder("weights/toy/episodes"));
  policy = await opened.policy!();
}, 120_000);

afterAll(async () => {
  policy?.dispose();
  await subject?.close();
  await opened?.release();
});

const read = async (index: number) => (await subject.items.read(index)) as Episode;

/** The pictures that a context was made from. */
function pictures({ context }: Episode): Picture[] {
  const [F, pixels] = [5, 32 * 32];
  return Array.from({ length: F }, (_, f) => ({
    ...{ width: 32, height: 32 },
    rgb: Uint8Array.from({ length: 3 * pixels }, (_, i) =>
      Math.round(255 * context[((i % 3) * F + f) * pixels + Math.floor(i / 3)]),
    ),
  }));
}

const observe = (episode: Episode): Observation => ({
  frames: { image: pictures(episode) },
  state: episode.jointState,
  prompt: episode.prompt,
});

/** What the probe reads of an episode after `stop` steps, from the noise of a query. */
async function readOut(episode: Episode, stop: number, seed: number): Promise<Float32Array> {
  const item = { ...episode, id: "query", index: 0 };
  const encoded = (await subject.encode(item, 1)) as Held;
  try {
    for await (const state of subject.denoise(encoded, [subject.noise(item, seed)], { last: stop })) {
      if (state.step < stop) continue;
      const tap = await state.tap("hidden");
      const noises = [[subject.readNoise(item, seed)]];
      const [{ values }] = await subject.read([{ tap, time: state.time }], encoded, noises, undefined, {});
      return subject.toData(values, item);
    }
  } finally {
    encoded.dispose();
  }
  throw new Error("no such state");
}

const furthest = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);

describe("the toy's policy", { timeout: 240_000 }, () => {
  it("answers what the probe reads, to the bit", async () => {
    for (const [index, stop, seed] of [
      [0, 0, 0],
      [3, 2, 7],
      [6, 10, 1],
    ]) {
      const episode = await read(index);
      const { actions, timing } = await policy.act(observe(episode), { stop, seed });
      expect(actions).toHaveLength(24 * 3);
      expect([...actions]).toEqual([...(await readOut(episode, stop, seed))]);
      expect(Object.keys(timing)).toEqual(["prompt", "context", "video", "actions"]);
    }
  });

  it("at stop 0 decodes pure noise", async () => {
    const model = await MimicVideo.load(gpu, await openModelFolder("weights/toy"));
    const episode = await read(1);
    const seed = 5;
    const prepared = await model.prepare(episode.prompt, episode.context, 1);
    const noise = gaussian("video/query/0", seed, sizeOf(model.futureShape));
    const latents = createTensor(gpu, [1, ...model.futureShape], noise);
    const flow = new VideoFlow(gpu, model.tower, prepared.text, prepared.context);
    let hidden = new Float32Array(0);
    // A grid of one time evaluates the network there and takes no step.
    await sampleFlow(gpu, flow, latents, {
      grid: [1],
      onStep: async ({ tapped }) => {
        hidden = Float32Array.from(await readTensor(gpu, tapped[0]));
      },
    });
    expect([...(await readTensor(gpu, latents))]).toEqual([...noise]);
    const { actions } = await sampleActions(
      gpu,
      model.actionDecoder,
      {
        ...{ videoHiddens: [hidden], jointState: episode.jointState, videoTimes: [1] },
        noise: gaussian("action/query/0", seed, sizeOf(model.chunkShape)),
      },
      { steps: 16, memory: false },
    );
    flow.dispose();
    releaseTensor(gpu, latents);
    prepared.dispose();
    model.release();
    const acted = await policy.act(observe(episode), { stop: 0, seed });
    expect(furthest(acted.actions, actions)).toBe(0);
  });

  it("answers several at once as one by one, whatever their prompts' lengths", async () => {
    const episodes = [await read(0), await read(2), await read(4)];
    expect(new Set(episodes.map(({ prompt }) => prompt.split(" ").length)).size).toBeGreaterThan(1);
    const queries = episodes.map((episode, seed) => ({ observation: observe(episode), seed }));
    const together = await policy.actMany!(queries, { stop: 1 });
    for (const [i, { observation, seed }] of queries.entries()) {
      const alone = await policy.act(observation, { stop: 1, seed });
      expect(furthest(together[i].actions, alone.actions)).toBeLessThan(1e-4);
      const other = await policy.act(observation, { stop: 1, seed: seed + 1 });
      expect(furthest(other.actions, alone.actions)).toBeGreaterThan(1e-2);
    }
  });

  it("repeats the first picture where there are fewer, and takes the last where there are more", async () => {
    const episode = await read(6);
    const { frames, ...rest } = observe(episode);
    const all = frames.image;
    const ask = async (image: readonly Picture[]) => [
      ...(await policy.act({ ...rest, frames: { image } }, { stop: 0 })).actions,
    ];
    expect(await ask(all.slice(3))).toEqual(await ask([all[3], all[3], all[3], all[3], all[4]]));
    expect(await ask([all[4], all[0], ...all])).toEqual(await ask(all));
  });

  it("answers in turn when it is asked at once, and others of the same model beside it", async () => {
    const another = await opened.policy!();
    const observation = observe(await read(5));
    const [a, b, c] = await Promise.all([
      policy.act(observation, { stop: 0, seed: 1 }),
      another.act(observation, { stop: 0, seed: 2 }),
      policy.act(observation, { stop: 0, seed: 1 }),
    ]);
    another.dispose();
    expect([...c.actions]).toEqual([...a.actions]);
    expect(furthest(a.actions, b.actions)).toBeGreaterThan(1e-2);
    await expect(another.act(observation)).rejects.toThrow(/disposed/);
  });

  it("refuses what does not fit, naming it, and answers afterwards", async () => {
    const fits = observe(await read(7));
    const [picture] = fits.frames.image;
    const refused = async (observation: Partial<Observation>, options: object, words: RegExp) => {
      const asked = policy.act({ ...fits, ...observation }, options);
      await expect(asked).rejects.toThrow(words);
      await expect(asked).rejects.toBeInstanceOf(UsageError);
    };
    await refused({ frames: { wrist: [picture] } }, {}, /"wrist".*"image"/);
    await refused({ frames: {} }, {}, /no picture.*"image"/);
    await refused({ frames: { image: [{ ...picture, width: 64 }] } }, {}, /64×32.*32×32/);
    await refused({ state: new Float32Array(2) }, {}, /2 values, expected 3/);
    await refused({ state: Float32Array.of(0, Number.NaN, 0) }, {}, /state 1.*NaN/);
    await refused({}, { stop: 51 }, /stop 51.*0 to 50/);
    await refused({}, { stop: 0.5 }, /stop 0.5/);
    await refused({}, { seed: -1 }, /seed -1/);
    const { signal, abort } = (() => {
      const controller = new AbortController();
      return { signal: controller.signal, abort: () => controller.abort(new Error("enough")) };
    })();
    abort();
    await expect(policy.act(fits, { signal })).rejects.toThrow("enough");
    expect((await policy.act(fits, { stop: 0 })).actions.every(Number.isFinite)).toBe(true);
  });

  it("gives its memory back", async () => {
    const observation = observe(await read(0));
    const used = () => gpu.memory.usage.inUse;
    const one = await mimicVideo.open(gpu, await openModelFolder("weights/toy"), {});
    await one.load({});
    const before = used();
    const acting = await one.policy!();
    await acting.act(observation, { stop: 0 });
    const first = used();
    await acting.act(observation, { stop: 1, seed: 4 });
    expect(used()).toBe(first);
    acting.dispose();
    await gpu.idle();
    expect(used()).toBe(before);
    await one.release();
  });
});
