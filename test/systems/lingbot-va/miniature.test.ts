/** The miniature of the published folders: every number of the reference that a chunk, a history and a tap have. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Subject } from "../../../src/probe/subject.ts";
import type { Encoded } from "../../../src/systems/lingbot-va/subject.ts";
import type { LingbotPolicy } from "../../../src/systems/lingbot-va/policy.ts";
import { recognise } from "../../../src/systems/registry.ts";
import { readTensor } from "../../../src/tensor/tensor.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError } from "../../support/numbers.ts";
import { ACTIONS, bound, EXECS, MINI, Miniature } from "./miniature.ts";

let mini: Miniature;

beforeAll(async () => {
  mini = await Miniature.open();
}, 120_000);

afterAll(() => mini.close());

describe("an episode of three chunks, the policy's own actions fed back", () => {
  // 0: the third chunk drops a part of a call's tokens; 5: a state on the way; −1 runs the whole loop.
  it.each([
    [0, 0, 0],
    [1, 1, 5],
    [0, 1, -1],
  ])("episode %i, seed %i, video_exec_step %i", { timeout: 240_000 }, async (episode, seed, exec) => {
    const run = { episode, seed, exec };
    const error = relativeError(await mini.act(run), await mini.reacted(run));
    expect(error).toBeLessThan(bound("actions"));
  });

  it("wants the pictures that followed, of every camera", async () => {
    const policy = (await mini.opened.policy!()) as LingbotPolicy;
    const [[camera, pictures]] = Object.entries(mini.pictures(0, [0]));
    const observation = { frames: { [camera]: pictures }, state: new Float32Array() };
    await expect(policy.act({ ...observation, prompt: mini.prompts[0] })).rejects.toThrow(/image2/);
    await expect(policy.act({ ...observation, prompt: "" }, { stop: 21 })).rejects.toThrow(/states 0 to 20/);
    policy.dispose();
  });
});

describe("the probe's subject on a first chunk", () => {
  let subject: Subject<Encoded> & { close(): Promise<void> };
  beforeAll(async () => {
    subject = await mini.opened.subject(await openModelFolder(`${MINI}/episodes`));
  });
  afterAll(() => subject.close());

  it(
    "reads what the policy does at every video_exec_step, from one trajectory",
    { timeout: 240_000 },
    async () => {
      const gpu = await testGpu();
      const item = await subject.items.read(0);
      const encoded = await subject.encode(item, 1);
      const read = async (
        tap: readonly Parameters<typeof subject.read>[0][number][],
      ): Promise<Float32Array[]> =>
        (await subject.read(tap, encoded, [[subject.readNoise(item, 0)]], undefined, {})).map(({ values }) =>
          subject.toData(values, item),
        );
      const first = 12 * ACTIONS;
      for await (const state of subject.denoise(encoded, [subject.noise(item, 0)], {})) {
        const exec = state.step === 20 ? -1 : state.step + 1;
        if (!EXECS.includes(exec) || ![0, 4, 20].includes(state.step)) continue;
        const tap = await state.tap(subject.tapKinds[0]);
        // Blocks 0 and 2, keys before values.
        for (const [name, at] of [
          ["block.0.keys", 0],
          ["block.0.values", 1],
          ["block.2.keys", 4],
          ["block.2.values", 5],
        ] as const) {
          const full = `0.exec.${exec}.${name}`;
          expect(relativeError(await readTensor(gpu, tap[at]), await mini.truth(full)), full).toBeLessThan(
            bound(full),
          );
        }
        // Two taps in one batch are read as one alone is.
        const both = await read([
          { tap, time: state.time },
          { tap, time: state.time },
        ]);
        const theirs = (await mini.reacted({ episode: 0, seed: 0, exec })).slice(0, first);
        for (const ours of both)
          expect(relativeError(ours, theirs), `tap ${state.step}`).toBeLessThan(bound("actions"));
      }
      encoded.dispose();
    },
  );

  it("leaves a tap as it is when the clean estimate is looked at", { timeout: 120_000 }, async () => {
    const gpu = await testGpu();
    const item = await subject.items.read(1);
    const encoded = await subject.encode(item, 1);
    for await (const state of subject.denoise(encoded, [subject.noise(item, 0)], { last: 1 })) {
      const [tap, jump] = [await state.tap(subject.tapKinds[0]), await state.tap(subject.tapKinds[1])];
      const before = await readTensor(gpu, tap[2]);
      expect(relativeError(await readTensor(gpu, jump[2]), before)).toBeGreaterThan(1e-3);
      expect([...(await readTensor(gpu, (await state.tap(subject.tapKinds[0]))[2]))]).toEqual([...before]);
    }
    encoded.dispose();
  });

  it("says what its axes are", () => {
    const { times, trained } = subject.axes.stop();
    expect(times.length).toBe(21);
    // Taps from state 10 on were seen in training.
    expect(times.findIndex((sigma) => sigma <= trained![1] + 1e-3)).toBe(10);
    const inner = subject.axes.inner!();
    expect(inner.nullCurve![1]).toBeCloseTo(inner.times[1] ** 2, 12);
    expect(subject.positions).toBe(12);
  });
});

it("says what is missing beside it", async () => {
  const files = await openModelFolder(`${MINI}/lerobot/lingbot_va_libero_long`);
  const system = await recognise(files);
  expect(system.name).toBe("lingbot-va");
  const gpu = await testGpu();
  await expect(system.open(gpu, files, {})).rejects.toThrow(/robbyant\/lingbot-va-base beside it/);
  const openModel = () => openModelFolder(`${MINI}/episodes`);
  await expect(system.open(gpu, files, { openModel })).rejects.toThrow(/vae\/config\.json/);
});

it("plans its memory, and refuses a card that is too small", async () => {
  expect(mini.opened.plan.peak).toBeGreaterThan(mini.opened.plan.weights);
  expect(mini.opened.plan.lines.join("\n")).toMatch(/32 video tokens and 16 action tokens/);
  const files = await openModelFolder(`${MINI}/lerobot/lingbot_va_libero_long`);
  const options = { openModel: (name: string) => openModelFolder(`${MINI}/${name}`), gpuMemory: 1e6 };
  const system = await recognise(files);
  await expect(system.open(await testGpu(), files, options)).rejects.toThrow(/does not fit/);
});
