/** The whole way: the built probe given a name on the Hub downloads the toy checkpoint and measures with it. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MockHub } from "./mock-hub.ts";

let hub: MockHub;
let folder: string;
beforeAll(async () => {
  hub = await MockHub.start();
  folder = mkdtempSync(join(tmpdir(), "probe-hub-"));
});
afterAll(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("the probe runs from the Hub", { timeout: 400_000 }, async ({ skip }) => {
  if (!existsSync("dist/probe.js")) return skip("nothing is built: npm run build");
  const { commit } = hub.addFolder("owner/toy", "weights/toy");
  hub.repos.get("owner/toy")!.token = "hf_test";
  const out = join(folder, "out");
  const size = ["--episodes", "1", "--video-steps", "1", "--video-seeds", "1", "--action-steps", "1"];
  const args = [
    "dist/probe.js",
    "--model",
    "owner/toy",
    ...size,
    "--adapter",
    "software",
    "--out",
    out,
    "--quiet",
  ];
  const env = {
    ...process.env,
    HF_ENDPOINT: hub.endpoint,
    HF_HOME: join(folder, "home"),
    HF_TOKEN: "hf_test",
  };
  const [code, errors] = await new Promise<[number, string]>((done) => {
    execFile(process.execPath, args, { env }, (error, _, stderr) => {
      done([error === null ? 0 : Number(error.code ?? -1), stderr]);
    });
  });
  expect(errors).not.toMatch(/fault of the program/);
  expect(code, errors).toBe(0);
  const probe = readFileSync(join(out, "probe.json"), "utf8");
  expect(probe).toContain(commit);
  expect(existsSync(join(out, "action_convergence.png"))).toBe(true);
});
