/** When the action of one scene stops moving, and what is said of it. */
import { describe, expect, test } from "vitest";
import { pictureSentence, sceneSentences, settlingSentences, type ShownScene } from "../../demo/answer.ts";
import { pictureError } from "../../demo/pixels.ts";
import type { EpisodeView, ModelView, StateView } from "../../demo/protocol.ts";
import { settling } from "../../demo/settling.ts";

const STEPS = [0, 5, 10, 20, 50];
const size = 6;
/** A chunk at so many hundredths of the way from standing still (1) to the final action (0), squared distances being shares. */
const at = (share: number, end = 1): Float32Array => new Float32Array(size).fill(end - Math.sqrt(share));
const still = new Float32Array(size);
const decodesOf = (...seeds: number[][]): Float32Array[][] =>
  STEPS.map((_, k) => seeds.map((shares) => at(shares[k])));

describe("settling", () => {
  test("is the first probed step from which every later one is below 5 % too", () => {
    const found = settling(STEPS, decodesOf([0.4, 0.2, 0.049, 0.03, 0]), { holdStill: still })!;
    expect(found.step).toBe(10);
    expect(found.against).toBe("standing still");
    expect(found.moved[1][0]).toBeCloseTo(0.2, 6);
    // It comes back: being near once is not having settled.
    expect(settling(STEPS, decodesOf([0.4, 0.01, 0.2, 0.03, 0]), { holdStill: still })!.step).toBe(20);
    expect(settling(STEPS, decodesOf([0.4, 0.2, 0.2, 0.06, 0]), { holdStill: still })!.step).toBe(50);
    expect(settling(STEPS, decodesOf([0.04, 0.02, 0.03, 0.01, 0]), { holdStill: still })!.step).toBe(0);
  });

  test("needs every seed, and says what each would have alone", () => {
    const found = settling(STEPS, decodesOf([0.4, 0.01, 0.01, 0.01, 0], [0.4, 0.3, 0.2, 0.01, 0]), {
      holdStill: still,
    })!;
    expect(found.step).toBe(20);
    expect(found.stepOfSeed).toEqual([5, 20]);
    expect(found.apart).toBeCloseTo(0, 12);
  });

  test("knows where a straight path would be as near", () => {
    // 0.8·(1 − k/50)² < 0.05 from k = 37.5 on.
    const start = settling(STEPS, decodesOf([0.8, 0.5, 0.2, 0.01, 0]), { holdStill: still })!;
    expect(start.straightStep).toBe(38);
    expect(settling(STEPS, decodesOf([0.01, 0, 0, 0, 0]), { holdStill: still })!.straightStep).toBe(0);
  });

  test("falls back on other measures, and says nothing where there is none", () => {
    const decodes = decodesOf([0.4, 0.2, 0.1, 0.03, 0]);
    expect(settling(STEPS, decodes, { datasetMean: still })!.against).toBe("the mean action");
    expect(settling(STEPS, decodes, {})!.against).toBe("its own size");
    expect(settling([50], [[at(0)]], { holdStill: still })).toBeNull();
    expect(settling(STEPS, decodes, { holdStill: at(0) })).toBeNull();
  });
});

describe("its sentences", () => {
  const said = (...seeds: number[][]): string =>
    settlingSentences(settling(STEPS, decodesOf(...seeds), { holdStill: still })!, 50).join(" ");

  test("name the step, the seeds, and the straight path", () => {
    const early = [0.8, 0.5, 0.04, 0.01, 0];
    expect(said(early, early)).toBe(
      "For this scene the action moves less than 5 % after step 10 (of 50), in each of 2 seeds. " +
        "A straight path from the first decode to the last would be that near from step 38 on.",
    );
    expect(said(early)).toMatch(/One seed: another may differ\.$/);
  });

  test("say when nothing was shown", () => {
    expect(said([0.06, 0.06, 0.055, 0.01, 0], [0.06, 0.06, 0.055, 0.01, 0])).toMatch(
      /nothing settles early here/,
    );
    expect(said([0.8, 0.5, 0.4, 0.2, 0])).toMatch(/keeps moving to the end: 20 % between steps 20 and 50/);
    expect(said([0.8, 0.5, 0.4, 0.2, 0], [0.8, 0.01, 0.01, 0.01, 0])).toMatch(
      /In 1 of 2 seeds it moves less than 5 % after step 5/,
    );
    expect(said([0.01, 0.01, 0, 0, 0])).toMatch(/hardly depends on the step/);
  });

  test("say when seeds end further apart than what is left to move", () => {
    const decodes = STEPS.map((_, k) => [
      at([0.8, 0.5, 0.04, 0.01, 0][k]),
      at([0.8, 0.5, 0.04, 0.01, 0][k], 2),
    ]);
    const found = settling(STEPS, decodes, { holdStill: still })!;
    expect(settlingSentences(found, 50).at(-1)).toMatch(/Two seeds end \d+ % apart: which one/);
    // Still on its way by more than the seeds are apart.
    const moving = STEPS.map((_, k) => [0, 0.25].map((share) => at(k < 4 ? 0.9 : share)));
    expect(settlingSentences(settling(STEPS, moving, { holdStill: still })!, 50).at(-1)).toMatch(/apart\.$/);
  });
});

