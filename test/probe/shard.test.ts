/** A run that is split and put together leaves the bytes of the one that is not; what is missing, doubled or of another run is named. */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCommand } from "../../src/commands/probe/command.node.ts";
import type { RunProbe } from "../../src/probe/experiment/measurement.ts";
import { runProbe } from "../../src/probe/experiment/run.ts";
import { shareOf } from "../../src/probe/experiment/share.ts";
import type { ProbeResult } from "../../src/probe/result/result.ts";
import { testGpu } from "../support/gpu.ts";
import { FLOPS, labelled, PROVENANCE, type Watched } from "./labelled.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "shard-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const SETTINGS = ["--probe-steps", "0,2", "--video-seeds", "5,3", "--action-seeds", "1,4"];
const BYTES = ["probe.json", "actions.safetensors", "action_convergence.png"];

interface Played {
  mostCopies?: number;
  /** Interrupts once so many episodes are saved. */
  stopAfter?: number;
  project?: string;
}

/** The probe with the labelled subject as its model. */
async function probe(
  words: string[],
  { mostCopies = Infinity, stopAfter = Infinity, project = "1" }: Played = {},
) {
  const gpu = await testGpu();
  const control = new AbortController();
  const watched: Watched = { batches: [], followed: [], held: 0 };
  const run: RunProbe = (settings, hooks) => {
    const { store } = hooks;
    let saved = 0;
    const stopping = store && {
      ...store,
      save: async (unit: Parameters<typeof store.save>[0]) => {
        await store.save(unit);
        if (++saved < stopAfter) return;
        control.abort(new Error("interrupted"));
        throw new Error("interrupted");
      },
    };
    const subject = labelled(gpu, watched, { mostCopies, budget: 1 << 20 });
    const provenance = structuredClone({ ...PROVENANCE, versions: { project } });
    return runProbe({ subject, provenance }, settings, { ...hooks, store: stopping });
  };
  let [stdout, stderr] = ["", ""];
  const code = await runCommand(words, {
    program: ["node", "dist/probe.js"],
    loadRunner: async () => run,
    drawPng: async (figure) => new TextEncoder().encode(JSON.stringify(figure)),
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    signal: control.signal,
  });
  expect(watched.held).toBe(0);
  return { code, stdout, stderr, watched };
}

const at = (name: string): string => join(folder, name);
const part = (i: number, n: number): string => at(`part-${i}-of-${n}`);

async function measure(out: string, more: string[] = [], played?: Played) {
  return probe([...SETTINGS, "--episodes", "all", "--out", out, "--quiet", ...more], played);
}

async function split(n: number, played?: Played): Promise<string[]> {
  for (let i = 0; i < n; i++)
    expect((await measure(part(i, n), ["--shard", `${i}/${n}`], played)).code).toBe(0);
  return Array.from({ length: n }, (_, i) => part(i, n));
}

function expectEqual(one: string, two: string): void {
  for (const name of BYTES)
    expect(readFileSync(join(one, name)).equals(readFileSync(join(two, name))), name).toBe(true);
}

describe("a split run", () => {
  it.each([
    [1, Infinity],
    [2, Infinity],
    [3, Infinity],
    [3, 1],
    [5, 1],
    [8, 1],
    [9, 1],
    [7, Infinity],
  ])("of %i parts, %f trajectories in a batch: the bytes of the whole", async (n, mostCopies) => {
    await measure(at("whole"), [], { mostCopies });
    const folders = await split(n, { mostCopies });
    const { code, stderr } = await probe(["merge", ...folders.reverse(), "--out", at("merged"), "--quiet"]);
    expect(code, stderr).toBe(0);
    expectEqual(at("merged"), at("whole"));
    const run = JSON.parse(readFileSync(join(at("merged"), "run.json"), "utf8")) as { shards: object[] };
    expect(run.shards).toMatchObject(
      Array.from({ length: n }, (_, index) => ({ shard: { index, count: n } })),
    );
  });

  it("into batches of unequal size: the bytes of the whole", async () => {
    const words = [
      "--probe-steps",
      "0,2",
      "--video-seeds",
      "5,3,2",
      "--budgets",
      "1,2",
      "--episodes",
      "all",
      "--quiet",
    ];
    const played = { mostCopies: 2 };
    expect((await probe([...words, "--out", at("whole")], played)).code).toBe(0);
    const { flops } = JSON.parse(readFileSync(join(at("whole"), "probe.json"), "utf8")) as ProbeResult;
    // Two encodings of three trajectories.
    expect(flops!.encode).toBeCloseTo((2 * FLOPS.encode) / 3, 10);
    for (const i of [0, 1, 2, 3, 4])
      await probe([...words, "--shard", `${i}/5`, "--out", part(i, 5)], played);
    const folders = [0, 1, 2, 3, 4].map((i) => part(i, 5));
    const { code, stderr } = await probe(["merge", ...folders, "--out", at("merged"), "--quiet"]);
    expect(code, stderr).toBe(0);
    expectEqual(at("merged"), at("whole"));
  });

  it("has each unit once, and follows one episode more than it measures", async () => {
    const settings = { episodes: [4, 7, 9], videoSeeds: [0, 1, 2] };
    for (let count = 1; count < 12; count++) {
      const units = Array.from({ length: count }, (_, index) =>
        shareOf({ ...settings, shard: { index, count } }, 2),
      )
        .flat()
        .flatMap(({ episode, batches }) => batches.map((batch) => `${episode} ${batch}`));
      expect(units).toEqual(["4 0", "4 1", "7 0", "7 1", "9 0", "9 1"]);
    }
    const { watched } = await measure(part(1, 2), ["--shard", "1/2"]);
    expect([...watched.followed].sort()).toEqual([1, 2, 3]);
  });

  it("killed and resumed: the same bytes", async () => {
    await measure(at("whole"));
    const words = ["--shard", "0/2"];
    const stopped = await measure(part(0, 2), words, { stopAfter: 1 });
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toMatch(/1 of 2 episodes saved; continue with\n.*--shard 0\/2.*--resume/);
    expect(readdirSync(part(0, 2))).toEqual(["units"]);
    await measure(part(1, 2), ["--shard", "1/2"]);
    const early = await probe(["merge", part(0, 2), part(1, 2), "--out", at("merged")]);
    expect(early).toMatchObject({ code: 2 });
    expect(early.stderr).toMatch(/part-0-of-2: this part is not finished.*--resume/);
    const again = await measure(part(0, 2), [...words, "--resume"]);
    expect(again.code, again.stderr).toBe(0);
    expect((await probe(["merge", part(0, 2), part(1, 2), "--out", at("merged"), "--quiet"])).code).toBe(0);
    expectEqual(at("merged"), at("whole"));
  });

  it("keeps the margin and the reference that its parts were asked for", async () => {
    const asked = ["--margin", "3", "--reference", "truth"];
    await measure(at("whole"), asked);
    for (const i of [0, 1]) await measure(part(i, 2), [...asked, "--shard", `${i}/2`]);
    await probe(["merge", part(0, 2), part(1, 2), "--out", at("merged"), "--quiet"]);
    expectEqual(at("merged"), at("whole"));
  });
});

