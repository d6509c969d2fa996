/** The verdict that fills in: of all episodes it is the result's, and of some that of a run of those. */
import { describe, expect, test } from "vitest";
import { soFarSentence } from "../../demo/answer.ts";
import { type Decoded, SoFar, verdictSoFar } from "../../demo/so-far.ts";
import type { StateView } from "../../demo/protocol.ts";
import type { ProbeMeasurement } from "../../src/probe/experiment/measurement.ts";
import { probeResult } from "../../src/probe/result/result.ts";
import type { Item } from "../../src/probe/subject.ts";
import { referenceMeasurement } from "../probe/fixture.ts";

/** Of a measurement, what the page has seen of each episode. */
function decodedOf({ episodes, settings, chunkLength, actionNames }: ProbeMeasurement): Decoded[] {
  const K = settings.probeSteps.length;
  const size = chunkLength * actionNames.length;
  return episodes.map((episode) => {
    const runs = episode.actions.length / (K * size);
    const actions = new Float32Array(episode.actions.length);
    for (let run = 0; run < runs; run++)
      for (let k = 0; k < K; k++)
        actions.set(
          episode.actions.subarray((run * K + k) * size, (run * K + k + 1) * size),
          (k * runs + run) * size,
        );
    const { id, prompt, labels, truth, truthPositions, holdStill } = episode;
    return { index: episode.episode, id, prompt, labels, truth, truthPositions, holdStill, actions };
  });
}

const soFarOf = (measurement: ProbeMeasurement, found = decodedOf(measurement)) => {
  const { settings, chunkLength, actionNames, actionTimes, datasetMean } = measurement;
  const sizes = {
    positions: chunkLength,
    dimensions: actionNames.length,
    actionSteps: actionTimes.length - 1,
  };
  return verdictSoFar(found, settings, sizes, datasetMean);
};

describe("a verdict so far", () => {
  test("is the result's when all episodes are there, in whatever order they came", () => {
    const measurement = referenceMeasurement();
    const result = probeResult(measurement);
    const soFar = soFarOf(measurement, decodedOf(measurement).reverse());
    expect(soFar.verdict).toEqual(result.verdict);
    expect(soFar.toTruth).toEqual({
      mean: result.video_axis.mse_to_truth,
      interval: result.video_axis_interval.mse_to_truth,
    });
    expect(soFar.toLast.mean).toEqual(result.video_axis.mse_to_last);
    expect(soFar.episodes).toEqual(result.episodes.map(({ index }) => index));
    expect(soFarSentence(soFar)).toMatch(/^8 of 8 episodes; /);
  });

  test("of some episodes is that of a run of those, and is none", () => {
    const whole = referenceMeasurement();
    const some = { ...whole, episodes: whole.episodes.slice(2, 5) };
    const soFar = soFarOf(whole, decodedOf(some));
    const { verdict } = probeResult({
      ...some,
      settings: { ...whole.settings, episodes: some.episodes.map(({ episode }) => episode) },
    });
    expect(soFar.verdict).toEqual(verdict);
    expect(soFar.verdict.step).toBeNull();
    expect(soFarSentence(soFar)).toMatch(
      /^3 of 8 episodes; no verdict yet\. Step 40 errs by .* against step 50; to be not worse, at most .* 8 are the fewest/,
    );
  });

  test("knows no truth where one episode has none", () => {
    const measurement = referenceMeasurement();
    measurement.episodes[1].truth = undefined;
    const soFar = soFarOf(measurement);
    expect(soFar.toTruth).toBeNull();
    expect(soFarSentence(soFar)).toMatch(/true actions are not known/);
  });

  test("comes with every episode's last state", () => {
    const settings = { episodes: [4, 7], probeSteps: [0, 2] };
    const sizes = { positions: 2, dimensions: 1, actionSteps: 1 };
    const soFar = new SoFar(settings, sizes, undefined);
    // (runs, M + 1, T, D): two runs, of which the second half of each is the end
    const state = (episode: number, step: number, value: number): StateView => ({
      ...{ episode, step, tau: 0, frames: new Uint8ClampedArray() },
      iterates: Float32Array.of(9, 9, value, value, 9, 9, value, value),
    });
    const item = (index: number): Item => ({
      index,
      id: `e${index}`,
      prompt: "",
      truth: new Float32Array(2),
    });
    expect(soFar.add(state(7, 0, 2), item(7), undefined)).toBeUndefined();
    const first = soFar.add(state(7, 2, 1), item(7), undefined)!;
    expect(first.toTruth!.mean).toEqual([4, 1]);
    expect(first.toLast.mean).toEqual([1, 0]);
    soFar.add(state(4, 0, 4), item(4), undefined);
    const both = soFar.add(state(4, 2, 3), item(4), undefined)!;
    expect(both.episodes).toEqual([4, 7]);
    expect(both.toTruth!.mean).toEqual([10, 5]);
  });
});
