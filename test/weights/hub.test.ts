/** The Hub client against a Hub on loopback: what is fetched, what is kept, and what a person is told. */
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { HubError } from "../../src/errors.ts";
import { hubSettings, type HubSettings } from "../../src/weights/hub/environment.node.ts";
import { type FetchOptions } from "../../src/weights/hub/fetch-model.node.ts";
import { type Progress } from "../../src/weights/hub/progress.ts";
import { parseHubRef } from "../../src/weights/hub/ref.ts";
import { resolveHubRef } from "../../src/weights/hub/resolve-model.node.ts";
import { type Fault, gitHash, type LoggedRequest, type MockFile, MockHub, sha256 } from "./mock-hub.ts";

let hub: MockHub;
let home: string;

beforeAll(async () => {
  hub = await MockHub.start();
});
afterAll(() => hub.stop());
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hub-"));
  hub.repos.clear();
  hub.requests.length = 0;
  hub.fault = () => undefined;
  hub.pageSize = 1000;
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

async function settings(env: NodeJS.ProcessEnv = {}, idleMs = 2000): Promise<HubSettings> {
  const found = await hubSettings({ HF_ENDPOINT: `${hub.endpoint}/`, HF_HOME: home, ...env });
  const retry = { attempts: 4, firstDelayMs: 1, maxDelayMs: 5, idleMs };
  return { ...found, client: { ...found.client, retry } };
}

async function get(ref: string, env: NodeJS.ProcessEnv = {}, options: FetchOptions = {}): Promise<string> {
  return resolveHubRef(await settings(env), parseHubRef(ref)!, options);
}

const text = (content: string): MockFile => ({ bytes: new TextEncoder().encode(content), lfs: false });
const large = (bytes: number, seed = 1): MockFile => ({
  bytes: Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255),
  lfs: true,
});

/** A fault for the first `count` requests that `applies` to. */
function faults(count: number, fault: Fault, applies: (request: LoggedRequest) => boolean = () => true) {
  let left = count;
  hub.fault = (request) => (applies(request) && left-- > 0 ? fault : undefined);
}

function expectSame(folder: string, path: string): void {
  for (const name of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const file = join(name.parentPath, name.name).slice(folder.length + 1);
    expect(readFileSync(join(path, file)).equals(readFileSync(join(folder, file))), file).toBe(true);
  }
}

