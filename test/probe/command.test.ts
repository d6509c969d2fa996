import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FormatError } from "../../src/errors.ts";
import { runCommand, type Surroundings } from "../../src/commands/probe/command.node.ts";
import { fingerprintOf, type RunProbe } from "../../src/probe/experiment/measurement.ts";
import { figureToPng } from "../../src/probe/figure/plot.node.ts";
import type { ProbeResult } from "../../src/probe/result/result.ts";
import type { RunRecord } from "../../src/probe/result/run-record.ts";
import { referenceMeasurement } from "./fixture.ts";

let folder: string;
let out: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "probe-"));
  out = join(folder, "out");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Plays back the reference, obeying store, signal and progress as run.ts does; counts the episodes it "computes". */
function playback(interruptAfter = Number.POSITIVE_INFINITY) {
  const control = new AbortController();
  const computed: number[] = [];
  const run: RunProbe = async (settings, { store, signal, onProgress }) => {
    const measurement = referenceMeasurement({
      episodes: Array.isArray(settings.episodes)
        ? settings.episodes.length
        : ((settings.episodes as number | undefined) ?? 4),
    });
    const { episodes, provenance } = measurement;
    provenance.dtype = settings.dtype ?? "f32";
    const stored = (await store?.begin(fingerprintOf(measurement.settings, provenance))) ?? [];
    for (const [i, unit] of episodes.entries()) {
      if (computed.length >= interruptAfter) control.abort(new Error("interrupted"));
      signal?.throwIfAborted();
      if (stored.includes(unit.episode)) episodes[i] = (await store!.load(unit.episode))!;
      else {
        computed.push(unit.episode);
        await store?.save(unit);
      }
      onProgress?.({ phase: "episodes", done: i + 1, total: episodes.length, unit: "episodes" });
    }
    measurement.timing.resumedEpisodes = stored.length;
    return measurement;
  };
  return { run, computed, signal: control.signal };
}

async function command(words: string[], runner: Partial<Surroundings> & { run: RunProbe }) {
  let [stdout, stderr] = ["", ""];
  const code = await runCommand(words, {
    program: ["node", "dist/probe.js"],
    loadRunner: async () => runner.run,
    // Drawing takes seconds; one test below does it.
    drawPng: runner.drawPng ?? (async (figure) => new TextEncoder().encode(JSON.stringify(figure))),
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    signal: runner.signal ?? new AbortController().signal,
  });
  return { code, stdout, stderr };
}

const readResult = (from = out) => JSON.parse(readFileSync(join(from, "probe.json"), "utf8")) as ProbeResult;

describe("a run", () => {
  it("writes numbers, figure and actions, and says where they are", async () => {
    const { code, stdout, stderr } = await command(["--out", out], { ...playback(), drawPng: figureToPng });
    expect(stderr).toMatch(/episodes: 4 of 4/);
    expect(code).toBe(0);
    expect(readdirSync(out).sort()).toEqual([
      "action_convergence.png",
      "actions.safetensors",
      "probe.json",
      "run.json",
      "units",
    ]);
    for (const name of ["probe.json", "action_convergence.png", "actions.safetensors"])
      expect(stdout).toContain(join(out, name));
    expect(stdout).toMatch(/Sufficient video step: undetermined\. 4 episodes give no verdict/);
    expect(stdout).toMatch(/nothing about robots/);
    const run = JSON.parse(readFileSync(join(out, "run.json"), "utf8")) as RunRecord;
    expect(run).toMatchObject({ schema: "mimic-video-probe-run", resumed_episodes: 0, shard: null });
    expect(run.command).toContain("mimic-video-probe --out");
    expect(run.phases.length).toBeGreaterThan(0);
    expect(readResult().version).toBe(3);
  });

  it("--json and --quiet keep stdout and stderr clean", async () => {
    const { stdout, stderr } = await command(["--out", out, "--json", "--quiet"], playback());
    expect(stderr).toBe("");
    expect(stdout).toBe(readFileSync(join(out, "probe.json"), "utf8"));
  });

  it("interrupted and resumed: the same bytes, and no episode twice", async () => {
    const whole = join(folder, "whole");
    await command(["--out", whole, "--quiet"], playback());

    const first = playback(2);
    const stopped = await command(["--out", out, "--quiet"], first);
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain("2 of 4 episodes saved");
    expect(stopped.stderr).toContain(`node dist/probe.js --quiet --resume --out ${out}`);
    expect(existsSync(join(out, "probe.json"))).toBe(false);

    const second = playback();
    expect((await command(["--resume", "--out", out, "--quiet"], second)).code).toBe(0);
    expect([...first.computed, ...second.computed]).toEqual([0, 1, 2, 3]);
    for (const name of ["probe.json", "actions.safetensors", "action_convergence.png"])
      expect(readFileSync(join(out, name)).equals(readFileSync(join(whole, name))), name).toBe(true);
  });

  it("does not mix runs", async () => {
    await command(["--out", out, "--quiet"], playback(2));
    const again = await command(["--out", out], playback());
    expect(again).toMatchObject({ code: 2, stdout: "" });
    expect(again.stderr).toMatch(/2 finished episodes of another run/);
    const other = await command(["--resume", "--out", out, "--dtype", "bf16"], playback());
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/dtype was "f32" and is now "bf16"/);
  });
});

describe("what goes wrong", () => {
  it("wrong options: 2, one line, nothing written", async () => {
    const { code, stderr } = await command(["--probe-steps", "60,5", "--out", out], playback());
    expect(code).toBe(2);
    expect(stderr).toMatch(/^mimic-video-probe: --probe-steps 60,5: 5 comes after 60/);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(existsSync(out)).toBe(false);
    const missing = await command(["--resume", "--out", out], playback());
    expect(missing.stderr).toMatch(/there is no folder/);
  });

  it("our errors: 1, without a stack, no empty folder left; foreign errors: 1, with one", async () => {
    const ours = await command(["--out", out], {
      run: async () => {
        throw new FormatError("model.json is missing.");
      },
    });
    expect(ours).toMatchObject({ code: 1, stderr: "mimic-video-probe: model.json is missing.\n" });
    expect(existsSync(out)).toBe(false);
    const foreign = await command(["--out", out], {
      run: async () => {
        throw new TypeError("x is undefined");
      },
    });
    expect(foreign.code).toBe(1);
    expect(foreign.stderr).toMatch(/TypeError: x is undefined\n\s+at /);
  });

  it("help and version need no runner", async () => {
    const never: RunProbe = () => Promise.reject(new Error("loaded"));
    expect(await command(["--version"], { run: never })).toMatchObject({ code: 0, stderr: "" });
    const help = await command(["--help", "--video-steps", "3"], { run: never });
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout).toContain("--probe-steps");
  });
});
