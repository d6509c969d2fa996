/** The recording that ships, against the same run made again: by its script, and by the command line that it names. */
import { readFileSync, statSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { computeRecording, SETTINGS } from "../../demo/recording/compute.node.ts";
import { encodeRecording } from "../../demo/recording/make.node.ts";
import { type Recording, readRecording } from "../../demo/recording/recording.ts";
import { readOptions } from "../../src/commands/probe/options.ts";
import { probeCommand } from "../../src/commands/probe/settings.ts";
import { runProbeHere } from "../../src/commands/probe/run.node.ts";

const FILE = "demo/recording/recording.safetensors.gz";

/** Iterates are kept as float16, whose steps near 2 are 2⁻¹⁰; adapters differ by far less. */
const HALF = 1.5e-3;

let kept: Recording;

beforeAll(async () => {
  kept = await readRecording(gunzipSync(readFileSync(FILE)));
});

const furthest = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  expect(a.length).toBe(b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i] - b[i]));
  return most;
};

describe("the recording", () => {
  test("is small, and says what it is of", () => {
    expect(statSync(FILE).size).toBeLessThan(300_000);
    expect(kept.settings).toEqual(SETTINGS);
    expect(kept.states.map(({ step }) => step)).toEqual(SETTINGS.probeSteps);
    expect(kept.states.map(({ tau }) => Number(tau.toFixed(4)))).toEqual([
      1, 0.9, 0.8, 0.7, 0.6, 0.4, 0.2, 0,
    ]);
    expect(kept.model.episodes).toHaveLength(8);
    expect(kept.verdict.sentence).toMatch(/^Over 64 episodes .* after \d+ of 50 steps/);
    expect(kept.verdict.numbers).toMatch(/over 64 episodes: 0\.\d+ at step \d+, 0\.\d+ at step 50/);
    expect(kept.verdict.command).toBe("npm run probe -- --episodes all");
  });

  test("is what its script computes", async () => {
    const settings = { ...SETTINGS, probeSteps: [0, 20, 50] };
    const { model, states, provenance } = await computeRecording("weights/toy", settings, "software");
    expect(kept.madeBy.weightsSha256).toBe(provenance.model.weightsSha256);
    expect(kept.madeBy.dataSha256).toBe(provenance.data.sha256);
    expect(kept.model).toEqual(model);
    for (const state of states) {
      const own = kept.states.find(({ step }) => step === state.step)!;
      expect(own.tau).toBe(state.tau);
      expect(own.pictureError).toBeCloseTo(state.pictureError!, 4);
      expect(furthest(own.frames, state.frames), `frames of step ${state.step}`).toBeLessThanOrEqual(2);
      expect(furthest(own.iterates, state.iterates), `actions of step ${state.step}`).toBeLessThan(HALF);
    }
    // What is written can be read: everything but the precision of the iterates.
    const again = await readRecording(
      await encodeRecording({ model, states, provenance }, settings, kept.verdict),
    );
    expect(again.model).toEqual(model);
    expect(again.verdict).toEqual(kept.verdict);
    again.states.forEach((state, k) => {
      expect(state.frames).toEqual(states[k].frames);
      expect(furthest(state.iterates, states[k].iterates)).toBeLessThan(HALF);
    });
  });

  test("has the numbers of the command that it names", async () => {
    const words = kept.command.replace("npm run probe -- ", "").split(" ");
    const { settings } = probeCommand(readOptions(words), "weights/toy");
    const { videoSteps, videoSeeds, actionSeeds, episodes, probeSteps } = settings;
    expect({ videoSteps, videoSeeds, actionSeeds, probeSteps }).toEqual({
      ...{ videoSteps: SETTINGS.videoSteps, videoSeeds: SETTINGS.videoSeeds },
      ...{ actionSeeds: SETTINGS.actionSeeds, probeSteps: SETTINGS.probeSteps },
    });
    expect(episodes).toEqual([SETTINGS.episode]);
    const { episodes: measured } = await runProbeHere(
      { ...settings, modelDir: "weights/toy", adapter: "software", probeSteps: [5, 50] },
      {},
    );
    const { iterates } = measured[0]; // (V, S, K, M + 1, T, D)
    const each = iterates.length / 2 / 2;
    const own = [kept.states[1], kept.states.at(-1)!];
    for (const v of [0, 1])
      for (const k of [0, 1]) {
        const here = own[k].iterates.subarray(v * each, (v + 1) * each);
        const there = iterates.subarray((v * 2 + k) * each, (v * 2 + k + 1) * each);
        expect(furthest(here, there), `seed ${v}, step ${own[k].step}`).toBeLessThan(HALF);
      }
  });

  test("refuses what is none", async () => {
    await expect(readRecording(new Uint8Array(4))).rejects.toThrow(/recording/);
  });
});
