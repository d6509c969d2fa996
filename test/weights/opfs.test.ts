/** The browser's side in Node: hashes against Node's own, and OPFS played by memory. Real browsers are another test. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { HubError } from "../../src/errors.ts";
import { streamingHasher } from "../../src/weights/hub/hash.ts";
import { fetchModelToOpfs } from "../../src/weights/hub/opfs.browser.ts";
import { parseHubRef } from "../../src/weights/hub/ref.ts";
import { openAnyWeights } from "../../src/weights/open.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import type { Choose } from "../../src/weights/hub/remote-files.ts";
import { recognise } from "../../src/systems/registry.ts";
import { MockHub, sha256 } from "./mock-hub.ts";

test.each(["sha256", "sha1"] as const)("%s of any length, in pieces of any size", (algorithm) => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 167) >> 3);
  for (const length of [0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000]) {
    for (const piece of [1, 7, 64, 1000]) {
      const hasher = streamingHasher(algorithm);
      for (let at = 0; at < length; at += piece)
        hasher.update(bytes.subarray(at, Math.min(length, at + piece)));
      const expected = createHash(algorithm).update(bytes.subarray(0, length)).digest("hex");
      expect(hasher.hex(), `${length} in ${piece}`).toBe(expected);
    }
  }
});

/** As much of OPFS as is used. */
class MemoryFolder {
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();
  capacity = Infinity;
  async getDirectoryHandle() {
    return this;
  }
  async removeEntry(name: string) {
    this.files.delete(name);
  }
  async getFileHandle(name: string, options?: { create?: boolean }) {
    if (!this.files.has(name)) {
      if (!options?.create) throw new DOMException("none", "NotFoundError");
      this.files.set(name, new Uint8Array(0));
    }
    return {
      getFile: async () => new File([this.files.get(name)!], name),
      createWritable: async ({ keepExistingData = false } = {}) => {
        let content = keepExistingData ? this.files.get(name)! : new Uint8Array(0);
        let at = 0;
        const write = async (chunk: Uint8Array) => {
          if (at + chunk.length > this.capacity) throw new DOMException("full", "QuotaExceededError");
          const grown = new Uint8Array(Math.max(content.length, at + chunk.length));
          grown.set(content);
          grown.set(chunk, at);
          [content, at] = [grown, at + chunk.length];
        };
        const close = async () => void this.files.set(name, content);
        const stream = new WritableStream<Uint8Array>({ write, close });
        return Object.assign(stream, { write, close, seek: async (to: number) => void (at = to) });
      },
    };
  }
}

let hub: MockHub;
let folder: MemoryFolder;
let persisted: boolean;
beforeAll(async () => {
  hub = await MockHub.start();
  hub.addFolder("owner/toy", "weights/toy");
});
afterAll(() => hub.stop());
beforeEach(() => {
  folder = new MemoryFolder();
  persisted = false;
  hub.requests.length = 0;
  hub.fault = () => undefined;
});

function fetchToy(ref: string, quota = 1e9, choose?: Choose) {
  const storage = {
    getDirectory: async () => folder,
    persist: async () => (persisted = true),
    estimate: async () => ({ quota, usage: 1000 }),
  } as unknown as StorageManager;
  const retry = { attempts: 2, firstDelayMs: 1, maxDelayMs: 2, idleMs: 2000 };
  return fetchModelToOpfs(parseHubRef(ref)!, { endpoint: hub.endpoint, storage, choose, client: { retry } });
}

test("a model arrives in OPFS, verified, persistent, and opens from there", async () => {
  const sources = await fetchToy("owner/toy");
  expect(persisted).toBe(true);
  for (const [path, source] of sources) {
    const expected = readFileSync(`weights/toy/${path}`);
    expect(Buffer.from(await source.read(0, source.size)).equals(expected), path).toBe(true);
  }
  const weights = await openAnyWeights(sources.get("transformer/diffusion_pytorch_model.safetensors")!);
  expect(weights.tensors.size).toBeGreaterThan(50);
  expect([...folder.files.keys()].filter((name) => name.includes("incomplete"))).toEqual([]);
  hub.requests.length = 0;
  await fetchToy("owner/toy");
  expect(hub.requests.some(({ path }) => path.includes("/resolve/"))).toBe(false);
});