describe("a model", () => {
  test("arrives whole, in the layout of the Python cache, with a full progress", async () => {
    const { commit } = hub.addFolder("owner/toy", "weights/toy");
    hub.repos.get("owner/toy")!.files.set("transformer/model.fp32.bin", large(10));
    hub.repos.get("owner/toy")!.files.set("other/model.safetensors", large(10));
    hub.pageSize = 3;
    let last: Progress | undefined;
    const path = await get("owner/toy", {}, { onProgress: (progress) => (last = { ...progress }) });
    const repo = join(home, "hub", "models--owner--toy");
    expect(path).toBe(join(repo, "snapshots", commit));
    for (const part of [
      "transformer",
      "vae",
      "text_encoder",
      "tokenizer",
      "action_decoder",
      "episodes",
      "more",
    ]) {
      expectSame(`weights/toy/${part}`, join(path, part));
    }
    expect(readdirSync(path).sort()).toEqual([
      "action_decoder",
      "episodes",
      "model.json",
      "more",
      "text_encoder",
      "tokenizer",
      "transformer",
      "vae",
    ]);
    expect(readdirSync(join(path, "transformer")).length).toBe(2);
    expect(readFileSync(join(repo, "refs", "main"), "utf8")).toBe(commit);
    const weights = readFileSync("weights/toy/vae/diffusion_pytorch_model.safetensors");
    const link = readlinkSync(join(path, "vae/diffusion_pytorch_model.safetensors"));
    expect(link).toBe(`../../../blobs/${sha256(weights)}`);
    const config = readFileSync("weights/toy/vae/config.json");
    expect(readlinkSync(join(path, "vae/config.json"))).toBe(`../../../blobs/${gitHash(config)}`);
    expect(readdirSync(join(repo, "blobs")).filter((name) => name.includes("incomplete"))).toEqual([]);
    expect(last!.bytes).toBe(last!.totalBytes);
    expect(last!.files).toBe(last!.totalFiles);
  });

  test("is not downloaded again, also under another revision, and lies ready offline", async () => {
    hub.addFolder("owner/toy", "weights/toy");
    const path = await get("owner/toy");
    hub.requests.length = 0;
    expect(await get("owner/toy@refs/pr/1")).toBe(path);
    expect(hub.requests.filter(({ path: asked }) => asked.includes("/resolve/"))).toEqual([]);
    expect(
      await get("owner/toy@refs/pr/1", { HF_HUB_OFFLINE: "yes", HF_ENDPOINT: "http://127.0.0.1:1" }),
    ).toBe(path);
    expect(await get("owner/toy", { HF_ENDPOINT: "http://127.0.0.1:1" })).toBe(path);
    faults(99, { status: 503 });
    expect(await get("owner/toy")).toBe(path);
  });

  test("offline and not there says what is lacking", async () => {
    await expect(get("owner/toy", { HF_HUB_OFFLINE: "1" })).rejects.toThrow(
      /HF_HUB_OFFLINE.*lacks revision main/,
    );
    hub.addFolder("owner/toy", "weights/toy");
    rmSync(join(await get("owner/toy"), "vae/config.json"));
    await expect(get("owner/toy", { HF_HUB_OFFLINE: "1" })).rejects.toThrow(/lacks .*vae\/config.json/);
  });

  test("in a subfolder, or a single file", async () => {
    const { commit } = hub.addFolder("owner/zoo", "weights/toy", "models/toy/");
    hub.repos.get("owner/zoo")!.files.set("policy.pt", large(100));
    expect(await get("owner/zoo:policy.pt")).toBe(
      join(home, "hub/models--owner--zoo/snapshots", commit, "policy.pt"),
    );
    expectSame("weights/toy/vae", join(await get(`owner/zoo@${commit}:models/toy`), "vae"));
    await expect(get("owner/zoo:nothing")).rejects.toThrow(/no "nothing"/);
  });

  test("in shards, without the other formats", async () => {
    const index = JSON.stringify({ weight_map: { a: "m-1.safetensors", b: "m-2.safetensors" } });
    hub.add(
      "owner/shards",
      new Map([
        ["config.json", text("{}")],
        ["m.safetensors.index.json", text(index)],
        ["m-1.safetensors", large(11)],
        ["m-2.safetensors", large(12)],
        ["m-3.safetensors", large(13)],
        ["pytorch_model.bin", large(14)],
        ["README.md", text("x")],
      ]),
    );
    expect(readdirSync(await get("owner/shards")).sort()).toEqual([
      "config.json",
      "m-1.safetensors",
      "m-2.safetensors",
      "m.safetensors.index.json",
    ]);
  });

  test("of a diffusers pipeline: the parts, not the other formats at the root", async () => {
    const names = [
      "model_index.json",
      "vae/config.json",
      "tokenizer/spiece.model",
      "scheduler/scheduler_config.json",
    ];
    const weights = [
      "a.pt",
      "b.pt",
      "vae/diffusion_pytorch_model.safetensors",
      "vae/diffusion_pytorch_model.fp16.safetensors",
    ];
    const files = [
      ...names.map((name) => [name, text(name)]),
      ...weights.map((name, i) => [name, large(9, i)]),
    ];
    hub.add("owner/pipeline", new Map(files as [string, MockFile][]));
    const path = await get("owner/pipeline");
    const found = readdirSync(path, { recursive: true }).filter((name) => String(name).includes("."));
    expect(found.sort()).toEqual([...names, "vae/diffusion_pytorch_model.safetensors"].sort());
  });

  test("files of equal content are one download", async () => {
    hub.add(
      "owner/twins",
      new Map([
        ["a/model.safetensors", large(9)],
        ["b/model.safetensors", large(9)],
      ]),
    );
    const path = await get("owner/twins");
    expect(
      readFileSync(join(path, "a/model.safetensors")).equals(readFileSync(join(path, "b/model.safetensors"))),
    ).toBe(true);
    expect(hub.requests.filter(({ storage }) => storage).length).toBe(1);
  });
});

