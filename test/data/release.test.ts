/** The release's miniatures on recorded sets: windows at both rates, the oracle's future, prompts, and an action read out. */
import { describe, expect, it } from "vitest";
import { Recordings, type Choices } from "../../src/data/lerobot/recordings.ts";
import { LeRobotSet } from "../../src/data/lerobot/set.ts";
import type { Held, Subject } from "../../src/probe/subject.ts";
import type { Episode } from "../../src/systems/mimic-video-release/episodes.ts";
import { mimicVideoRelease } from "../../src/systems/mimic-video-release/system.ts";
import type { SystemOptions } from "../../src/systems/system.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import { testGpu } from "../support/gpu.ts";
import { type MadeSet, madeSet } from "./made-set.ts";

const SIZE = { height: 16, width: 24 };

const set = (fps: number, change: Partial<MadeSet> = {}): MadeSet => ({
  name: "arm",
  format: 2,
  fps,
  episodes: [
    { index: 0, length: fps * 8, task: () => 0 },
    { index: 1, length: fps * 4, task: () => 1 },
  ],
  tasks: ["push the red block up", "push a block down"],
  vectors: {
    "observation.state": {
      size: 8,
      at: (e, f) => [0.01 * f, 0.02 * e, 0.1, 0.1 * Math.sin(f), 0.2, 0.01 * f, 0.04, 0.5],
    },
    action: { size: 7, at: (e, f) => [0.1, 0.2, e, 0, 0, 0.1 * f, f % 2] },
  },
  images: { "observation.images.front": { ...SIZE, at: (e, f) => new Uint8Array(3 * 16 * 24).fill(f + e) } },
  ...change,
});

async function withSubject(
  family: "bridge" | "libero",
  made: MadeSet,
  { choices = {}, ...options }: SystemOptions & { choices?: Choices },
  body: (subject: Subject<Held>, load: () => Promise<void>, notes: string[]) => Promise<void>,
): Promise<void> {
  const notes: string[] = [];
  const files = await openModelFolder(`test/release-mini/${family}`);
  const policy = family === "bridge" ? "bridge" : "libero_object_full";
  const onNote = (line: string): void => void notes.push(line);
  const opened = await mimicVideoRelease.open(await testGpu(), files, { policy, onNote, ...options });
  try {
    const subject = await opened.subject(new Recordings(await LeRobotSet.open(madeSet(made)), choices));
    await body(subject as Subject<Held>, () => opened.load({}), notes);
    await subject.close();
  } finally {
    await opened.release();
  }
}

describe("the release on recorded sets", () => {
  it("sees five frames of 5 Hz, and poses relative to the present one", { timeout: 240_000 }, async () => {
    await withSubject(
      "bridge",
      set(5),
      { choices: { embodiment: "bridge" } },
      async (subject, load, notes) => {
        expect(subject.items.count).toBe(2);
        expect(notes.at(-1)).toContain(
          "arm: 2 windows of 2 episodes at 5 frames a second; states and actions as of bridge",
        );
        const item = (await subject.items.read(0)) as Episode;
        // Frames 0 to 34 of 40 have 5 poses behind them.
        expect([item.id, item.prompt]).toEqual(["episode 0, frame 17", "push the red block up"]);
        const area = 32 * 192;
        for (let f = 0; f < 5; f++) expect(item.context[f * area]).toBeCloseTo(2 * ((13 + f) / 255 - 0.5), 6);
        expect(item.state.length).toBe(10);
        expect(item.state[9]).toBeCloseTo(0.5, 6);
        expect([0, 1, 2, 3, 4].map((t) => item.actions![t * 10 + 9])).toEqual([1, 0, 1, 0, 1]);
        await load();
        const encoded = await subject.encode(item, 1);
        for await (const state of subject.denoise(encoded, [subject.noise(item, 0)], { last: 0 })) {
          const taps = [{ tap: await state.tap("hidden"), time: state.time }];
          const [reading] = await subject.read(taps, encoded, [[subject.readNoise(item, 0)]], undefined, {});
          expect(reading.values.length).toBe(5 * 10);
          expect(reading.values.every(Number.isFinite)).toBe(true);
        }
      },
    );
  });

  it(
    "takes every fourth frame of 20 Hz, and the future where it is asked for",
    { timeout: 240_000 },
    async () => {
      const options = { oracle: true, choices: { embodiment: "libero", every: 2.5 } };
      await withSubject("libero", set(20), options, async (subject, _, notes) => {
        // Eight frames of the future are 1.6 s: of 8 s the windows at 0, 2.5 and 5 s are whole, of 4 s that at 0.
        expect(subject.items.count).toBe(4);
        expect(notes.at(-1)).toContain("2 left out");
        const item = (await subject.items.read(1)) as Episode & { recorded: Float32Array };
        expect([item.id, item.labels]).toEqual(["episode 0, frame 50", { recording: "episode 0" }]);
        const area = item.recorded.length / 3 / 13;
        for (let f = 0; f < 13; f++)
          expect(item.recorded[f * area]).toBeCloseTo(2 * ((34 + 4 * f) / 255 - 0.5), 5);
        const first = (await subject.items.read(0)) as Episode;
        for (let f = 0; f < 5; f++) expect(first.context[f * area]).toBeCloseTo(-1, 5);
        expect(item.actions!.length).toBe(8 * 10);
        expect([0, 1].map((t) => item.actions![t * 10 + 1])).toEqual([0.2, 0.2].map(Math.fround));
      });
    },
  );

  it(
    "refuses other rates, other families, and vectors that do not say what they are",
    { timeout: 240_000 },
    async () => {
      const open = (fps: number, choices: Choices): Promise<void> =>
        withSubject("bridge", set(fps), { choices }, async () => {});
      await expect(open(8, { embodiment: "bridge" })).rejects.toThrow(
        "8 frames a second; a moment -0.8 s from now is -6.400",
      );
      await expect(open(5, { embodiment: "libero" })).rejects.toThrow(
        'the model\'s statistics are of "bridge"',
      );
      await expect(open(5, {})).rejects.toThrow("does not say how it means rotations");
    },
  );
});
