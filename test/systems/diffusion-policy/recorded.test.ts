/** The miniature's episode as a LeRobot set: the same windows as from its own file, and sets that do not fit. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { Recordings } from "../../../src/data/lerobot/recordings.ts";
import { LeRobotSet } from "../../../src/data/lerobot/set.ts";
import { readDiffusionPolicyConfig } from "../../../src/networks/diffusion-policy/config.ts";
import { recordedWindows } from "../../../src/systems/diffusion-policy/recorded.ts";
import { openInputs } from "../../../src/systems/diffusion-policy/windows.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import { type MadeSet, madeSet } from "../../data/made-set.ts";

const mini = fileURLToPath(new URL("../../pusht-mini", import.meta.url));
const json = JSON.parse(await readFile(path.join(mini, "published/config.json"), "utf8")) as Record<
  string,
  unknown
>;
const config = readDiffusionPolicyConfig(json);
const FRAME = 96 * 96 * 3;

async function set(change: Partial<MadeSet> = {}): Promise<LeRobotSet> {
  const inputs = await openWeights(path.join(mini, "inputs.safetensors"));
  const [frames, states] = [await inputs.read("frames"), toFloat32(await inputs.read("states"), "F32")];
  await inputs.close();
  return LeRobotSet.open(
    madeSet({
      ...{ name: "drawn", format: 3, fps: 10, tasks: ["circle the block"] },
      episodes: [{ index: 0, length: 12, task: () => 0 }],
      vectors: {
        "observation.state": { size: 2, at: (_, f) => [...states.subarray(2 * f, 2 * f + 2)] },
        action: { size: 2, names: ["motor_0", "motor_1"], at: (_, f) => [f, -f] },
      },
      images: {
        "observation.image": {
          height: 96,
          width: 96,
          at: (_, f) => frames.slice(f * FRAME, (f + 1) * FRAME),
        },
      },
      ...change,
    }),
  );
}

const nothing = { renamed: new Map<string, string>() };

test("the same observations as from the miniature's own file", async () => {
  const own = await openInputs(await openModelFolder(mini), config);
  // A plan every 8 frames of 10 a second; the second passes the end of its episode.
  const data = new Recordings(await set(), { every: 0.8, ends: "pad" });
  const windows = await recordedWindows(data, config, nothing);
  expect([windows.count, own.count]).toEqual([2, 2]);
  expect(windows.actionNames).toEqual(["motor_0", "motor_1"]);
  for (let i = 0; i < 2; i++) {
    const [theirs, ours] = [await windows.read(i), await own.read(i)];
    expect([...theirs.observed.state]).toEqual([...ours.observed.state]);
    expect(
      Buffer.compare(
        Buffer.from(theirs.observed.pictures[0].buffer),
        Buffer.from(ours.observed.pictures[0].buffer),
      ),
    ).toBe(0);
    expect(theirs.prompt).toBe("circle the block");
  }
  // What was done from the present frame on, the last one repeated.
  const { actions } = await windows.read(1);
  expect([...actions!]).toEqual([8, 9, 10, 11, 11, 11, 11, 11].flatMap((f) => [f, -f]));
  await own.close();
});

test("one window an episode, whole in it, unless more are asked for", async () => {
  const windows = await recordedWindows(new Recordings(await set()), config, nothing);
  expect(windows.count).toBe(1);
  expect((await windows.read(0)).id).toBe("episode 0, frame 2");
});

test("names that the preprocessor changes are looked for as the data have them", async () => {
  const images = { "observation.top": { height: 96, width: 96, at: () => new Uint8Array(FRAME).fill(51) } };
  const renamed = new Map([["observation.top", "observation.image"]]);
  const windows = await recordedWindows(new Recordings(await set({ images })), config, { renamed });
  expect((await windows.read(0)).observed.pictures[0][0]).toBeCloseTo(0.2, 6);
});

test.each<[string, Partial<MadeSet>, RegExp]>([
  [
    "pictures of another size",
    { images: { "observation.image": { height: 48, width: 64, at: () => new Uint8Array(48 * 64 * 3) } } },
    /pictures of observation.image have 48×64 pixels, the policy's observation.image has 96×96/,
  ],
  ["no pictures", { images: {} }, /the model sees 1 camera; drawn has none/],
  [
    "another robot",
    {
      vectors: {
        "observation.state": { size: 7, at: () => [0, 0, 0, 0, 0, 0, 0] },
        action: { size: 2, at: () => [0, 0] },
      },
    },
    /observation.state has 7 numbers, the model's state has 2/,
  ],
])("%s are refused, saying what there is", async (_, change, message) => {
  await expect(recordedWindows(new Recordings(await set(change)), config, nothing)).rejects.toThrow(message);
});