test("a system chooses its files: those of statistics beside the weights too, and only them", async () => {
  const mini = "test/pusht-mini/migrated";
  hub.addFolder("owner/plans", mini);
  const choose: Choose = async (remote) => (await recognise(remote)).needed(remote, {});
  const sources = await fetchToy("owner/plans", 1e9, choose);
  const states = [...sources.keys()].filter((path) => /processor.*\.safetensors$/.test(path));
  expect(states.length).toBeGreaterThan(0);
  expect([...sources.keys()].sort()).toEqual([...(await choose(await openModelFolder(mini)))].sort());
  await expect(fetchToy("owner/nothing-known", 1e9, choose)).rejects.toThrow(HubError);
});

test("what a closed tab left is resumed by range", async () => {
  const content = readFileSync("weights/toy/vae/diffusion_pytorch_model.safetensors");
  folder.files.set(`${sha256(content)}.incomplete`, Uint8Array.from(content.subarray(0, 5000)));
  const sources = await fetchToy("owner/toy:vae");
  expect(hub.requests.filter(({ storage }) => storage).map(({ range }) => range)).toEqual(["bytes=5000-"]);
  const source = sources.get("diffusion_pytorch_model.safetensors")!;
  expect(Buffer.from(await source.read(0, source.size)).equals(content)).toBe(true);
});

test("room is asked for what is missing, not for what has arrived", async () => {
  const content = readFileSync("weights/toy/vae/diffusion_pytorch_model.safetensors");
  folder.files.set(`${sha256(content)}.incomplete`, Uint8Array.from(content.subarray(0, 680_000)));
  // The configuration beside it is a small file.
  const config = readFileSync("weights/toy/vae/config.json").length;
  const lacking = content.length - 680_000 + config;
  await expect(fetchToy("owner/toy:vae", 1000 + lacking - 1)).rejects.toThrow(/are to be stored/);
  expect((await fetchToy("owner/toy:vae", 1000 + lacking)).size).toBe(2);
});

test("two tabs do not write one file: the second waits, and finds it there", async () => {
  const held = new Map<string, Promise<unknown>>();
  // The part of Web Locks that is used; Node has none.
  const request = (name: string, run: () => Promise<unknown>): Promise<unknown> => {
    const turn = (held.get(name) ?? Promise.resolve()).catch(() => {}).then(run);
    held.set(name, turn);
    return turn;
  };
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { locks: { request } }, configurable: true });
  try {
    await Promise.all([fetchToy("owner/toy:vae"), fetchToy("owner/toy:vae")]);
  } finally {
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else Reflect.deleteProperty(globalThis, "navigator");
  }
  expect(held.size).toBe(2);
  expect(hub.requests.filter(({ storage }) => storage).length).toBe(1);
});

test("an interruption keeps what has arrived", async () => {
  hub.fault = ({ storage }) => (storage ? { endAfter: 100_000 } : undefined);
  await fetchToy("owner/toy:vae/diffusion_pytorch_model.safetensors").catch(() => {});
  const left = [...folder.files].find(([name]) => name.includes("incomplete"));
  expect(left?.[1].length ?? 683_784).toBeGreaterThanOrEqual(100_000);
});

test("no room is told with numbers, before and during", async () => {
  await expect(fetchToy("owner/toy", 2000)).rejects.toThrow(/are to be stored.*may store 1.00 kB more/);
  folder.capacity = 10_000;
  const error: unknown = await fetchToy("owner/toy:vae").catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(HubError);
  expect((error as Error).message).toMatch(/684 kB are to be stored/);
});

test("everything that is not for Node bundles without Node", async () => {
  const input = [
    "open.ts",
    "sharded.ts",
    "safetensors.ts",
    "blob.ts",
    "convert.ts",
    "rename.ts",
    "listing.ts",
  ];
  const entries = [...input, "hub/opfs.browser.ts", "hub/range-source.ts"].map(
    (file) => `src/weights/${file}`,
  );
  const warnings: string[] = [];
  const onLog = (_: string, log: { message: string }) => void warnings.push(log.message);
  const bundle = await rolldown({ input: entries, platform: "browser", onLog });
  const { output } = await bundle.generate({ format: "esm" });
  await bundle.close();
  expect(warnings).toEqual([]);
  for (const chunk of output)
    if (chunk.type === "chunk") expect(chunk.code).not.toMatch(/from "node:|\brequire\(/);
});
