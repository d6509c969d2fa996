/** `npm run inspect` and `npm run convert` as processes: what they print, how they end. */
import { execFile } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWeights } from "../../src/weights/open.node.ts";
import { MockHub } from "./mock-hub.ts";

const fixtures = "test/weights/fixtures";
let folder: string;
let hub: MockHub;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "commands-"));
  hub = await MockHub.start();
  const bundle = await rolldown({
    input: ["src/inspect.ts", "src/convert-weights.ts"],
    platform: "node",
    logLevel: "silent",
  });
  await bundle.write({
    dir: folder,
    format: "esm",
    entryFileNames: "[name].mjs",
    chunkFileNames: "[name].mjs",
  });
  await bundle.close();
});
afterAll(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function run(command: "inspect" | "convert-weights", ...args: string[]) {
  const env = { ...process.env, HF_ENDPOINT: hub.endpoint, HF_HOME: join(folder, "home") };
  return new Promise<{ code: number; out: string; err: string }>((resolve) => {
    execFile(process.execPath, [join(folder, `${command}.mjs`), ...args], { env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

test("inspect lists names, dtypes, shapes, bytes and totals", async () => {
  const { code, out } = await run("inspect", `${fixtures}/flat.pt`);
  expect(code).toBe(0);
  expect(out).toMatch(/^net\.blocks\.0\.q_proj\.weight +BF16 +\[8, 4\] +64$/m);
  expect(out).toContain("total BF16: 3 tensors, 41 elements, 82 bytes");
  expect(out).toMatch(/^total: 4 tensors, 82 bytes$/m);
});

test("inspect of a folder looks into its parts, and joins shards", async () => {
  const shards = join(folder, "model", "shards");
  mkdirSync(shards, { recursive: true });
  copyFileSync("weights/toy/vae/diffusion_pytorch_model.safetensors", join(shards, "a-1.safetensors"));
  const keys = [...(await openWeights(join(shards, "a-1.safetensors"))).tensors.keys()];
  const weight_map = Object.fromEntries(keys.map((key) => [key, "a-1.safetensors"]));
  writeFileSync(join(shards, "a.safetensors.index.json"), JSON.stringify({ weight_map }));
  const { code, out } = await run("inspect", join(folder, "model"));
  expect(code).toBe(0);
  expect(out.split("\n")[0]).toMatch(/a\.safetensors\.index\.json$/);
  expect(out.match(/^total: /gm)?.length).toBe(1);
  expect((await run("inspect", "weights/toy")).out.match(/^total: /gm)?.length).toBe(7);
});

test.each([
  [`${fixtures}/os-system.pt`, /posix\.system.*not allowed/],
  [`${fixtures}/expected.json`, /expected\.json.*header/],
  [fixtures, /./],
  ["no/where", /no local "no\/where".*status 401/],
  ["--help", /Usage/],
])("inspect of %s ends with the error and 1", async (target, message) => {
  const { code, err } = await run("inspect", target);
  expect(code).toBe(1);
  expect(err).toMatch(message);
  expect(err).not.toMatch(/\n {4}at /);
});

test("inspect on the Hub reads headers by ranges and downloads nothing", async () => {
  const { files } = hub.addFolder("owner/toy", "weights/toy");
  files.set("policy.pt", { bytes: readFileSync(`${fixtures}/module.pt`), lfs: true });
  let sent = 0;
  hub.onBytes = (count) => (sent += count);
  const { code, out } = await run("inspect", "owner/toy");
  expect(code).toBe(0);
  expect(out).toContain("owner/toy:transformer/diffusion_pytorch_model.safetensors");
  expect(out).toContain("owner/toy:policy.pt");
  expect(sent).toBeLessThan(100_000);
  expect(() => readdirSync(join(folder, "home"))).toThrow();
});

test("convert renames and drops, and leaves nothing half done", async () => {
  const output = join(folder, "out.safetensors");
  const args = [`${fixtures}/flat.pt`, output, "--rename", "net.=model.", "--drop", "*_extra_state"];
  const { code, out } = await run("convert-weights", ...args);
  expect(code).toBe(0);
  expect(out).toMatch(/3 tensors.*1 dropped/);
  const source = await openWeights(output);
  expect(source.tensors.has("model.scale")).toBe(true);
  await source.close();
  const damaged = join(folder, "damaged.pt");
  const bytes = readFileSync(`${fixtures}/flat.pt`);
  bytes[bytes.indexOf("data/0") + 100] ^= 1;
  writeFileSync(damaged, bytes);
  const failed = await run("convert-weights", damaged, join(folder, "never.safetensors"));
  expect(failed.code).toBe(1);
  expect(failed.err).toMatch(/checksum/);
  expect(readdirSync(folder).filter((name) => name.startsWith("never"))).toEqual([]);
  expect((await run("convert-weights", "a.pt")).err).toMatch(/^Usage/);
});