const model = { chunkLength: 2, actionNames: ["x", "y", "gripper"], actionSteps: 0 } as unknown as ModelView;
const episode = { index: 3, prompt: "push", holdStill: still, truth: at(0) } as unknown as EpisodeView;
const state = (step: number, share: number, error?: number): StateView => ({
  ...{ episode: 3, step, tau: 0, frames: new Uint8ClampedArray() },
  ...{ iterates: at(share), pictureError: error },
});
const scene = (states: (StateView | undefined)[], more: Partial<ShownScene> = {}): ShownScene => ({
  ...{ model, episode, videoSteps: 50, actionSteps: 0, states },
  ...more,
});

describe("a scene", () => {
  const sentence = (shown: ShownScene): string => sceneSentences(shown).join(" ");

  test("is spoken of by its number, once it is whole", () => {
    const states = [state(0, 0.5), state(20, 0.01), state(50, 0)];
    expect(sentence(scene(states))).toMatch(
      /^For this scene \(episode 3\) the action moves less than 5 % after step 20/,
    );
    expect(sentence(scene([states[0], undefined, undefined]))).toBe("Measured at 1 step of 3.");
    expect(sentence(scene([undefined, undefined]))).toBe("");
    expect(sentence(scene([states[2]]))).toMatch(/Only the last step was probed/);
  });

  test("says that its last picture misleads only where it does", () => {
    // The truth is the action of share 0: the last decode errs by 0.3, that of step 20 by 0.01.
    const misled = [state(0, 0.5, 0.2), state(20, 0.01, 0.1), state(50, 0.3, 0.02)];
    expect(pictureSentence(scene(misled))).toMatch(
      /step 50 is the most like what was recorded .*0\.0200, 0\.100 at step 20.*worse: 0\.300 from the truth, 0\.0100 at step 20/,
    );
    const better = [state(0, 0.5, 0.2), state(20, 0.3, 0.1), state(50, 0.01, 0.02)];
    expect(pictureSentence(scene(better))).toBeUndefined();
    const blurred = [state(0, 0.5, 0.2), state(20, 0.01, 0.01), state(50, 0.3, 0.02)];
    expect(pictureSentence(scene(blurred))).toBeUndefined();
    // Worse by less than 5 % of standing still.
    const alike = [state(0, 0.5, 0.2), state(20, 0.01, 0.1), state(50, 0.05, 0.02)];
    expect(pictureSentence(scene(alike))).toBeUndefined();
    expect(pictureSentence(scene(misled, { edited: true }))).toBeUndefined();
    const unknown = [state(0, 0.5), state(20, 0.01), state(50, 0.3)];
    expect(pictureSentence(scene(unknown))).toBeUndefined();
    expect(pictureSentence(scene([misled[0], undefined, misled[2]]))).toBeUndefined();
  });
});

test("a picture's error is the mean square over colours and pixels", () => {
  const frames = Uint8ClampedArray.of(255, 0, 0, 255, 0, 0, 0, 255);
  const recorded = Uint8Array.of(0, 0, 0, 0, 0, 0);
  expect(pictureError(frames, recorded, [1, 2])).toBeCloseTo(1 / 6, 12);
  expect(pictureError(frames, recorded.subarray(1), [1, 2])).toBeUndefined();
});
