/** Trials, how they are counted and kept: with policies whose answers are known. */
import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fingerprintOf, TrialStore } from "../../src/commands/rollout/trial-store.node.ts";
import { UsageError } from "../../src/errors.ts";
import { formatJson } from "../../src/probe/result/json.ts";
import type { ProbeResult } from "../../src/probe/result/result.ts";
import { shareInterval } from "../../src/probe/statistics/share.ts";
import { rolloutFigure } from "../../src/rollout/figure.ts";
import { offlineOf } from "../../src/rollout/offline.ts";
import type { Maker } from "../../src/probe/result/made-by.ts";
import { rolloutResult } from "../../src/rollout/result.ts";
import { runRollout, type TrialKeeper } from "../../src/rollout/run.ts";
import { rolloutText } from "../../src/rollout/text.ts";
import { runTrials, type Trial } from "../../src/rollout/trial.ts";
import { gaussian, seedOf } from "../../src/sampling/noise.ts";
import type { Acted, ActOptions, Observation, Policy, PolicyDescription } from "../../src/systems/policy.ts";
import { table } from "../../src/worlds/table.ts";
import type { World } from "../../src/worlds/world.ts";

const description: PolicyDescription = {
  name: "planted",
  cameras: [{ name: "image", frames: 5, interval: 1, size: [32, 32] }],
  state: ["x", "y", "gripper"],
  actions: { names: ["x", "y", "gripper"], units: ["", "", ""], positions: 24, interval: 0.5 },
  stops: { last: 50, default: 0 },
};

/** Gaussian chunks of the seed and the stop: what it was asked is remembered. */
function wandering(together: boolean): Policy & { asked: { seed: number; stop: number }[]; resets: number } {
  const act = async (_: Observation, { seed = -1, stop = -1, signal }: ActOptions = {}): Promise<Acted> => {
    signal?.throwIfAborted();
    policy.asked.push({ seed, stop });
    return { actions: gaussian(`wander ${stop}`, seed, 72), timing: {} };
  };
  const policy = {
    description,
    asked: [] as { seed: number; stop: number }[],
    resets: 0,
    reset: () => void policy.resets++,
    act,
    ...(together
      ? {
          actMany: (queries: readonly { observation: Observation; seed?: number }[], options?: ActOptions) =>
            Promise.all(queries.map(({ observation, seed }) => act(observation, { ...options, seed }))),
        }
      : {}),
    dispose: () => undefined,
  };
  return policy;
}

const nothingKept: TrialKeeper = { load: async () => undefined, save: async () => undefined };

describe("trials", () => {
  it("are the same for the same seeds, side by side or one after another, and others for others", async () => {
    const options = { stop: 3, seed: 11 };
    const first = await runTrials(wandering(true), table, [0, 1, 2], options);
    expect(first.map(({ scene }) => scene)).toEqual([0, 1, 2]);
    expect(new Set(first.map(({ trajectory }) => trajectory)).size).toBe(3);
    expect(await runTrials(wandering(true), table, [0, 1, 2], options)).toEqual(first);
    expect(await runTrials(wandering(true), table, [2], options)).toEqual(first.slice(2));
    const alone = wandering(false);
    expect(await runTrials(alone, table, [0, 1, 2], options)).toEqual(first);
    expect(alone.resets).toBe(3);
    const other = await runTrials(wandering(true), table, [0, 1, 2], { stop: 3, seed: 12 });
    expect(other.map(({ trajectory }) => trajectory)).not.toEqual(first.map(({ trajectory }) => trajectory));
  });

  it("meet the same scenes with the same noise at every stop, a fresh one at every query", async () => {
    const asked = async (stop: number) => {
      const policy = wandering(true);
      const trials = await runTrials(policy, table, [4, 5], { stop, seed: 1 });
      expect(new Set(policy.asked.map((query) => query.stop))).toEqual(new Set([stop]));
      return { seeds: policy.asked.map(({ seed }) => seed), prompts: trials.map(({ prompt }) => prompt) };
    };
    const [shallow, deep] = [await asked(0), await asked(50)];
    const both = Math.min(shallow.seeds.length, deep.seeds.length);
    expect(shallow.seeds.slice(0, both)).toEqual(deep.seeds.slice(0, both));
    expect(shallow.prompts).toEqual(deep.prompts);
    expect(new Set(shallow.seeds).size).toBe(shallow.seeds.length);
    expect(shallow.seeds[0]).toBe(seedOf("query/0/scene/4", 1));
  });

  it("end with success, or after as many queries as the world allows", async () => {
    // The expert of the trial's own scene, from wherever the gripper is: its data, eight actions at a time.
    const scenes = new Map<string, Float32Array>();
    for (let i = 0; i < 6; i++) {
      const scene = await table.scene(seedOf(`scene/${i}`, 7));
      scenes.set(`${scene.prompt} ${scene.observe().state.join()}`, scene.truth!);
    }
    const still: Policy = {
      ...wandering(false),
      act: async ({ prompt, state }) => {
        const truth = scenes.get(`${prompt} ${state.join()}`);
        return { actions: truth ?? new Float32Array(72), timing: {} };
      },
    };
    const trials = await runTrials(still, table, [0, 1, 2, 3, 4, 5], { stop: 0, seed: 7 });
    for (const { queries, scores, offline } of trials) {
      expect(offline).toBe(0);
      // The first chunk is the expert's, then nothing more is done.
      expect(queries).toBe(scores.success === 1 ? 1 : table.queries);
    }
  });

  it("stop when they are told to", async () => {
    const controller = new AbortController();
    controller.abort(new Error("enough"));
    const options = { stop: 0, seed: 0, signal: controller.signal };
    await expect(runTrials(wandering(true), table, [0], options)).rejects.toThrow("enough");
  });
});

