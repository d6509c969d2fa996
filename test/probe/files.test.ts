import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FormatError, UsageError } from "../../src/errors.ts";
import {
  encodeActions,
  prepareFolder,
  refuseUsedFolder,
  writeAtomic,
} from "../../src/probe/result/files.node.ts";
import { fingerprintOf } from "../../src/probe/experiment/measurement.ts";
import { folderStore } from "../../src/probe/result/unit-store.node.ts";
import { referenceMeasurement } from "./fixture.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "probe-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("atomic writes", () => {
  it("writes, replaces, and leaves nothing else", async () => {
    const path = join(folder, "a.txt");
    await writeAtomic(path, "one");
    await writeAtomic(path, new Uint8Array([50]));
    expect(readFileSync(path, "utf8")).toBe("2");
    expect(readdirSync(folder)).toEqual(["a.txt"]);
  });

  it("a failed write keeps what was there and leaves no trace", async () => {
    const taken = join(folder, "taken");
    mkdirSync(taken);
    writeFileSync(join(taken, "inside"), "kept");
    await expect(writeAtomic(taken, "x")).rejects.toThrow(FormatError);
    await expect(writeAtomic(join(folder, "none", "a"), "x")).rejects.toThrow(/its folder does not exist/);
    expect(readdirSync(folder)).toEqual(["taken"]);
    expect(readFileSync(join(taken, "inside"), "utf8")).toBe("kept");
  });
});

describe("output folder", () => {
  it("is made with its parents and left empty", async () => {
    const out = join(folder, "a", "b");
    await prepareFolder(out);
    expect(statSync(out).isDirectory()).toBe(true);
    expect(readdirSync(out)).toEqual([]);
  });

  it("refuses a file, a place under a file, and a place where nothing can be written", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    await expect(prepareFolder(file)).rejects.toThrow(UsageError);
    await expect(prepareFolder(file)).rejects.toThrow(/it is a file/);
    await expect(prepareFolder(join(file, "under"))).rejects.toThrow(/a part of its path is a file/);
    await expect(prepareFolder("/proc/probe")).rejects.toThrow(/--out \/proc\/probe cannot be used/);
  });

  it("refuses a folder with a result or with another run's units", async () => {
    await refuseUsedFolder(folder);
    writeFileSync(join(folder, "probe.json"), "{}");
    await expect(refuseUsedFolder(folder)).rejects.toThrow(/already holds a probe.json/);
    mkdirSync(join(folder, "units"));
    writeFileSync(join(folder, "units", "episode-000000.safetensors"), "");
    await expect(refuseUsedFolder(folder)).rejects.toThrow(/1 finished episode of another run.*--resume/);
  });
});

describe("unit store", () => {
  const measurement = referenceMeasurement({ episodes: 2 });
  const fingerprint = fingerprintOf(measurement.settings, measurement.provenance);

  it("gives back the same bytes", async () => {
    const first = folderStore(folder);
    expect(await first.begin(fingerprint)).toEqual([]);
    for (const episode of measurement.episodes) await first.save(episode);
    const again = folderStore(folder);
    expect(await again.begin(fingerprint)).toEqual([0, 1]);
    expect(again.total()).toBe(2);
    expect(await again.load(1)).toEqual(measurement.episodes[1]);
    expect(await again.load(7)).toBeUndefined();
  });

  it("keeps what is absent absent and what is empty empty", async () => {
    const store = folderStore(folder);
    await store.begin(fingerprint);
    const bare = {
      ...measurement.episodes[0],
      truth: undefined,
      holdStill: undefined,
      otherContext: new Float32Array(0),
    };
    await store.save(bare);
    expect(await store.load(0)).toEqual(bare);
  });

  it("refuses units of other settings, naming them", async () => {
    const store = folderStore(folder);
    await store.begin(fingerprint);
    await store.save(measurement.episodes[0]);
    const other = { ...fingerprint, dtype: "bf16", "video seeds": [0, 2] };
    await expect(folderStore(folder).begin(other)).rejects.toThrow(UsageError);
    await expect(folderStore(folder).begin(other)).rejects.toThrow(
      /video seeds was \[0,1\] and is now \[0,2\]; dtype was "f32" and is now "bf16"/,
    );
  });

  it("computes a damaged unit again, and ignores one that was being written", async () => {
    const store = folderStore(folder);
    await store.begin(fingerprint);
    await store.save(measurement.episodes[0]);
    const units = join(folder, "units");
    const path = join(units, "episode-000000.safetensors");
    const bytes = readFileSync(path);
    writeFileSync(join(units, "episode-000001.safetensors.12ab.incomplete"), bytes.subarray(0, 99));
    expect(await folderStore(folder).begin(fingerprint)).toEqual([0]);
    writeFileSync(path, bytes.subarray(0, bytes.length - 4));
    const again = folderStore(folder);
    expect(await again.begin(fingerprint)).toEqual([]);
    await again.save(measurement.episodes[0]);
    expect(await folderStore(folder).begin(fingerprint)).toEqual([0]);
  });

  it("tells every setting that affects numbers apart", () => {
    const { settings, provenance } = measurement;
    const changed = [
      fingerprintOf({ ...settings, episodes: [0] }, provenance),
      fingerprintOf({ ...settings, videoSteps: 51 }, provenance),
      fingerprintOf({ ...settings, probeSteps: [50] }, provenance),
      fingerprintOf({ ...settings, videoSeeds: [1] }, provenance),
      fingerprintOf({ ...settings, actionSeeds: [1] }, provenance),
      fingerprintOf({ ...settings, actionSteps: 17 }, provenance),
      fingerprintOf(settings, { ...provenance, noiseSha256: null }),
      fingerprintOf(settings, { ...provenance, dtype: "bf16" }),
    ];
    const all = [fingerprint, ...changed].map((value) => JSON.stringify(value));
    expect(new Set(all).size).toBe(all.length);
    const moved = {
      ...settings,
      modelDir: "elsewhere",
      dataDir: "there",
      noiseFile: "noise",
      adapter: "any",
    };
    expect(fingerprintOf(moved, provenance)).toEqual(fingerprint);
  });
});

it("raw actions are the same bytes twice and say what they are", async () => {
  const bytes = await encodeActions(referenceMeasurement({ episodes: 2 }));
  expect(await encodeActions(referenceMeasurement({ episodes: 2 }))).toEqual(bytes);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<
    string,
    { shape?: number[] }
  >;
  expect(header.actions.shape).toEqual([2, 2, 1, 7, 24, 3]);
  expect(header.iterates.shape).toEqual([2, 2, 1, 7, 17, 24, 3]);
  expect(header.__metadata__).toMatchObject({ probe_steps: "0,5,10,20,30,40,50", trained_on: "toy" });
});
