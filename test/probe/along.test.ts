/** What is kept along a trajectory, in the middle of an experiment: every number is of the right seed and step, whatever the batches. */
import { describe, expect, it } from "vitest";
import type { EpisodeMeasurement, ProbeSettings } from "../../src/probe/experiment/measurement.ts";
import { runProbe } from "../../src/probe/experiment/run.ts";
import { shuffles } from "../../src/probe/taps/sample.ts";
import { probeResult } from "../../src/probe/result/result.ts";
import { testGpu } from "../support/gpu.ts";
import { CHANNELS, FLOPS, labelled, PROVENANCE, STEPS, tapOf, TOKENS, type Watched } from "./labelled.ts";
import { ckaOf, cosineOf, rowsOf } from "./taps-reference.ts";

const SETTINGS = {
  modelDir: "",
  probeSteps: [0, 2],
  videoSeeds: [5, 3],
  actionSeeds: [1, 4, 6],
  episodes: "all",
} satisfies ProbeSettings;
const PROBED = [0, 2, STEPS];

async function measured(mostCopies: number, budget = 1 << 20) {
  const gpu = await testGpu();
  const watched: Watched = { batches: [], followed: [], held: 0 };
  const before = gpu.memory.usage.inUse;
  const subject = labelled(gpu, watched, { mostCopies, budget });
  const measurement = await runProbe({ subject, provenance: PROVENANCE }, SETTINGS, {});
  expect(gpu.memory.usage.inUse).toBe(before);
  return measurement;
}

const labelOf = ({ episode }: EpisodeMeasurement, seed: number, step: number): number =>
  100 * episode + 10 * seed + step;

describe.each([
  [2, 1 << 20],
  [1, 1 << 20],
  [2, 1],
])("along trajectories of %i copies, a budget of %i bytes", (mostCopies, budget) => {
  it("taps are compared with those of their own trajectory", async () => {
    const { episodes } = await measured(mostCopies, budget);
    for (const episode of episodes) {
      expect(episode.tapSample).toEqual({ rows: [TOKENS], tokens: [TOKENS] });
      SETTINGS.videoSeeds.forEach((seed, v) => {
        const taps = PROBED.map((step) => rowsOf(tapOf(labelOf(episode, seed, step)), TOKENS, CHANNELS));
        for (const [i, x] of taps.entries())
          for (const [j, y] of taps.entries()) {
            const at = (v * PROBED.length + i) * PROBED.length + j;
            const [a, b] = i < j ? [x, y] : [y, x];
            const orders = shuffles(TOKENS);
            const null_ = (of: typeof cosineOf): number =>
              orders.reduce(
                (sum, order) =>
                  sum +
                  of(
                    a,
                    order.map((p) => b[p]),
                  ) /
                    orders.length,
                0,
              );
            expect(episode.tapCosine![at]).toBeCloseTo(cosineOf(x, y), 5);
            expect(episode.tapCka![at]).toBeCloseTo(ckaOf(x, y), 4);
            expect(episode.tapCosineNull![at]).toBeCloseTo(null_(cosineOf), 5);
            expect(episode.tapCkaNull![at]).toBeCloseTo(null_(ckaOf), 4);
          }
      });
    }
  });

  it("and so are states", async () => {
    const { episodes } = await measured(mostCopies, budget);
    for (const episode of episodes)
      SETTINGS.videoSeeds.forEach((seed, v) => {
        const taps = PROBED.map((step) => tapOf(labelOf(episode, seed, step)));
        const states = PROBED.map((step) => labelOf(episode, seed, step) ** 2);
        const drift = [1, 2].map(
          (k) => Math.hypot(...taps[k].map((x, i) => x - taps[k - 1][i])) / Math.hypot(...taps[k]),
        );
        const own = episode.tapDrift!.subarray(3 * v, 3 * v + 3);
        expect(own[0]).toBe(Infinity);
        expect(own[1]).toBeCloseTo(drift[0], 5);
        expect(own[2]).toBeCloseTo(drift[1], 5);
        const [first, second] = [(states[1] - states[0]) / 2, states[2] - states[1]];
        const turn = episode.velocityChange!.subarray(3 * v, 3 * v + 3);
        expect([turn[0], turn[1]]).toEqual([Infinity, Infinity]);
        expect(turn[2]).toBeCloseTo(Math.abs(second - first) / Math.abs(second), 3);
      });
  });

  it("operations are counted by part, for one trajectory and one reading", async () => {
    const measurement = await measured(mostCopies, budget);
    for (const { flops } of measurement.episodes)
      expect(flops).toMatchObject({
        ...{
          encode: FLOPS.encode / mostCopies,
          trajectory: FLOPS.call * (STEPS + 1),
          readOut: FLOPS.reading,
        },
      });
    const { flops } = probeResult(measurement);
    expect(flops).toMatchObject({ calls: STEPS + 1, network_call: FLOPS.call });
    expect(flops!.grid_share).toBeCloseTo((PROBED.length * FLOPS.reading) / (FLOPS.call * (STEPS + 1)), 10);
    const names = measurement.timing.parts!.map(({ name }) => name);
    for (const part of ["encode", "trajectory", "read-out", "controls", "similarity"])
      expect(names).toContain(part);
  });
});

it("the result says it, with null where nothing stands before", async () => {
  const { tap_similarity, signals, by_part } = probeResult(await measured(2));
  expect(tap_similarity).toMatchObject({ rows: [TOKENS], tokens: [TOKENS] });
  for (const matrix of [tap_similarity!.cosine, tap_similarity!.cka])
    matrix.forEach((row, i) => expect(row[i]).toBeCloseTo(1, 6));
  expect(signals.tap_drift!.flat().map((row) => row[0])).toEqual(new Array(8).fill(null));
  expect(signals.velocity_change!.flat().every(([a, b, c]) => a === null && b === null && c! > 0)).toBe(true);
  expect(by_part).toMatchObject([{ name: "label", kind: "squared", unit: "1", events: null }]);
});
