/**
 * One cache, several containers or hosts: process ids mean nothing to one another there. Whoever writes has a file of its
 * own, what others left is taken over only when they cannot write to it, and what has the name of a hash has that hash.
 */
import { spawn } from "node:child_process";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { rolldown } from "rolldown";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type HubFile } from "../../src/weights/hub/api.ts";
import { RepoCache } from "../../src/weights/hub/cache.node.ts";
import { type Machine, thisMachine } from "../../src/weights/hub/machine.node.ts";
import { MockHub, sha256 } from "./mock-hub.ts";

const content = Uint8Array.from({ length: 2_000_000 }, (_, i) => (i * 31 + (i >> 9)) & 255);
const file: HubFile = {
  path: "model.safetensors",
  size: content.length,
  hash: sha256(content),
  algorithm: "sha256",
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "shared-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A process of another container or host, with the id of ours. */
const elsewhere = (place: string): Machine => ({ ...thisMachine(), place, runs: async () => false });
const blobs = (): string => join(folder, "models--owner--big/blobs");
const unfinished = (): string[] => readdirSync(blobs()).filter((name) => name !== file.hash);
const cacheOf = (machine?: Machine): RepoCache => new RepoCache(folder, "owner/big", machine);

describe("files under construction", () => {
  test("two containers write two files, whatever process ids they see", async () => {
    const [one, two] = [elsewhere("000000000001"), elsewhere("000000000002")];
    const first = await cacheOf(one).openPartial(file);
    await first.append(content.subarray(0, 1000));
    const second = await cacheOf(two).openPartial(file);
    expect(second.length).toBe(0);
    await second.append(content.subarray(0, 500));
    await first.append(content.subarray(1000));
    await second.append(content.subarray(500));
    await first.finish();
    await first.append(Uint8Array.of(1)).catch(() => {});
    await second.finish();
    expect(sha256(readFileSync(join(blobs(), file.hash)))).toBe(file.hash);
    expect(unfinished()).toEqual([]);
  });

  test("two of one process as well", async () => {
    const [first, second] = [await cacheOf().openPartial(file), await cacheOf().openPartial(file)];
    await first.append(content.subarray(0, 10));
    expect(unfinished().length).toBe(2);
    await first.close();
    await second.close();
  });

  test("what was given up is taken over from anywhere, the longest", async () => {
    const [short, long] = [await cacheOf().openPartial(file), await cacheOf().openPartial(file)];
    await short.append(content.subarray(0, 10));
    await long.append(content.subarray(0, 1000));
    await Promise.all([short.close(), long.close()]);
    const cache = cacheOf(elsewhere("000000000001"));
    expect(await cache.lackingBytes(file)).toBe(content.length - 1000);
    const part = await cache.openPartial(file);
    expect(part.length).toBe(1000);
    expect(unfinished().length).toBe(1);
    await part.close();
  });

  test("a process that is gone is one of this place, by its id and its start", async () => {
    const machine = thisMachine();
    expect(await machine.runs(machine.pid, machine.started)).toBe(true);
    // The same id, begun at another time, is another process.
    if (machine.started !== "0") expect(await machine.runs(machine.pid, "1")).toBe(false);
    const child = spawn(process.execPath, ["-e", ""]);
    await new Promise((ended) => child.on("close", ended));
    expect(await machine.runs(child.pid!, "1")).toBe(false);
    const dead = { ...machine, pid: child.pid!, started: "1" };
    const left = await cacheOf(dead).openPartial(file);
    await left.append(content.subarray(0, 1000));
    expect(await cacheOf(elsewhere("000000000001")).lackingBytes(file)).toBe(content.length);
    const part = await cacheOf().openPartial(file);
    expect(part.length).toBe(1000);
    await Promise.all([left.close(), part.close()]);
  });

  test("one of another place is taken over after an hour of silence, and cannot write to it then", async () => {
    const sleeper = await cacheOf(elsewhere("000000000001")).openPartial(file);
    await sleeper.append(content.subarray(0, 1_500_000));
    const [name] = unfinished();
    const cache = cacheOf(elsewhere("000000000002"));
    const ages = async (seconds: number) => {
      const at = Date.now() / 1000 - seconds;
      utimesSync(join(blobs(), name), at, at);
      return content.length - (await cache.lackingBytes(file));
    };
    expect([await ages(0), await ages(3000), await ages(4000)]).toEqual([0, 0, 1_500_000]);
    const part = await cache.openPartial(file);
    expect(part.length).toBe(1_500_000);
    await sleeper.append(new Uint8Array(1000));
    await part.append(content.subarray(1_500_000));
    await part.finish();
    await sleeper.append(new Uint8Array(1000));
    expect(sha256(readFileSync(join(blobs(), file.hash)))).toBe(file.hash);
    // It finds no file of its own left to give a name.
    await expect(sleeper.finish()).rejects.toThrow(/ENOENT/);
    expect(statSync(join(blobs(), file.hash)).size).toBe(content.length);
    expect(unfinished()).toEqual([]);
  });

  test("files of the Python client stay, and those of earlier versions go after an hour", async () => {
    await (await cacheOf().openPartial(file)).close();
    const [python, older] = [`${file.hash}.incomplete`, `${file.hash}.4194303.incomplete`];
    for (const name of [python, older]) writeFileSync(join(blobs(), name), "begun");
    const lengthNow = async (): Promise<number> => {
      const part = await cacheOf().openPartial(file);
      await part.close();
      return part.length;
    };
    expect(await lengthNow()).toBe(0);
    utimesSync(join(blobs(), older), 1e9, 1e9);
    utimesSync(join(blobs(), python), 1e9, 1e9);
    expect(await lengthNow()).toBe(5);
    expect(unfinished()).toContain(python);
    expect(unfinished()).not.toContain(older);
  });
});

describe("whole downloads", () => {
  let hub: MockHub;
  let client: string;
  beforeAll(async () => {
    hub = await MockHub.start();
    hub.add("owner/big", new Map([["model.safetensors", { bytes: content, lfs: true }]]));
    const place = mkdtempSync(join(tmpdir(), "clients-"));
    const from = (path: string): string => JSON.stringify(resolve("src/weights/hub", path));
    writeFileSync(
      join(place, "entry.ts"),
      `import { hubSettings } from ${from("environment.node.ts")};
      import { thisMachine } from ${from("machine.node.ts")};
      import { parseHubRef } from ${from("ref.ts")};
      import { resolveHubRef } from ${from("resolve-model.node.ts")};
      const machine = { ...thisMachine(), place: process.argv[2], pid: 7, runs: async () => false };
      await resolveHubRef(await hubSettings(), parseHubRef(process.argv[3])!, { machine, onProgress() {} });\n`,
    );
    client = join(place, "client.mjs");
    chmodSync(place, 0o755);
    const input = join(place, "entry.ts");
    const bundle = await rolldown({ input, platform: "node", external: ["undici"], logLevel: "silent" });
    await bundle.write({ file: client, format: "esm" });
    await bundle.close();
  });
  afterAll(async () => {
    await hub.stop();
    rmSync(resolve(client, ".."), { recursive: true, force: true });
  });

  const download = (place: string, ref = "owner/big", uid?: number): Promise<string> => {
    const env = { ...process.env, HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: folder, HOME: folder };
    const child = spawn(process.execPath, [client, place, ref], {
      env,
      uid,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let errors = "";
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    return new Promise((done) => {
      child.on("close", (code) => done(code === 0 ? "" : errors));
    });
  };

  test("by three containers at once, each the first process of its own", async () => {
    hub.pieceDelayMs = 20;
    hub.requests.length = 0;
    const places = ["000000000001", "000000000002", "000000000003"];
    const ended = await Promise.all(places.map((place) => download(place)));
    expect(ended).toEqual(["", "", ""]);
    expect(hub.requests.filter(({ storage }) => storage).length).toBeGreaterThan(1);
    expect(sha256(readFileSync(join(blobs(), file.hash)))).toBe(file.hash);
    expect(unfinished()).toEqual([]);
  });

  test("a cache that belongs to someone else serves what it has, and says so of what it has not", async () => {
    const root = process.getuid?.() === 0;
    hub.add("owner/other", new Map([["model.safetensors", { bytes: content.slice(1), lfs: true }]]));
    expect(await download("000000000001")).toBe("");
    // Without a note of its commit, which cannot be written now.
    rmSync(join(folder, "models--owner--big/refs"), { recursive: true });
    for (const path of [folder, join(folder, "models--owner--big")]) chmodSync(path, 0o555);
    // Root may write anywhere, so it becomes nobody.
    const nobody = root ? 65534 : undefined;
    expect(await download("000000000001", "owner/big", nobody)).toBe("");
    const refused = await download("000000000001", "owner/other", nobody);
    for (const path of [folder, join(folder, "models--owner--big")]) chmodSync(path, 0o755);
    expect(refused).toMatch(/cannot be written \(EACCES\): it belongs to someone else/);
  });
});
