/** `npm run inspect` and `npm run convert` as processes: what they print, how they end. */
import { execFile, spawn } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openWeights } from "../../src/weights/open.node.ts";
import { helpText } from "../../src/commands/terminal.node.ts";
import { encodeSafetensors, openSafetensors } from "../../src/weights/safetensors.ts";
import { bytesSource } from "../../src/weights/blob.ts";
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
  expect((await run("inspect", "weights/toy")).out.match(/^total: /gm)?.length).toBe(9);
});

test.each([
  [`${fixtures}/os-system.pt`, /posix\.system.*not allowed/],
  [`${fixtures}/expected.json`, /expected\.json.*header/],
  [fixtures, /./],
  ["no/where", /no local "no\/where".*status 401/],
  ["--nonsense", /Unknown option '--nonsense'/],
  ["weights/toyy", /^weights\/toyy: there is no such file/],
  ["./a/b", /^\.\/a\/b: there is no such file/],
  ["a/b.safetensors", /^a\/b\.safetensors: there is no such file/],
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

test.each(["inspect", "convert-weights"] as const)(
  "%s --help is printed, at the width of the terminal",
  async (command) => {
    const { code, out, err } = await run(command, "--help");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^Usage: npm run .*--no-verify/s);
    expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
  },
);

test("help is wrapped at any width, and no word is lost", () => {
  const lines = [
    ["--long-option VALUE", "what it means in so many words"],
    ["-s", "short"],
  ] as const;
  for (const width of [40, 60, 200]) {
    const text = helpText("Usage: command", lines, width);
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(width);
    expect(text.split(/\s+/).join(" ")).toBe(
      "Usage: command --long-option VALUE what it means in so many words -s short",
    );
  }
});

describe("output that nobody reads", () => {
  const shell = async (line: string) =>
    new Promise<{ code: number; out: string; err: string }>((resolve) => {
      const script = `set -o pipefail; ${line.replace(/(inspect|convert-weights)\b/g, `"$NODE" "$FOLDER/$1.mjs"`)}`;
      const env = { ...process.env, NODE: process.execPath, FOLDER: folder, HF_ENDPOINT: hub.endpoint };
      execFile("bash", ["-c", script], { env }, (error, out, err) => {
        resolve({ code: error === null ? 0 : Number(error.code), out, err });
      });
    });
  const all = "weights/toy weights/toy weights/toy weights/toy";

  test("a listing ends quietly when its reader does", async () => {
    expect(await shell(`inspect ${all} | head -1`)).toMatchObject({ code: 0, err: "" });
    expect(await shell(`inspect ${all} 2>&1 | head -2`)).toMatchObject({ code: 0, err: "" });
    expect((await shell(`inspect no/where.pt 2>&1 >/dev/null | true`)).err).toBe("");
  });

  test.skipIf(!existsSync("/dev/full"))("a full disk behind it is said in a line", async () => {
    const { code, err } = await shell(`inspect weights/toy > /dev/full`);
    expect([code, err]).toEqual([1, "Standard output cannot be written (ENOSPC).\n"]);
    expect((await shell(`inspect weights/toy > /dev/full 2>&1`)).code).toBe(1);
  });

  test("a conversion is finished all the same", async () => {
    const output = join(folder, "unread.safetensors");
    await shell(`convert-weights ${fixtures}/flat.pt ${output} 2>&1 | true`);
    expect((await openSafetensors(bytesSource(readFileSync(output)))).tensors.size).toBe(4);
    rmSync(output);
    if (existsSync("/dev/full"))
      await shell(`convert-weights ${fixtures}/flat.pt ${output} > /dev/full 2>&1`);
    else return;
    expect((await openSafetensors(bytesSource(readFileSync(output)))).tensors.size).toBe(4);
  });
});

test.each(["SIGINT", "SIGTERM"] as const)("an interrupted conversion leaves nothing: %s", async (signal) => {
  const place = mkdtempSync(join(folder, "interrupted-"));
  const header = JSON.stringify({ w: { dtype: "U8", shape: [2 ** 31], data_offsets: [0, 2 ** 31] } }).padEnd(
    128,
  );
  const input = openSync(join(place, "in.safetensors"), "w");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(128n);
  writeSync(input, Buffer.concat([length, Buffer.from(header)]));
  // A hole: two gigabytes that take no room.
  ftruncateSync(input, 8 + 128 + 2 ** 31);
  const child = spawn(
    process.execPath,
    [join(folder, "convert-weights.mjs"), "in.safetensors", "out.safetensors"],
    { cwd: place },
  );
  const ended = new Promise<number | null>((done) => child.on("close", done));
  while (!readdirSync(place).some((name) => name.endsWith(".incomplete")))
    await new Promise((soon) => setTimeout(soon, 5));
  child.kill(signal);
  expect(await ended).toBe(signal === "SIGINT" ? 130 : 143);
  expect(readdirSync(place)).toEqual(["in.safetensors"]);
});

test("convert keeps the metadata, and reads past checksums only when told to", async () => {
  const [input, output] = [join(folder, "with.safetensors"), join(folder, "kept.safetensors")];
  const tensors = [{ name: "w", dtype: "U8", shape: [1], data: Uint8Array.of(1) }] as const;
  writeFileSync(input, await encodeSafetensors(tensors, { step: "7", format: "pt", note: "é" }));
  expect((await run("convert-weights", input, output)).code).toBe(0);
  const { metadata } = await openSafetensors(bytesSource(readFileSync(output)));
  expect([...metadata]).toEqual([
    ["step", "7"],
    ["format", "pt"],
    ["note", "é"],
  ]);
  const damaged = join(folder, "unchecked.pt");
  const bytes = readFileSync(`${fixtures}/flat.pt`);
  bytes[bytes.indexOf("data/0") + 100] ^= 1;
  writeFileSync(damaged, bytes);
  expect((await run("convert-weights", damaged, output)).err).toMatch(/checksum/);
  expect((await run("convert-weights", damaged, output, "--no-verify")).code).toBe(0);
});

test("convert puts a prefix before every key", async () => {
  const output = join(folder, "prefixed.safetensors");
  expect((await run("convert-weights", `${fixtures}/flat.pt`, output, "--rename", "=model.")).code).toBe(0);
  const keys = [...(await openSafetensors(bytesSource(readFileSync(output)))).tensors.keys()];
  expect(keys.every((key) => key.startsWith("model.net."))).toBe(true);
});

test("inspect follows links to folders, not in circles, and says which link leads nowhere", async () => {
  const place = mkdtempSync(join(folder, "links-"));
  symlinkSync(resolve("weights/toy"), join(place, "toy"));
  symlinkSync(place, join(place, "self"));
  const followed = await run("inspect", place);
  expect(followed.code).toBe(0);
  // Three folders deep, so that the parts of the model are seen.
  expect(followed.out.match(/^total: /gm)?.length).toBe(9);
  const snapshot = join(place, "models--owner--name/snapshots/abc");
  mkdirSync(snapshot, { recursive: true });
  symlinkSync("../../blobs/123", join(snapshot, "model.safetensors"));
  const dangling = await run("inspect", snapshot);
  expect(dangling.code).toBe(1);
  expect(dangling.err).toMatch(
    /model\.safetensors: a link to \.\.\/\.\.\/blobs\/123, which is not there.*owner\/name/,
  );
  await expect(openWeights(snapshot)).rejects.toThrow(/which is not there/);
});

test("an index of shards may be named itself", async () => {
  const place = mkdtempSync(join(folder, "index-"));
  copyFileSync(`${fixtures}/flat.pt`, join(place, "a.bin"));
  const source = await openWeights(join(place, "a.bin"));
  const keys = [...source.tensors.keys()];
  await source.close();
  const index = join(place, "pytorch_model.bin.index.json");
  writeFileSync(index, JSON.stringify({ weight_map: Object.fromEntries(keys.map((key) => [key, "a.bin"])) }));
  expect((await run("inspect", index)).out).toContain("total: 4 tensors");
  expect((await run("inspect", place)).out.match(/^total: /gm)?.length).toBe(1);
});
