/** Taps that say whose they are: every read-out, control and resumed run must be of the right episode, seed and step. */
import { describe, expect, it } from "vitest";
import { batchSize } from "../../src/probe/experiment/reader.ts";
import type { EpisodeMeasurement, ProbeSettings, UnitStore } from "../../src/probe/experiment/measurement.ts";
import { runProbe } from "../../src/probe/experiment/run.ts";
import { testGpu } from "../support/gpu.ts";
import { labelled, PROVENANCE, STEPS, type Watched } from "./labelled.ts";

const SETTINGS = {
  modelDir: "",
  probeSteps: [0, 2],
  videoSeeds: [5, 3],
  episodes: "all",
} satisfies ProbeSettings;

async function run(
  settings: ProbeSettings,
  options: { mostCopies?: number; budget?: number; store?: UnitStore } = {},
) {
  const gpu = await testGpu();
  const watched: Watched = { batches: [], followed: [], held: 0 };
  const { mostCopies = Number.POSITIVE_INFINITY, budget = 1 << 20, store } = options;
  const before = gpu.memory.usage.inUse;
  const subject = labelled(gpu, watched, { mostCopies, budget });
  const { episodes } = await runProbe({ subject, provenance: PROVENANCE }, settings, { store });
  expect(gpu.memory.usage.inUse).toBe(before);
  expect(watched.held).toBe(0);
  return { episodes, watched };
}

/** What an episode of the list must hold, for V seeds × S seeds × K steps. */
function expected(list: readonly number[], at: number, actionSeeds: readonly number[] | "same") {
  const own = list[at];
  const other = list[(at + list.length - 1) % list.length];
  const runs = SETTINGS.videoSeeds.flatMap((seed) =>
    actionSeeds === "same" ? [[seed, seed]] : actionSeeds.map((action) => [seed, action]),
  );
  const last = (episode: number): number[] =>
    runs.map(([seed, action]) => 100 * episode + 10 * seed + STEPS + 0.5 * action);
  return {
    actions: runs.flatMap(([seed, action]) =>
      [0, 2, STEPS].map((step) => 100 * own + 10 * seed + step + 0.5 * action),
    ),
    zeroedContext: runs.map(([, action]) => 0.5 * action),
    otherContext: list.length > 1 ? last(other) : [],
    shuffledContext: last(own).map((label) => label + 0.25),
  };
}

const numbers = ({ actions, zeroedContext, otherContext, shuffledContext }: EpisodeMeasurement) => ({
  shuffledContext: [...shuffledContext!],
  actions: [...actions],
  zeroedContext: [...zeroedContext],
  otherContext: [...otherContext],
});

