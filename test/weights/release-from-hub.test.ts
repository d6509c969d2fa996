/** A folder of the release as a repository: only what a policy needs is downloaded, nothing large unasked, and the cache serves offline. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { HubError, UsageError } from "../../src/errors.ts";
import { recognise } from "../../src/systems/registry.ts";
import { folderCache } from "../../src/systems/cache.node.ts";
import type { SystemOptions } from "../../src/systems/system.ts";
import { hubSettings } from "../../src/weights/hub/environment.node.ts";
import { resolveHubRef } from "../../src/weights/hub/resolve-model.node.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import { MockHub, type MockRepo } from "./mock-hub.ts";

const MINI = "test/release-mini";
const BACKBONE = "video_backbone/v2w_pretrained_cosmos.pt";
const ENCODER = "text_encoder/t5-11b/pytorch_model.bin";

let hub: MockHub;
let folder: string;
beforeAll(async () => {
  hub = await MockHub.start();
  folder = mkdtempSync(join(tmpdir(), "release-hub-"));
});
afterAll(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Two policies beside each other, as the published folder has nine. */
function addBoth(repo: string): MockRepo {
  const { files: others } = hub.addFolder("owner/libero", `${MINI}/libero`);
  const added = hub.addFolder(repo, `${MINI}/bridge`);
  for (const [path, file] of others) {
    if (/^(action_decoder|video_backbone\/v2w|dataset_statistics)/.test(path)) added.files.set(path, file);
  }
  hub.requests.length = 0;
  return added;
}

const environment = (home: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  HF_ENDPOINT: hub.endpoint,
  HF_HOME: join(folder, home),
  ...more,
});

/** As the probe asks. */
async function resolve(repo: string, env: NodeJS.ProcessEnv, options: SystemOptions): Promise<string> {
  const cache = folderCache(join(env.HF_HOME!, "texts"));
  return resolveHubRef(
    await hubSettings(env),
    { repo, revision: "main", path: "" },
    { choose: async (files) => (await recognise(files)).needed(files, { cache, ...options }) },
  );
}

const POLICY = [
  "action_decoder/w2a_bridge_v2w_pretrained_cosmos_lr1.000e-04_layer3_bsz256_iter_000014112.pt",
  "clip.json",
  "dataset_statistics/bridge.json",
  "episodes/episodes.json",
  "episodes/episodes.safetensors",
];
const TEXT = ["config.json", "pytorch_model.bin", "tokenizer.json"].map(
  (name) => `text_encoder/t5-11b/${name}`,
);
const VIDEO = ["video_backbone/tokenizer/tokenizer.pth", BACKBONE];

test("one policy's files, and a small encoder", async () => {
  addBoth("owner/mini");
  const path = await resolve("owner/mini", environment("small"), { policy: "bridge" });
  const { paths, name } = await openModelFolder(path);
  expect(paths).toEqual([...POLICY, ...TEXT, ...VIDEO]);
  expect(name).toBe("owner/mini");
  const asked = hub.requests
    .map(({ path }) => path)
    .filter((p) => p.includes("libero") || p.includes("reference"));
  expect(asked).toEqual([]);
});

test("with embeddings of the prompts no encoder", async () => {
  addBoth("owner/mini");
  const path = await resolve("owner/mini", environment("text"), { policy: "bridge", text: "t.safetensors" });
  expect((await openModelFolder(path)).paths).toEqual([...POLICY, ...VIDEO]);
});

test("a large encoder stops it before any download", async () => {
  const { files } = addBoth("owner/large");
  files.set(ENCODER, { ...files.get(ENCODER)!, listedSize: 45e9 });
  const attempt = resolve("owner/large", environment("large"), { policy: "bridge" });
  await expect(attempt).rejects.toThrow(UsageError);
  await expect(attempt).rejects.toThrow(/owner\/large: prompts need embeddings.*--text.*--encode-text/);
  expect(hub.requests.filter(({ path }) => !path.startsWith("/api/"))).toEqual([]);
  // Where it is asked for, it is what there must be room for.
  const wanted = resolve("owner/large", environment("large"), { policy: "bridge", encodeText: true });
  await expect(wanted).rejects.toThrow(HubError);
});

test("without a policy, those that there are; nothing is downloaded", async () => {
  addBoth("owner/mini");
  await expect(resolve("owner/mini", environment("none"), {})).rejects.toThrow(
    /owner\/mini holds 2 policies.*--policy: bridge, libero_object_full/,
  );
  expect(hub.requests.filter(({ path }) => !path.startsWith("/api/"))).toEqual([]);
});

test("offline the cache serves the policy that it has, and says what it lacks", async () => {
  addBoth("owner/mini");
  const options = { policy: "bridge" };
  const path = await resolve("owner/mini", environment("offline"), options);
  hub.requests.length = 0;
  const offline = environment("offline", { HF_HUB_OFFLINE: "1" });
  expect(await resolve("owner/mini", offline, options)).toBe(path);
  await expect(resolve("owner/mini", offline, { policy: "libero_object_full" })).rejects.toThrow(
    /HF_HUB_OFFLINE is set, and the cache .* lacks what is needed: .*no policy "libero_object_full".*Unset it/,
  );
  rmSync(join(path, BACKBONE));
  await expect(resolve("owner/mini", offline, options)).rejects.toThrow(HubError);
  expect(hub.requests).toEqual([]);
  // Online what is gone is fetched again.
  expect(await resolve("owner/mini", environment("offline"), options)).toBe(path);
  expect(existsSync(join(path, BACKBONE))).toBe(true);
});

test(
  "the built probe measures a policy from the Hub, and again offline",
  { timeout: 400_000 },
  async ({ skip }) => {
    if (!existsSync("dist/probe.js")) return skip("nothing is built: npm run build");
    const { commit } = addBoth("owner/mini");
    const probe = (out: string, env: NodeJS.ProcessEnv, policy: string) => {
      const size = ["--episodes", "1", "--video-seeds", "1", "--probe-steps", "0", "--action-steps", "1"];
      const args = [
        "--model",
        "owner/mini",
        "--policy",
        policy,
        ...size,
        "--adapter",
        "software",
        "--out",
        out,
      ];
      return new Promise<{ code: number; errors: string }>((done) => {
        execFile(
          process.execPath,
          ["dist/probe.js", ...args],
          { env: { ...process.env, ...env } },
          (error, _, errors) => done({ code: error === null ? 0 : Number(error.code ?? -1), errors }),
        );
      });
    };
    const first = await probe(join(folder, "first"), environment("probe"), "bridge");
    expect(first.code, first.errors).toBe(0);
    const result = readFileSync(join(folder, "first", "probe.json"), "utf8");
    expect(result).toContain(commit);
    expect(result).toContain("owner/mini, bridge");
    hub.requests.length = 0;
    const offline = environment("probe", { HF_HUB_OFFLINE: "1" });
    const again = await probe(join(folder, "again"), offline, "bridge");
    expect(again.code, again.errors).toBe(0);
    const other = await probe(join(folder, "other"), offline, "libero_object_full");
    expect(other.code).toBe(1);
    expect(other.errors).toMatch(/no policy "libero_object_full"/);
    expect(hub.requests).toEqual([]);
  },
);
