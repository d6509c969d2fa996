/** The toy acting on its table, and the command around it. */
import { mkdtemp, readFile, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type RolloutSurroundings, runRolloutCommand } from "../../src/commands/rollout/command.node.ts";
import { runRolloutHere } from "../../src/commands/rollout/run.node.ts";
import type { Figure } from "../../src/probe/figure/figure.ts";
import type { RolloutResult } from "../../src/rollout/result.ts";
import { runTrials } from "../../src/rollout/trial.ts";
import { seedOf } from "../../src/sampling/noise.ts";
import { mimicVideo } from "../../src/systems/mimic-video/system.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import { worldOf } from "../../src/worlds/registry.ts";
import { table } from "../../src/worlds/table.ts";
import { testGpu } from "../support/gpu.ts";

describe("the toy on its table", { timeout: 300_000 }, () => {
  it("takes the same way twice, and errs as its first answer does", async () => {
    const opened = await mimicVideo.open(await testGpu(), await openModelFolder("weights/toy"), {});
    const policy = await opened.policy!();
    expect(worldOf(policy.description)).toBe(table);
    await opened.load({});
    const short = { ...table, queries: 2 };
    const options = { stop: 1, seed: 5 };
    const [first, again] = [
      await runTrials(policy, short, [0, 1], options),
      await runTrials(policy, short, [0, 1], options),
    ];
    expect(again).toEqual(first);
    const other = await runTrials(policy, { ...table, queries: 1 }, [0, 1], { ...options, stop: 0 });
    expect(other[0].prompt).toBe(first[0].prompt);
    expect(other[0].offline).not.toBe(first[0].offline);

    const scene = await table.scene(seedOf("scene/1", 5));
    const { actions } = await policy.act(scene.observe(), { stop: 1, seed: seedOf("query/0/scene/1", 5) });
    const error = actions.reduce((sum, value, i) => sum + (value - scene.truth![i]) ** 2, 0) / 72;
    expect(first[1].offline).toBeCloseTo(error, 4);
    // An answer that has to do with the scene: holding still errs by about 1 (weights/toy/README.md).
    expect(error).toBeLessThan(0.6);
    policy.dispose();
    await opened.release();
  });
});

/** Runs the command; what it prints and draws. */
async function command(...words: string[]) {
  const said: string[] = [];
  const drawn: Figure[] = [];
  const stream = { write: (text: string) => said.push(text) };
  const surroundings: RolloutSurroundings = {
    ...{ program: ["node", "dist/rollout.js"], stdout: stream, stderr: stream },
    loadRunner: async () => runRolloutHere,
    drawPng: async (figure) => {
      drawn.push(figure);
      return new Uint8Array(1);
    },
    signal: new AbortController().signal,
  };
  const code = await runRolloutCommand(words, surroundings);
  return { code, said: said.join(""), drawn };
}

describe("the command", { timeout: 300_000 }, () => {
  const folder = () => mkdtemp(join(tmpdir(), "rollout-"));

  it("writes result, figure and how it went; a used folder is refused, a finished run is read again", async () => {
    const out = await folder();
    const words = ["--model", "weights/toy", "--stop", "0", "--episodes", "1", "--out", out];
    const { code, said, drawn } = await command(...words);
    expect(said).toContain("trials a stop in the toy's table");
    expect(code).toBe(0);
    expect(drawn).toHaveLength(1);
    const result = JSON.parse(await readFile(join(out, "rollout.json"), "utf8")) as RolloutResult;
    expect(result).toMatchObject({
      schema: "mimic-video-rollout",
      version: 1,
      stops: [0],
      episodes: 1,
      seed: 0,
    });
    expect(result.model.weights_sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(result.trials).toHaveLength(1);
    expect(result.measures.map(({ name }) => name)).toContain("success");
    const run = JSON.parse(await readFile(join(out, "run.json"), "utf8")) as { command: string };
    expect(run.command).toContain("mimic-video-rollout --model weights/toy");
    await stat(join(out, "rollout.png"));
    for (const again of [words, [...words, "--resume"]]) {
      const refused = await command(...again);
      expect(refused.said).toMatch(/already holds/);
      expect(refused.code).toBe(2);
    }
  });

  it("says what a model lacks, and what is wrong with the words", async () => {
    const release = ["--model", "test/release-mini/bridge", "--policy", "bridge"];
    const refused: [string[], RegExp][] = [
      [[...release, "--out", await folder()], /has no policy.*no world/],
      [["--stop", "0,x"], /--stop: "x"/],
      [["--stop", "5,5"], /5 is there twice/],
      [["--episodes", "0"], /--episodes: "0"/],
      [["--seed", "-1"], /seed/],
      [["--resume"], /--out/],
      [["--bogus"], /--bogus.*--help/],
      [["--offline", "no/such/probe.json"], /no\/such/],
      [["--stop", "60", "--out", await folder()], /--stop 60.*0 to 50/],
    ];
    for (const [words, expected] of refused) {
      const { code, said } = await command(...words);
      expect(said).toMatch(expected);
      expect(code).toBeGreaterThan(0);
    }
    const help = await command("--help");
    expect([help.code, help.said]).toEqual([0, expect.stringContaining("--episodes N")]);
  });
});