describe("merge names", () => {
  const merge = (...folders: string[]) => probe(["merge", ...folders, "--out", at("merged")]);

  it("parts that are missing, there twice, or of another division", async () => {
    const [a, , c] = await split(3);
    expect((await merge(a, c)).stderr).toMatch(/Part 1\/3 is missing/);
    expect((await merge(a)).stderr).toMatch(/Parts 1\/3, 2\/3 are missing/);
    cpSync(a, at("copy"), { recursive: true });
    expect((await merge(a, part(1, 3), c, at("copy"))).stderr).toMatch(
      /Part 0\/3 is there 2 times: .*part-0.*copy/,
    );
    await measure(part(1, 2), ["--shard", "1/2"]);
    expect((await merge(a, part(1, 2))).stderr).toMatch(/is part 0\/3 and .* part 1\/2/);
    expect((await merge(a, at("nowhere"))).stderr).toMatch(/nowhere: there is no such folder/);
    expect(existsSync(at("merged"))).toBe(false);
  });

  it("parts of other settings or another version", async () => {
    await measure(part(0, 2), ["--shard", "0/2"]);
    await probe([...SETTINGS, "--episodes", "0,1,2", "--quiet", "--shard", "1/2", "--out", part(1, 2)]);
    expect((await merge(part(0, 2), part(1, 2))).stderr).toMatch(
      /parts of different runs: settings\.episodes is \[0,1,2,3\] and \[0,1,2\]/,
    );
    await measure(at("newer"), ["--shard", "1/2"], { project: "2" });
    expect((await merge(part(0, 2), at("newer"))).stderr).toMatch(
      /provenance\.versions\.project is "1.*" and "2"/,
    );
  });

  it("lost units, damaged units, and a shard.json that was tampered with", async () => {
    const folders = await split(2);
    const unit = join(folders[1], "units/episode-000003.safetensors");
    const bytes = readFileSync(unit);
    rmSync(unit);
    expect((await merge(...folders)).stderr).toMatch(
      /part-1-of-2: episode 3 is missing from units\/ or damaged/,
    );
    writeFileSync(unit, bytes.subarray(0, bytes.length - 4));
    expect((await merge(...folders)).stderr).toMatch(/episode 3 is missing from units\/ or damaged/);
    writeFileSync(unit, bytes);
    const path = join(folders[1], "shard.json");
    const document = readFileSync(path, "utf8");
    writeFileSync(path, document.replace(/"videoSteps": \d+/, '"videoSteps": "many"'));
    const { code, stderr } = await merge(...folders);
    expect(code).toBe(1);
    expect(stderr).toMatch(/shard\.json: settings\.videoSteps is "many"; a whole number/);
    writeFileSync(path, document);
    expect((await merge(...folders)).code).toBe(0);
  });

  it("what --shard may be", async () => {
    for (const wrong of ["2/2", "1", "-1/2", "a/b", "0/0"])
      expect(await measure(at("x"), ["--shard", wrong])).toMatchObject({ code: 2 });
    expect((await probe(["merge", "--out", at("merged")])).stderr).toMatch(/merge takes 1 to .* of DIR/);
  });
});
