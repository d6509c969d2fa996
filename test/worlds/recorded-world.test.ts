/** A recorded world shows what was recorded, whatever is done, and says how far that was from it. */
import { expect, it } from "vitest";
import type { Picture, PolicyDescription, RecordedTrials } from "../../src/systems/policy.ts";
import { recordedWorld } from "../../src/worlds/recorded.ts";

const picture = (step: number): Picture => ({ width: 1, height: 1, rgb: Uint8Array.of(step, 0, 0) });
const recordings: RecordedTrials = {
  ...{ count: 2, steps: 7 },
  sha256: () => Promise.resolve("5e7"),
  read: (index) =>
    Promise.resolve({
      ...{ id: `e${index}`, prompt: "push" },
      frames: { front: Array.from({ length: 7 }, (_, t) => picture(10 * index + t)) },
      actions: Float32Array.from({ length: 14 }, (_, i) => i),
    }),
};
const description: PolicyDescription = {
  ...{ name: "test", cameras: [], state: [], stops: { last: 1, default: 1 } },
  actions: { names: ["x", "y"], units: ["", ""], positions: 3, interval: 1 },
};

it("is walked through in chunks, a shorter one first", async () => {
  const world = await recordedWorld(recordings, description);
  expect(world.dataSha256).toBe("5e7");
  expect(world.queries).toBeGreaterThanOrEqual(3);
  const scene = await world.scene(5);
  expect(scene.labels).toEqual({ episode: "e1" });
  const shown = (): number[] => scene.observe().frames.front.map(({ rgb }) => rgb[0]);
  expect(shown()).toEqual([10]);
  // Two actions, of which each number is one too large.
  scene.execute(Float32Array.of(1, 2, 3, 4));
  expect(scene.over).toBe(false);
  expect(shown()).toEqual([11, 12]);
  scene.execute(Float32Array.of(4, 5, 6, 7, 8, 9));
  expect(shown()).toEqual([13, 14, 15]);
  // The recording ends within this chunk: two of its three actions can be compared.
  scene.execute(Float32Array.of(10, 11, 12, 13, 0, 0));
  expect(scene.over).toBe(true);
  expect(scene.score()).toEqual({ squared_difference: 4 / 14 });
});

it("needs a recording", async () => {
  await expect(recordedWorld({ ...recordings, count: 0 }, description)).rejects.toThrow(
    /no recorded episode/,
  );
});