describe("episodes in turn", () => {
  it.each([
    ["all in one batch", {}],
    ["one trajectory at a time", { mostCopies: 1 }],
    ["one tap at a time", { budget: 1 }],
    ["both", { mostCopies: 1, budget: 1 }],
  ])("%s", async (_, options) => {
    for (const list of [[0, 1, 2, 3], [2], [3, 1]]) {
      for (const actionSeeds of [[0], [1, 4], "same"] as const) {
        const { episodes } = await run(
          { ...SETTINGS, episodes: list, actionSeeds: actionSeeds as number[] | "same" },
          options,
        );
        episodes.forEach((episode, at) => {
          expect(episode.episode).toBe(list[at]);
          expect(numbers(episode)).toEqual(expected(list, at, actionSeeds));
          expect([...episode.dataActions]).toEqual([...episode.actions].map((value) => 1000 + value));
        });
      }
    }
  });

  it.each([
    ["together", {}],
    ["one trajectory and one tap at a time", { mostCopies: 1, budget: 1 }],
  ])("whole schedules are read at their ends, %s", async (_, options) => {
    const settings = { ...SETTINGS, budgets: [1, 2], actionSeeds: [1, 4] };
    const { episodes } = await run(settings, options);
    for (const [at, episode] of episodes.entries()) {
      expect(numbers(episode)).toEqual(expected([0, 1, 2, 3], at, [1, 4]));
      const ends = SETTINGS.videoSeeds.flatMap((seed) =>
        [1, 4].flatMap((action) =>
          [1, 2, STEPS].map((n) => 100 * at + 10 * seed + n + 0.5 * action + (STEPS - n) / 128),
        ),
      );
      expect([...episode.budgetActions!]).toEqual(ends);
      expect([...episode.dataBudgetActions!]).toEqual(
        ends.map((value) => Math.fround(1000 + Math.fround(value))),
      );
    }
  });

  it.each([
    ["together", {}],
    ["one trajectory at a time", { mostCopies: 1 }],
  ])("straightness is measured where the last tap stands, when it is asked for, %s", async (_, options) => {
    for (const actionSeeds of [[4, 1], "same"] as const) {
      const settings = { ...SETTINGS, straightness: true, actionSeeds: actionSeeds as number[] | "same" };
      const { episodes } = await run(settings, options);
      for (const [at, episode] of episodes.entries()) {
        // The first of several read-outs.
        const shift = (seed: number): number => (actionSeeds === "same" ? seed : actionSeeds[0]);
        const label = (seed: number): number => 100 * at + 10 * seed + STEPS;
        expect([...episode.flowResidual!]).toEqual(
          SETTINGS.videoSeeds.flatMap((seed) => [label(seed), label(seed) + shift(seed)]),
        );
        expect([...episode.flowSpeed!]).toEqual([5, 5, 3, 3]);
        expect(episode.flowBend).toBeUndefined();
        expect(numbers(episode)).toEqual(expected([0, 1, 2, 3], at, actionSeeds));
      }
    }
    const { episodes } = await run(SETTINGS, options);
    expect(episodes.every(({ flowResidual }) => flowResidual === undefined)).toBe(true);
  });

  it("schedules that cannot be run are refused", async () => {
    await expect(run({ ...SETTINGS, budgets: [1, 4] })).rejects.toThrow(
      /--budgets 1,4: 4 is more than the 3 video steps.*budgets of 1\.\.3/,
    );
  });

  it("follows every episode once, and reads in equal batches", async () => {
    const { watched } = await run(SETTINGS);
    expect([...watched.followed].sort()).toEqual([0, 1, 2, 3]);
    // Three steps and three controls; the last episode's control with another's context waits for the one before it.
    expect(watched.batches).toEqual([6, 6, 6, 6, 1]);
    const one = await run(SETTINGS, { budget: 1 });
    expect(new Set(one.watched.batches)).toEqual(new Set([1]));
  });

  it.each([[[0, 1]], [[3]], [[1, 2, 3]], [[0, 2]]])("resumes past %j with the same numbers", async (kept) => {
    const whole = (await run(SETTINGS)).episodes;
    const saved = new Map(kept.map((e) => [e, whole[e]]));
    const store: UnitStore = {
      begin: async () => [...saved.keys()],
      load: async (episode) => saved.get(episode),
      save: async (measurement) => void saved.set(measurement.episode, measurement),
    };
    const { episodes } = await run(SETTINGS, { store });
    expect(episodes.map(numbers)).toEqual(whole.map(numbers));
    expect([...saved.keys()].sort()).toEqual([0, 1, 2, 3]);
  });
});

describe("batches", () => {
  it("are equal, at most eight, and fit the budget", () => {
    const bytes = { tap: 60, readRow: 40 };
    expect(batchSize(8, 1e6, bytes)).toBe(8);
    expect(batchSize(9, 1e6, bytes)).toBe(5);
    expect(batchSize(53, 1e6, bytes)).toBe(8);
    expect(batchSize(8, 350, bytes)).toBe(3);
    expect(batchSize(8, 10, bytes)).toBe(1);
  });
});