describe("a rollout", () => {
  const settings = { stops: [0, 5], episodes: 10, seed: 3 };
  const fingerprint = { weights: "a", seed: 3 };
  const folder = () => mkdtemp(join(tmpdir(), "rollout-"));

  it("goes on where it was interrupted, to the same trials", async () => {
    const whole = await runRollout(wandering(true), table, settings, nothingKept, {});
    expect(whole.trials).toHaveLength(20);
    const out = await folder();
    const controller = new AbortController();
    const interrupted = runRollout(wandering(true), table, settings, new TrialStore(out, fingerprint), {
      signal: controller.signal,
      onTrial: (over) => over >= 8 && controller.abort(new Error("interrupted")),
    });
    await expect(interrupted).rejects.toThrow("interrupted");
    expect(await readdir(join(out, "trials"))).toEqual(["stop-0000-scenes-000000.json"]);
    // A file that was cut off is made again.
    await writeFile(join(out, "trials", "stop-0005-scenes-000000.json"), '{ "fingerprint": {');
    const progress: number[] = [];
    const resumed = await runRollout(wandering(true), table, settings, new TrialStore(out, fingerprint), {
      onTrial: (over, all) => void progress.push(over / all),
    });
    expect(resumed).toEqual({ trials: whole.trials, resumed: 8 });
    expect(progress.at(-1)).toBe(1);
    const others = new TrialStore(out, { ...fingerprint, seed: 4 });
    await expect(others.load(0, [0, 1, 2, 3, 4, 5, 6, 7])).rejects.toThrow(/seed was 3 and is now 4/);
  });

  it("are not mixed with those of other recorded episodes or other frozen parts", async () => {
    const out = await mkdtemp(join(tmpdir(), "trials-"));
    const asked = { settings: { stops: [0], episodes: 1, seed: 3 } };
    const keeper = (dataSha256?: string, frozen?: string) =>
      new TrialStore(out, fingerprintOf({ ...asked, frozen }, provenance, { ...table, dataSha256 }));
    await keeper("a1").save(0, [0], []);
    await expect(keeper("b2").load(0, [0])).rejects.toThrow(/data was a1 and is now b2/);
    await expect(keeper().load(0, [0])).rejects.toThrow(/data was a1 and is now nothing/);
    await expect(keeper("a1", "f").load(0, [0])).rejects.toThrow(/frozen was nothing and is now f/);
  });
});

const world: World = {
  ...table,
  measures: [
    { name: "won", title: "won", kind: "share" },
    { name: "far", title: "how far", kind: "amount", units: "m" },
  ],
};

const provenance: Maker = {
  model: {
    ...{ name: "planted", revision: "unversioned", weightsSha256: "ab".repeat(32), trainedOn: "toy" },
    ...{ system: "mimic-video", stamp: {} },
  },
  device: { name: "paper", driver: "pencil", adapter: "none", software: true },
  dtype: "f32",
  versions: { project: "0", node: "0" },
};

/** Ten scenes at two stops: 8 and 5 won; the third does not apply at the first. */
const planted: Trial[] = [0, 50].flatMap((stop) =>
  Array.from({ length: 10 }, (_, scene): Trial => ({
    ...{ scene, stop, prompt: `p${scene}`, labels: {}, queries: 9, trajectory: "0" },
    scores: {
      won: Number(scene < (stop === 0 ? 8 : 5)),
      far: stop === 0 && scene === 2 ? null : scene / 10 + stop / 100,
    },
    offline: (scene % 2) + stop / 50,
  })),
);
const asked = { stops: [0, 50], episodes: 10, seed: 0 };

