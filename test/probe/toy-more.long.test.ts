/**
 * All 64 episodes of the toy's default data: against what PyTorch computed from the same weights, episodes and noise, and, with two seeds of
 * our own noise, what the report says of them.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { findings } from "../../src/probe/report/findings.ts";
import type { ProbeResult } from "../../src/probe/result/result.ts";
import { verdictHeadline } from "../../src/probe/result/sentences.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const AXES = ["mse_to_truth", "mse_to_last"] as const;
type Axis = (typeof AXES)[number];

interface PerEpisode {
  video_axis_per_episode: Record<Axis, number[][]>;
}

interface Reference extends PerEpisode {
  video_axis: Record<Axis, number[]>;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "toy-more-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const readJson = async <T>(file: string): Promise<T> => JSON.parse(await readFile(file, "utf8")) as T;

async function probe(name: string, ...words: string[]): Promise<ProbeResult> {
  const out = join(folder, name);
  const all = ["dist/probe.js", "--episodes", "all", "--quiet", "--out", out, ...words];
  await promisify(execFile)(process.execPath, all, { cwd: root });
  return readJson<ProbeResult>(join(out, "probe.json"));
}

const relative = (ours: number, truth: number): number =>
  truth === 0 ? Math.abs(ours) : Math.abs(ours / truth - 1);

it("errors of every probed step within 0.01 %, and the true answer", { timeout: 7_200_000 }, async () => {
  const noise = join(root, "weights/toy/more/noise.safetensors");
  const result = await probe("noise", "--noise", noise, "--probe-steps", "0,5,10,20,30,40,50");
  const reference = await readJson<Reference>(join(root, "weights/toy/more/reference.json"));
  const float64 = await readJson<PerEpisode>(join(root, "test/probe/toy-more-float64.json"));
  expect(result.episodes.map(({ index }) => index)).toEqual(Array.from({ length: 64 }, (_, e) => e));

  const inexact: string[] = [];
  for (const axis of AXES) {
    reference.video_axis[axis].forEach((mean, k) => {
      const ours = result.video_axis[axis]![k];
      expect(relative(ours, mean), `${axis}, point ${k}`).toBeLessThanOrEqual(1e-4);
    });
    float64.video_axis_per_episode[axis].forEach((points, e) =>
      points.forEach((exact, k) => {
        const where = `${axis}, episode ${e}, point ${k}`;
        const ours = result.video_axis_per_episode[axis]![e][k];
        const torch = reference.video_axis_per_episode[axis][e][k];
        expect(relative(ours, exact), `${where}, double precision`).toBeLessThanOrEqual(1e-4);
        if (relative(torch, exact) > 1e-4) inexact.push(where);
        else expect(relative(ours, torch), where).toBeLessThanOrEqual(1e-4);
      }),
    );
  }
  // One value of 896 in which PyTorch's float32 is itself off by more, 0.0181 % (ours by 0.0004 % there, by 0.0043 % at most; SwiftShader 5.0.0,
  // 2026-11-26): the episode's decode at step 0 amplifies what its hidden states differ by. One thread in the place of several moves PyTorch's
  // own by 0.0161 %.
  expect(inexact).toEqual(["mse_to_last, episode 13, point 0"]);

  // One evaluation on pure noise is as good as 40 steps, and the last step is worse than all of them.
  expect(result.verdict.step).toBe(0);
  expect(result.verdict.better_steps).toEqual([0, 5, 10, 20, 30, 40]);
});

it(
  "with two seeds the report says what is true of the toy, from its numbers",
  { timeout: 7_200_000 },
  async () => {
    const result = await probe("seeds", "--video-seeds", "2", "--probe-steps", "0,10,20,40,50");
    const { verdict, video_axis, video_axis_interval, controls, spread_by_label, between_seeds } = result;
    expect(result.episodes.length).toBe(64);
    const said = Object.fromEntries(findings(result).map(({ about, says }) => [about, says]));

    // An earlier step is as good as the last: one evaluation on pure noise.
    expect(verdict).toMatchObject({ status: "sufficient", step: 0 });
    expect(verdict.difference_interval![0].high).toBeLessThanOrEqual(verdict.margin!);
    expect(verdictHeadline(result)).toBe("Sufficient video step: 0 of 50.");
    expect(said["Steps against the last"]).toMatch(/^Better than step 50: 0 by /);

    // Where the prompt leaves open what is to be done, seeds differ more.
    expect(between_seeds.video).toBeGreaterThan(0);
    const [ambiguity] = spread_by_label.filter(
      ({ seeds, label }) => seeds === "video" && label === "ambiguity",
    );
    expect(ambiguity.values.map(({ value }) => value)).toContain("unambiguous");
    expect(ambiguity.contrast!.interval!.at(-1)!.low).toBeGreaterThan(0);
    expect(said["Change and chance"]).toContain(
      "Over video seeds ambiguous prompts spread more than unambiguous ones",
    );

    // A context of zeros and that of another episode are worse than an episode's own, beyond the intervals of both.
    const own = video_axis_interval.mse_to_truth!.at(-1)!;
    for (const control of [controls.zeroed_context, controls.other_episode_context]) {
      expect(control!.to_truth!.mean).toBeGreaterThan(video_axis.mse_to_truth!.at(-1)!);
      expect(control!.to_truth!.interval!.low).toBeGreaterThan(own.high);
    }
    expect(said["Does the action use the context"]).toMatch(
      /zeroed context the error is .* times that with its own\. With another/,
    );
    expect(said["Does the action use the context"]).not.toMatch(/hint|no larger/);
  },
);
