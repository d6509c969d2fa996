/** What is said about memory before a model is downloaded, and that a model that cannot fit is not downloaded. */
import { mkdtempSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MimicVideo } from "../../src/systems/mimic-video/model.ts";
import type { ProbeSettings } from "../../src/probe/experiment/measurement.ts";
import { runProbeHere } from "../../src/commands/probe/run.node.ts";
import { resolveHubRef } from "../../src/weights/hub/resolve-model.node.ts";
import { hubSettings } from "../../src/weights/hub/environment.node.ts";
import type { ModelFiles } from "../../src/weights/model-files.ts";
import { testGpu } from "../support/gpu.ts";
import { MockHub } from "./mock-hub.ts";

let hub: MockHub;
let folder: string;
beforeAll(async () => {
  hub = await MockHub.start();
  folder = mkdtempSync(join(tmpdir(), "plan-hub-"));
  process.env.HF_ENDPOINT = hub.endpoint;
  process.env.HF_HOME = folder;
});
afterAll(async () => {
  delete process.env.HF_ENDPOINT;
  delete process.env.HF_HOME;
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Bytes of weights that were asked for; a request without a range asks for all. */
const weightBytes = (): number =>
  hub.requests
    .filter(({ storage }) => storage)
    .map(({ range }) => /^bytes=(\d+)-(\d+)$/.exec(range ?? ""))
    .reduce(
      (n, found) => n + (found ? Number(found[2]) - Number(found[1]) + 1 : Number.POSITIVE_INFINITY),
      0,
    );

const settings = (modelDir: string): ProbeSettings => ({
  modelDir,
  videoSteps: 1,
  probeSteps: [0, 1],
  videoSeeds: [0],
  actionSeeds: [0],
  dtype: "f32",
});

test("the need is told from headers alone, before the download", async () => {
  hub.addFolder("owner/fits", "weights/toy");
  const stop = new Error("seen enough");
  const notes: string[] = [];
  hub.requests.length = 0;
  const run = runProbeHere(settings("owner/fits"), {
    onNote: (line) => {
      notes.push(line);
      throw stop;
    },
  });
  await expect(run).rejects.toBe(stop);
  expect(notes).toHaveLength(1);
  expect(notes[0]).toMatch(
    /^owner\/fits needs [\d.]+ MB of GPU memory for its weights, the largest [\d.]+ [kM]B \(\w+: .+\)\n.+ binds at most [\d.]+ [MG]B at once$/,
  );
  expect(weightBytes()).toBeLessThan(200_000);
});

test("a tensor that cannot be bound is refused before the download", async () => {
  hub.addFolder("owner/large", "weights/toy");
  hub.requests.length = 0;
  const gpu = await testGpu({ maxBindingBytes: 2048 });
  const settings = await hubSettings();
  const attempt = resolveHubRef(
    settings,
    { repo: "owner/large", revision: "main", path: "" },
    { beforeDownload: async (files) => (await MimicVideo.plan(gpu, files)).close() },
  );
  await expect(attempt).rejects.toThrow(
    / needs \d+ bytes in one binding; this adapter allows 2048\..*--dtype bf16/,
  );
  expect(weightBytes()).toBeLessThan(200_000);
});

test("weights that do not fit their configuration are refused before the download", async () => {
  const { files } = hub.addFolder("owner/misfit", "weights/toy");
  const path = "transformer/config.json";
  const config = JSON.parse(new TextDecoder().decode(files.get(path)!.bytes)) as Record<string, unknown>;
  const bytes = new TextEncoder().encode(JSON.stringify({ ...config, mlp_ratio: 2 }));
  files.set(path, { bytes, lfs: false });
  hub.requests.length = 0;
  await expect(runProbeHere(settings("owner/misfit"), {})).rejects.toThrow(
    /owner\/misfit.* does not fit the model[^]*wrong shape/,
  );
  expect(weightBytes()).toBeLessThan(200_000);
});

test("a mirror that sends whole files only is downloaded from all the same", async () => {
  hub.addFolder("owner/mirrored", "weights/toy");
  hub.fault = () => ({ ignoreRange: true });
  let asked = 0;
  const beforeDownload = async (files: ModelFiles): Promise<void> => {
    asked++;
    await files.json("model.json");
  };
  const ref = { repo: "owner/mirrored", revision: "main", path: "" };
  const settings = await hubSettings();
  const path = await resolveHubRef(settings, ref, { beforeDownload });
  expect((await readdir(path)).includes("model.json")).toBe(true);
  // Once all is there, nothing is asked again.
  await resolveHubRef(settings, ref, { beforeDownload });
  expect(asked).toBe(1);
});