describe("interruptions", () => {
  const content = large(300_000);
  const isFile = ({ storage }: LoggedRequest) => storage;
  beforeEach(() =>
    hub.add(
      "owner/one",
      new Map([
        ["model.safetensors", content],
        ["empty.json", text("")],
      ]),
    ),
  );
  const arrived = async (promise: Promise<string>) => {
    const path = await promise;
    expect(sha256(readFileSync(join(path, "model.safetensors")))).toBe(sha256(content.bytes));
    expect(readFileSync(join(path, "empty.json")).length).toBe(0);
  };
  const ranges = () => hub.requests.filter(isFile).map(({ range }) => range);

  test.each<[string, Fault]>([
    ["a reset", { resetAfter: 131072 }],
    ["an early end", { endAfter: 131072 }],
    ["silence", { stallAfter: 131072 }],
  ])("%s is resumed by range", async (_, fault) => {
    faults(1, fault, isFile);
    await arrived(resolveHubRef(await settings({}, 200), parseHubRef("owner/one")!));
    // What was in flight when the connection was reset may be lost.
    expect(ranges().length).toBe(2);
    if (!("resetAfter" in fault)) expect(ranges()[1]).toBe("bytes=131072-");
  });

  test.each<[string, Fault]>([
    ["429", { status: 429, headers: { "retry-after": "0" } }],
    ["503", { status: 503 }],
    [
      "500 with a date to retry",
      { status: 500, headers: { "retry-after": "Sun, 22 Nov 2020 00:00:00 GMT" } },
    ],
  ])("%s passes", async (_, fault) => {
    faults(3, fault);
    await arrived(get("owner/one"));
  });

  test("Retry-After is honoured, and one that is too long is told", async () => {
    faults(1, { status: 429, headers: { "retry-after": "1" } }, isFile);
    const started = performance.now();
    await arrived(get("owner/one"));
    expect(performance.now() - started).toBeGreaterThan(990);
    faults(1, { status: 429, headers: { "retry-after": "3600" } });
    await expect(get("owner/one")).rejects.toThrow(/wait 3600 s/);
  });

  test("the Hub's own RateLimit is honoured as well, and tells to use a token", async () => {
    faults(1, { status: 429, headers: { ratelimit: '"resolvers";r=0;t=0' } }, isFile);
    const started = performance.now();
    await arrived(get("owner/one"));
    expect(performance.now() - started).toBeGreaterThan(990);
    faults(1, { status: 429, headers: { ratelimit: '"api";r=0;t=301' } });
    await expect(get("owner/one")).rejects.toThrow(/wait 302 s.*HF_TOKEN/);
  });

  test("a server that ignores the range makes it start over", async () => {
    let served = 0;
    hub.fault = (request) =>
      isFile(request) ? (served++ === 0 ? { endAfter: 100_000 } : { ignoreRange: true }) : undefined;
    await arrived(get("owner/one"));
  });

  test("a changed bit is noticed: once mended, twice refused and not kept", async () => {
    faults(1, { corrupt: true }, isFile);
    await arrived(get("owner/one"));
    rmSync(home, { recursive: true });
    faults(2, { corrupt: true }, isFile);
    await expect(get("owner/one")).rejects.toThrow(/another sha256/);
    await arrived(get("owner/one"));
    rmSync(home, { recursive: true });
    faults(9, { append: 5 }, isFile);
    await expect(get("owner/one")).rejects.toThrow(/goes on after its 300000 bytes/);
  });

  test("a resumed file that was damaged is fetched once more from the start", async () => {
    const blobs = join(home, "hub/models--owner--one/blobs");
    mkdirSync(blobs, { recursive: true });
    writeFileSync(join(blobs, `${sha256(content.bytes)}.free-00000000.incomplete`), new Uint8Array(250_000));
    await arrived(get("owner/one"));
    expect(ranges()).toEqual(["bytes=250000-", undefined]);
    expect(readdirSync(blobs).filter((name) => name.includes("incomplete"))).toEqual([]);
  });

  test("room is asked for what is missing, not for what has arrived", async () => {
    let served = 0;
    hub.fault = (request) => (isFile(request) ? { endAfter: served++ === 0 ? 200_000 : 0 } : undefined);
    await expect(get("owner/one")).rejects.toThrow(/stopped at 200000 of 300000/);
    hub.fault = () => undefined;
    await expect(get("owner/one", {}, { freeBytes: async () => 99_000 })).rejects.toThrow(
      /100 kB are to be downloaded, but .* has room for 99.0 kB/,
    );
    await arrived(get("owner/one", {}, { freeBytes: async () => 100_000 }));
    expect(ranges().at(-1)).toBe("bytes=200000-");
  });

  test("a list of files cut short is asked for again", async () => {
    faults(2, { status: 200, headers: { "content-length": "5000" } }, ({ path }) => path.includes("/tree/"));
    await arrived(resolveHubRef(await settings({}, 200), parseHubRef("owner/one")!));
    faults(9, { status: 200 }, ({ path }) => path.includes("/tree/"));
    await expect(get("owner/one")).rejects.toThrow(/list of its files could not be had.*4 attempts.*JSON/);
  });

  test("two at once in one process share the download", async () => {
    const [first, second] = [get("owner/one"), get("owner/one")];
    await arrived(first);
    await arrived(second);
    expect(ranges().length).toBe(1);
  });

  test("after too many failures in a row it says what is there", async () => {
    faults(99, { endAfter: 0 }, isFile);
    await expect(get("owner/one")).rejects.toThrow(/stopped at 0 of 300000 bytes, 4 times in a row/);
    faults(99, { status: 502 });
    await expect(get("owner/one")).rejects.toThrow(/4 attempts \(status 502\)/);
    const gone = await MockHub.start();
    await gone.stop();
    await expect(get("owner/one", { HF_ENDPOINT: gone.endpoint })).rejects.toThrow(/4 attempts.*HF_ENDPOINT/);
  });

  test("a port that fetch does not connect to is said at once", async () => {
    await expect(get("owner/one", { HF_ENDPOINT: "http://127.0.0.1:1" })).rejects.toThrow(
      /in 1 attempt \(bad port\).*HF_ENDPOINT/,
    );
  });
});

