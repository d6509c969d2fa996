/**
 * A download ended 50 times by SIGKILL and another 50 times by a connection reset, at random (seeded) points, ends in
 * correct files. The client runs as a user's would: a process of its own, told of the Hub by HF_ENDPOINT.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { hubSettings } from "../../src/weights/hub/environment.node.ts";
import { parseHubRef } from "../../src/weights/hub/ref.ts";
import { resolveHubRef } from "../../src/weights/hub/resolve-model.node.ts";
import { MockHub } from "./mock-hub.ts";

const times = 50;
let hub: MockHub;
let folder: string;
let client: string;

beforeAll(async () => {
  hub = await MockHub.start();
  hub.addFolder("owner/toy", "weights/toy");
  folder = mkdtempSync(join(tmpdir(), "kills-"));
  const entry = join(folder, "entry.ts");
  const module = JSON.stringify(resolve("src/weights/hub/resolve-model.node.ts"));
  writeFileSync(
    entry,
    `import { resolveModel } from ${module};\nconsole.log(await resolveModel(process.argv[2]));\n`,
  );
  client = join(folder, "client.mjs");
  const bundle = await rolldown({ input: entry, platform: "node", external: ["undici"], logLevel: "silent" });
  await bundle.write({ file: client, format: "esm" });
  await bundle.close();
});
afterAll(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  rmSync(join(folder, "home"), { recursive: true, force: true });
  hub.requests.length = 0;
  hub.onBytes = () => {};
  hub.fault = () => undefined;
  hub.pieceBytes = 64 * 1024;
  hub.pieceDelayMs = 0;
});

/** The same numbers in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Runs the client; `killAfter` bytes sent by the Hub it is killed. Returns its output, or undefined if killed. */
async function run(killAfter: number): Promise<string | undefined> {
  const child = spawn(process.execPath, [client, "owner/toy"], {
    env: { ...process.env, HF_ENDPOINT: hub.endpoint, HF_HOME: join(folder, "home") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [sent, output, errors] = [0, "", ""];
  child.stdout.on("data", (data: Buffer) => (output += data.toString()));
  child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
  hub.onBytes = (count) => {
    sent += count;
    if (sent > killAfter) child.kill("SIGKILL");
  };
  const [code, signal] = await new Promise<[number | null, string | null]>((done) => {
    child.on("close", (...ended) => done(ended));
  });
  if (signal === "SIGKILL") return undefined;
  expect(errors.replace(/^.* \(\d+ %\).*\n/gm, "")).toBe("");
  expect(code).toBe(0);
  return output.trim();
}

function expectToy(path: string): void {
  let files = 0;
  for (const name of readdirSync("weights/toy", { recursive: true, withFileTypes: true })) {
    if (!name.isFile() || name.name === "README.md") continue;
    const file = join(name.parentPath, name.name).slice("weights/toy/".length);
    expect(readFileSync(join(path, file)).equals(readFileSync(join("weights/toy", file))), file).toBe(true);
    files++;
  }
  expect(files).toBeGreaterThan(10);
  const blobs = readdirSync(resolve(path, "../../blobs"));
  expect(blobs.filter((name) => name.includes("incomplete"))).toEqual([]);
}

const resumed = () => hub.requests.filter(({ storage, range }) => storage && range !== undefined).length;

test(`${times} kills`, async () => {
  const random = seeded(3);
  // Slow enough that the client keeps up: what lies unread in a socket when it dies is lost.
  hub.pieceBytes = 16 * 1024;
  hub.pieceDelayMs = 1;
  let kills = 0;
  let path: string | undefined;
  while (kills < times) {
    // Some die among the first requests; the further ones go, the nearer the end all come.
    path = await run(random() * 500_000);
    if (path !== undefined) rmSync(join(folder, "home"), { recursive: true });
    else kills++;
  }
  hub.pieceDelayMs = 0;
  path = await run(Infinity);
  expectToy(path!);
  expect(resumed()).toBeGreaterThan(times / 4);
});

test(`${times} connection resets`, async () => {
  const random = seeded(4);
  const pieces = 8 * 1024;
  hub.pieceBytes = pieces;
  let resets = 0;
  hub.fault = ({ storage }) => {
    if (!storage || resets >= times) return undefined;
    resets++;
    return { resetAfter: Math.floor((random() * 400_000) / pieces) * pieces };
  };
  const settings = await hubSettings({ HF_ENDPOINT: hub.endpoint, HF_HOME: join(folder, "home") });
  const retry = { attempts: 6, firstDelayMs: 1, maxDelayMs: 4, idleMs: 5000 };
  const path = await resolveHubRef(
    { ...settings, client: { ...settings.client, retry } },
    parseHubRef("owner/toy")!,
  );
  expectToy(path);
  expect(resets).toBe(times);
  expect(resumed()).toBeGreaterThan(times / 4);
});