describe("what is counted", () => {
  it("shares by Wilson's interval", () => {
    // Newcombe 1998, table I: 81 of 263, and none of 20.
    const found = shareInterval(81, 263);
    expect([found.low.toFixed(4), found.high.toFixed(4)]).toEqual(["0.2553", "0.3662"]);
    expect(shareInterval(0, 20).low).toBe(0);
    expect(shareInterval(0, 20).high).toBeCloseTo(0.1611, 4);
    expect(shareInterval(20, 20).low).toBeCloseTo(1 - 0.1611, 4);
    expect(() => shareInterval(3, 2)).toThrow(UsageError);
    expect(() => shareInterval(0, 0)).toThrow(UsageError);
  });

  it("means, differences on the same scenes, and the offline error of the same trials", () => {
    const { measures, offline, trials } = rolloutResult([...planted].reverse(), world, asked, provenance);
    const [won, far] = measures;
    expect(won.stops.map(({ mean, trials }) => [mean, trials])).toEqual([
      [0.8, 10],
      [0.5, 10],
    ]);
    expect(won.stops[0].interval).toEqual(shareInterval(8, 10));
    expect(won.stops[0].minus_last!.mean).toBeCloseTo(0.3, 12);
    expect(won.stops[1].minus_last).toBeNull();
    expect(far.stops.map(({ trials }) => trials)).toEqual([9, 10]);
    // Everywhere 0.5 less: the scenes say nothing about how far others would differ.
    expect(far.stops[0].minus_last!.mean).toBeCloseTo(-0.5, 12);
    expect(far.stops[1].mean).toBeCloseTo(0.95, 12);
    expect(offline!.stops.map(({ mean }) => mean)).toEqual([0.5, 1.5]);
    for (const { interval, mean } of [...far.stops, ...offline!.stops]) {
      expect(interval!.low).toBeGreaterThanOrEqual(0);
      expect(interval!.low).toBeLessThan(mean!);
      expect(interval!.high).toBeGreaterThan(mean!);
    }
    expect(trials.map(({ stop, scene }) => 100 * stop + scene)).toEqual(
      [...trials.keys()].map((i) => (i < 10 ? i : 5000 + i - 10)),
    );
  });

  it("trials of one scene as one piece of evidence", () => {
    // Every scene twice: as much evidence as once.
    const twice = planted.flatMap((trial) => {
      const one = { ...trial, labels: { episode: `e${trial.scene}` } };
      return [one, { ...one, scene: trial.scene + 10 }];
    });
    const once = rolloutResult(planted, world, asked, provenance);
    const found = rolloutResult(
      twice,
      { ...world, repeats: "episode" },
      { ...asked, episodes: 20 },
      provenance,
    );
    expect(found.measures).toEqual(once.measures);
    expect(found.offline).toEqual(once.offline);
    const apart = rolloutResult(twice, world, { ...asked, episodes: 20 }, provenance);
    expect(apart.measures[0].stops[0].trials).toBe(20);
  });

  it("is written the same twice, drawn, and said", () => {
    const result = rolloutResult(planted, world, asked, provenance);
    expect(formatJson(rolloutResult(planted, world, asked, provenance))).toBe(formatJson(result));
    const { data, layout } = rolloutFigure(result);
    expect(data.map(({ name }) => name)).toEqual([
      "Won",
      "How far, m",
      "Offline error, squared units of the actions",
    ]);
    const [{ y, error_y }] = data as { y: number[]; error_y: { array: number[]; arrayminus: number[] } }[];
    expect(y).toEqual([80, 50]);
    expect(error_y.array[0]).toBeCloseTo(100 * shareInterval(8, 10).high - 80, 9);
    expect(JSON.stringify(layout)).toContain("say nothing about robots");
    const text = rolloutText(result, [["figure", "x.png"]], 12);
    expect(text).toContain("80 % (49–94)");
    expect(text).toContain("x.png");
  });
});

describe("the offline error of a probe", () => {
  const interval = [0, 1, 2].map((k) => ({ low: k, high: k + 2 }));
  const probe = {
    model: { weights_sha256: "ab".repeat(32) },
    probe_steps: [0, 20, 50],
    episodes: [{}, {}, {}],
    video_axis: { mse_to_truth: [1, 2, 3] },
    video_axis_interval: { mse_to_truth: interval },
  } as unknown as ProbeResult;
  const ours = { stops: [0, 50], weightsSha256: "ab".repeat(32) };

  it("is that of the same stops", () => {
    const { stops } = offlineOf(probe, ours, "probe.json");
    expect(stops).toEqual([
      { stop: 0, trials: 3, mean: 1, interval: interval[0] },
      { stop: 50, trials: 3, mean: 3, interval: interval[2] },
    ]);
  });

  it("is refused where it is of something else", () => {
    const other = { ...ours, weightsSha256: "cd".repeat(32) };
    expect(() => offlineOf(probe, other, "probe.json")).toThrow(/weights abababababab.*cdcdcdcdcdcd/);
    expect(() => offlineOf(probe, { ...ours, stops: [5] }, "probe.json")).toThrow(/0, 20, 50 and not 5/);
    const blind = { ...probe, video_axis: { ...probe.video_axis, mse_to_truth: null } };
    expect(() => offlineOf(blind, ours, "probe.json")).toThrow(/no true actions/);
  });
});