describe("refusals", () => {
  const token = "hf_secret";
  beforeEach(() => hub.addFolder("owner/toy", "weights/toy"));

  test("a token goes to the Hub and not to the storage host, from the variable or the file", async () => {
    hub.repos.get("owner/toy")!.token = token;
    await get("owner/toy:vae", { HF_TOKEN: ` ${token}\n` });
    writeFileSync(join(home, "token"), `${token}\n`);
    await get("owner/toy:transformer");
    for (const { storage, authorization } of hub.requests) {
      expect(authorization).toBe(storage ? undefined : `Bearer ${token}`);
    }
    expect(hub.requests.some(({ storage }) => storage)).toBe(true);
  });

  test.each<[string, string, () => void, NodeJS.ProcessEnv, RegExp]>([
    [
      "private, no token",
      "owner/toy",
      () => (hub.repos.get("owner/toy")!.token = token),
      {},
      /private or does not exist.*HF_TOKEN/,
    ],
    [
      "private, wrong token",
      "owner/toy",
      () => (hub.repos.get("owner/toy")!.token = token),
      { HF_TOKEN: "x" },
      /not valid/,
    ],
    [
      "gated, no token",
      "owner/toy",
      () => (hub.repos.get("owner/toy")!.gated = true),
      {},
      /gated.*\/owner\/toy, accept its terms.*set HF_TOKEN/,
    ],
    [
      "gated, with a token",
      "owner/toy",
      () => (hub.repos.get("owner/toy")!.gated = true),
      { HF_TOKEN: "x" },
      /accept its terms, then run again/,
    ],
    ["no such repository", "owner/none", () => {}, {}, /does not exist: check the name/],
    ["no such revision", "owner/toy@v9", () => {}, {}, /revision v9: no such branch/],
  ])("%s", async (_, ref, arrange, env, message) => {
    arrange();
    const error: unknown = await get(ref, env).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HubError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain(token);
  });

  test("no room: how much is needed and how much there is", async () => {
    await expect(get("owner/toy", {}, { freeBytes: async () => 1000 })).rejects.toThrow(
      /are to be downloaded, but .* has room for 1.00 kB.*HF_HUB_CACHE/,
    );
  });

  test.each([
    "../evil",
    "/etc/passwd",
    "a/../../evil",
    "a//b",
    "a/./b",
    "..\\evil",
    "C:evil",
    "a\0b",
    "",
    7,
    null,
    "a:b.json",
    "weird\\name.json",
  ])("a listing with the path %j beside what is needed: nothing of that name is written", async (path) => {
    const entry = { type: "file", path, oid: "0".repeat(40), size: 1 };
    hub.repos.get("owner/toy")!.extraEntries = [entry];
    expectSame("weights/toy/vae", join(await get("owner/toy"), "vae"));
    expect(readdirSync(home)).toEqual(["hub"]);
    expect(hub.requests.some(({ path: asked }) => asked.includes("evil"))).toBe(false);
  });

  const odd: [string, unknown, RegExp][] = [
    ["a symlink", { type: "symlink", path: "x", oid: "0".repeat(40), size: 1 }, /no "x"/],
    [
      "a hash that is a path",
      { type: "file", path: "x", oid: "../../../../../../../../../../tmp/evil/evil/evil", size: 1 },
      /x is needed, but .* has no hash of 40/,
    ],
    [
      "a short sha256",
      { type: "file", path: "x", oid: "0".repeat(40), size: 1, lfs: { oid: "00", size: 1 } },
      /x is needed, but .* has no hash of 64/,
    ],
    ["no size", { type: "file", path: "x", oid: "0".repeat(40) }, /x is needed, but .* has no size/],
    ["nothing", null, /no "x"/],
    ["a submodule", { type: "commit", path: "x", oid: "0".repeat(40) }, /no "x"/],
  ];
  test.each(odd)(
    "a listing with %s: refused where it is needed, else passed over",
    async (_, entry, message) => {
      hub.repos.get("owner/toy")!.extraEntries = [entry];
      await expect(get("owner/toy:x")).rejects.toThrow(HubError);
      await expect(get("owner/toy:x")).rejects.toThrow(message);
      expect(readdirSync(home)).toEqual([]);
      expectSame("weights/toy/vae", join(await get("owner/toy"), "vae"));
    },
  );

  test('"lfs": null is a small file', async () => {
    const content = text("{}");
    const entry = { type: "file", path: "x.json", oid: gitHash(content.bytes), size: 2, lfs: null };
    const repo = hub.add("owner/null", new Map([["config.json", text("{ }")]]));
    repo.extraEntries = [entry];
    repo.files.set("x.json", content);
    hub.pageSize = 1;
    expect(readFileSync(join(await get("owner/null:x.json")), "utf8")).toBe("{}");
  });

  test("files are not written through a link in the cache", async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), "elsewhere-"));
    const { commit } = hub.repos.get("owner/toy")!;
    const snapshot = join(home, "hub/models--owner--toy/snapshots", commit);
    mkdirSync(snapshot, { recursive: true });
    symlinkSync(elsewhere, join(snapshot, "vae"));
    await expect(get("owner/toy")).rejects.toThrow(/not written through links/);
    expect(readdirSync(elsewhere)).toEqual([]);
    rmSync(elsewhere, { recursive: true });
  });

  test("model.json and shard indexes cannot name places outside", async () => {
    for (const folder of ["../other", "/etc", "", ".."]) {
      hub.repos.get("owner/toy")!.files.set("model.json", text(JSON.stringify({ vae: folder })));
      await expect(get("owner/toy")).rejects.toThrow(/not a folder inside the model/);
    }
    const index = JSON.stringify({ weight_map: { a: "../../x.safetensors" } });
    hub.add("owner/index", new Map([["m.safetensors.index.json", text(index)]]));
    await expect(get("owner/index")).rejects.toThrow(/only the name of a file beside/);
  });
});

test("blobs that Python downloaded are used, and a blob of another length is replaced", async () => {
  const content = large(5000);
  const { commit } = hub.add("owner/py", new Map([["model.safetensors", content]]));
  const blob = join(home, "hub/models--owner--py/blobs", sha256(content.bytes));
  mkdirSync(dirname(blob), { recursive: true });
  writeFileSync(blob, content.bytes);
  const path = await get("owner/py");
  expect(hub.requests.filter(({ storage }) => storage)).toEqual([]);
  expect(lstatSync(join(path, "model.safetensors")).isSymbolicLink()).toBe(true);
  expect(path.endsWith(commit)).toBe(true);
  writeFileSync(blob, "short");
  expect(readFileSync(join(await get("owner/py"), "model.safetensors")).equals(content.bytes)).toBe(true);
});
