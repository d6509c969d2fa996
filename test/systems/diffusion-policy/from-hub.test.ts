/** The miniature as a repository: what is needed of it, what is said before a download, and the data set that it names. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { diffusionPolicy } from "../../../src/systems/diffusion-policy/system.ts";
import { recognise } from "../../../src/systems/registry.ts";
import { hubSettings } from "../../../src/weights/hub/environment.node.ts";
import { resolveHubRef } from "../../../src/weights/hub/resolve-model.node.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { MockHub } from "../../weights/mock-hub.ts";
import { testGpu } from "../../support/gpu.ts";

const MINI = "test/pusht-mini";
let hub: MockHub;
let folder: string;
beforeAll(async () => {
  hub = await MockHub.start();
  folder = mkdtempSync(join(tmpdir(), "pusht-hub-"));
});
afterAll(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

const environment = (home: string): NodeJS.ProcessEnv => ({
  HF_ENDPOINT: hub.endpoint,
  HF_HOME: join(folder, home),
});

test.each([
  ["published", ["config.json", "model.safetensors", "train_config.json"]],
  [
    "migrated",
    [
      ...["config.json", "model.safetensors", "policy_postprocessor.json"],
      "policy_postprocessor_step_0_unnormalizer_processor.safetensors",
      ...["policy_preprocessor.json", "policy_preprocessor_step_3_normalizer_processor.safetensors"],
    ],
  ],
])(
  "%s: its own files and nothing else, headers before anything large",
  { timeout: 60_000 },
  async (layout, needed) => {
    const { files, commit } = hub.addFolder(`owner/${layout}`, `${MINI}/${layout}`);
    for (const path of ["README.md", "replay.mp4", "eval_info.json"])
      files.set(path, { bytes: Buffer.alloc(100), lfs: false });
    let read = 0;
    const path = await resolveHubRef(
      await hubSettings(environment(layout)),
      { repo: `owner/${layout}`, revision: "main", path: "" },
      {
        choose: async (remote) => (await recognise(remote)).needed(remote, {}),
        beforeDownload: async (remote) => {
          hub.requests.length = 0;
          const planned = await diffusionPolicy.open(await testGpu(), remote, {});
          expect(planned.plan.lines[0]).toContain(commit);
          expect(planned.plan.peak).toBeGreaterThan(planned.plan.weights);
          await planned.release();
          read = hub.requests
            .filter(({ storage }) => storage)
            .reduce((n, { range }) => {
              const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
              return n + (to === undefined ? Number.POSITIVE_INFINITY : Number(to) - Number(from) + 1);
            }, 0);
        },
      },
    );
    expect((await openModelFolder(path)).paths).toEqual(needed);
    // 2.7 MB of weights have a header of 27 kB.
    expect(read).toBeLessThan(100_000);
  },
);

test(
  "the built probe on a repository: the revision is named, data are given",
  { timeout: 200_000 },
  async ({ skip }) => {
    if (!existsSync("dist/probe.js")) return skip("nothing is built: npm run build");
    const { commit } = hub.addFolder("owner/published", `${MINI}/published`);
    const out = join(folder, "out");
    const size = [
      "--data",
      MINI,
      "--episodes",
      "1",
      "--video-seeds",
      "1",
      "--video-steps",
      "4",
      "--probe-steps",
      "1,2",
    ];
    const words = [
      "dist/probe.js",
      "--model",
      "owner/published",
      ...size,
      "--adapter",
      "software",
      "--out",
      out,
    ];
    const errors = await new Promise<string>((done) => {
      execFile(
        process.execPath,
        words,
        { env: { ...process.env, ...environment("probe") } },
        (error, _, text) => done(error === null ? "" : text),
      );
    });
    expect(errors).toBe("");
    const { model } = JSON.parse(readFileSync(join(out, "probe.json"), "utf8")) as { model: object };
    expect(model).toMatchObject({ revision: commit, name: "owner/published", system: "diffusion-policy" });
  },
);

test("without data the set that it was trained on is asked for", { timeout: 100_000 }, async ({ skip }) => {
  if (!existsSync("dist/probe.js")) return skip("nothing is built: npm run build");
  hub.addFolder("owner/published", `${MINI}/published`);
  const words = [
    "dist/probe.js",
    "--model",
    "owner/published",
    "--adapter",
    "software",
    "--out",
    join(folder, "none"),
  ];
  const errors = await new Promise<string>((done) => {
    execFile(process.execPath, words, { env: { ...process.env, ...environment("probe") } }, (_e, _o, text) =>
      done(text),
    );
  });
  expect(errors).toMatch(/lerobot\/pusht/);
});
