/** Clips and episodes: the miniatures', and folders that do not fit. */
import { cp, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { FormatError, UsageError } from "../../../src/errors.ts";
import { type Clip, clipOf } from "../../../src/systems/mimic-video-release/clip.ts";
import { Episodes } from "../../../src/systems/mimic-video-release/episodes.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { encodeSafetensors, type TensorToWrite } from "../../../src/weights/safetensors.ts";
import { COMPRESSION, folderOf, openMiniature } from "./miniatures.ts";

describe("the clip", () => {
  test("published, when nothing is said", () => {
    expect(clipOf(undefined, "clip.json", COMPRESSION)).toEqual({
      frameSize: [480, 640],
      futureFrames: 56,
      latents: [16, 60, 80],
    });
    expect(clipOf({ future_frames: 4 }, "clip.json", COMPRESSION).latents).toEqual([3, 60, 80]);
  });

  test.each([
    [{ frame_size: [24, 32] }, /24×32 are not divisible by 16.*nearest are 32×32/],
    [{ frame_size: [32, 40] }, /32×40 are not divisible by 16/],
    [{ frame_size: [32] }, /frame_size is \[32\]/],
    [{ frame_size: [32, 0] }, /frame_size/],
    [{ frame_size: "480" }, /frame_size/],
    [{ future_frames: 5 }, /5 \+ 5 frames are not 1 \+ 4·k.*nearest future_frames is 4/],
    [{ future_frames: 55 }, /nearest future_frames is 56/],
    [{ future_frames: 0 }, /future_frames is 0/],
    [{ future_frames: 4.5 }, /future_frames is 4.5/],
    [{ frame_size: [16, 4096] }, /16×1×256 tokens; at most 128/],
    [null, /not a JSON object/],
  ])("%j", (clip, message) => {
    expect(() => clipOf(clip, "clip.json", COMPRESSION)).toThrow(FormatError);
    expect(() => clipOf(clip, "clip.json", COMPRESSION)).toThrow(message);
  });
});

describe("the miniatures' episodes", () => {
  test("pixels, state and actions", async () => {
    const { episodes } = await openMiniature("bridge");
    expect(episodes.count).toBe(2);
    expect(episodes.prompts).toEqual(["push the red block up", "push a block somewhere"]);
    const { id, context, state, actions } = await episodes.read(1);
    expect(id).toBe("bridge-001");
    expect([context.length, state.length, actions?.length]).toEqual([3 * 5 * 32 * 192, 10, 50]);
    const raw = await openModelFolder(`${folderOf("bridge")}/episodes`);
    const source = await raw.weights("episodes.safetensors");
    const video = await source.read("video");
    const area = 32 * 192;
    for (const [c, f, i] of [
      [0, 0, 0],
      [2, 4, area - 1],
      [1, 3, 777],
    ]) {
      const v = video[((5 + f) * 3 + c) * area + i];
      expect(context[(c * 5 + f) * area + i]).toBe(Math.fround(2 * Math.fround(Math.fround(v / 255) - 0.5)));
    }
    await Promise.all([source.close(), episodes.close()]);
    await expect(episodes.read(2)).rejects.toThrow(UsageError);
  });

  test("the recorded future stands behind the context", async () => {
    const { episodes, clip } = await openMiniature("lora");
    const { context, recorded } = await episodes.read(0, true);
    const area = clip.frameSize[0] * clip.frameSize[1];
    expect(recorded!.length).toBe(3 * 21 * area);
    for (let c = 0; c < 3; c++) {
      const seen = recorded!.subarray(c * 21 * area, (c * 21 + 5) * area);
      expect(seen).toEqual(context.subarray(c * 5 * area, (c + 1) * 5 * area));
    }
    await episodes.close();
    const without = await openMiniature("libero");
    await expect(without.episodes.read(0, true)).rejects.toThrow(/no recorded future/);
    await without.episodes.close();
  });
});

describe("what does not fit is named", () => {
  const clip: Clip = { frameSize: [16, 16], futureFrames: 4, latents: [3, 2, 2] };
  const floats = (values: ArrayLike<number>) => new Uint8Array(Float32Array.from(values).buffer);
  const tensors = (actions = new Float32Array(2 * 3 * 10)): TensorToWrite[] => [
    { name: "video", dtype: "U8", shape: [2, 5, 3, 16, 16], data: new Uint8Array(2 * 5 * 3 * 256) },
    { name: "state", dtype: "F32", shape: [2, 1, 10], data: floats(new Float32Array(20)) },
    { name: "actions", dtype: "F32", shape: [2, 3, 10], data: floats(actions) },
  ];
  const list = [{ id: "a", prompt: "one" }, { prompt: "two" }];
  async function open(list: unknown, all: TensorToWrite[], oracle = false): Promise<Episodes> {
    const folder = await mkdtemp(path.join(tmpdir(), "episodes-"));
    await writeFile(path.join(folder, "episodes.json"), JSON.stringify(list));
    await writeFile(path.join(folder, "episodes.safetensors"), await encodeSafetensors(all));
    return Episodes.open(await openModelFolder(folder), clip, 3, oracle);
  }

  test("what fits", async () => {
    const episodes = await open(list, tensors());
    expect((await episodes.read(1)).id).toBe("episode-1");
    await episodes.close();
    const withoutTruth = await open(list, tensors().slice(0, 2));
    expect((await withoutTruth.read(0)).actions).toBeUndefined();
    await withoutTruth.close();
  });

  test("actions that are no numbers name their episode", async () => {
    const actions = new Float32Array(60);
    actions[30 + 12] = NaN;
    const episodes = await open(list, tensors(actions));
    await expect(episodes.read(1)).rejects.toThrow(
      /"actions" of episode 1 \(episode-1\) is NaN at position 1, dimension 2\. Leave that episode out with --episodes/,
    );
    // Left out, it does no harm.
    expect((await episodes.read(0)).id).toBe("a");
    await episodes.close();
  });

  test.each([
    [
      "video",
      (t: TensorToWrite[]) => t.filter(({ name }) => name !== "video"),
      /"video" is missing, expected U8 \[2, 5, 3, 16, 16\]/,
    ],
    [
      "chunk",
      (t: TensorToWrite[]) => [...t.slice(0, 2), { ...t[2], shape: [2, 6, 5] }],
      /"actions" is F32 \[2, 6, 5\], expected F32 \[2, 3, 10\]/,
    ],
    ["bytes", (t: TensorToWrite[]) => [{ ...t[0], dtype: "I8" as const }, ...t.slice(1)], /"video" is I8/],
  ])("%s", async (_, change, message) => {
    await expect(open(list, change(tensors()))).rejects.toThrow(FormatError);
    await expect(open(list, change(tensors()))).rejects.toThrow(message);
  });

  test("lists, and an oracle without a future", async () => {
    await expect(open({}, tensors())).rejects.toThrow(/not a list of episodes/);
    await expect(open([{ prompt: "one" }, { id: "b" }], tensors())).rejects.toThrow(
      /episode 1 is .*expected a "prompt"/,
    );
    await expect(open(list, tensors(), true)).rejects.toThrow(/no "future".*--oracle needs/);
  });

  test("a folder without episodes", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "episodes-"));
    await cp(path.join(folderOf("bridge"), "clip.json"), path.join(folder, "clip.json"));
    await expect(Episodes.open(await openModelFolder(folder), clip, 3)).rejects.toThrow(FormatError);
  });
});
