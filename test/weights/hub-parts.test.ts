/** The Hub's small parts: names, environment, progress, what a full disk is told. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { explainDisk } from "../../src/weights/hub/disk.ts";
import { hubSettings } from "../../src/weights/hub/environment.node.ts";
import { retryAfterMs } from "../../src/weights/hub/http.ts";
import { formatSeconds, ProgressLine } from "../../src/weights/hub/progress.ts";
import { formatHubRef, isSafePath, parseHubRef } from "../../src/weights/hub/ref.ts";
import { resolveModel } from "../../src/weights/hub/resolve-model.node.ts";

describe("names", () => {
  test.each([
    ["owner/name", { repo: "owner/name", revision: "main", path: "" }],
    ["owner/name@v1.0", { repo: "owner/name", revision: "v1.0", path: "" }],
    ["owner/name@refs/pr/1:a/b/", { repo: "owner/name", revision: "refs/pr/1", path: "a/b" }],
    ["O-w_n.er/n:transformer", { repo: "O-w_n.er/n", revision: "main", path: "transformer" }],
  ])("%s", (text, ref) => {
    expect(parseHubRef(text)).toEqual(ref);
    expect(parseHubRef(formatHubRef(ref))).toEqual(ref);
  });

  test.each([
    [
      "name",
      "/abs/path",
      "a/b/c",
      "./a",
      "../a",
      "a/..",
      "a/.",
      "-a/b",
      "a-/b",
      "a--b/c",
      "a/b..c",
      "a/b@",
      "a/b:",
    ],
    [
      "a/b@../x",
      "a/b@/x",
      "a/b:../x",
      "a/b:/x",
      "a/b:c//d",
      "a/b:c\\d",
      "a b/c",
      "a/é",
      `a/${"b".repeat(97)}`,
      "",
    ],
  ])("none of these: %j…", (...texts) => {
    for (const text of texts) expect(parseHubRef(text), text).toBeUndefined();
  });

  test("a local path is returned as it is, a plain name is neither", async () => {
    expect(await resolveModel("weights/toy")).toBe("weights/toy");
    await expect(resolveModel("toy")).rejects.toThrow(/toy: no such file or folder, and not owner\/name/);
  });

  test("paths that stay inside", () => {
    for (const path of ["a", "a/b.json", "..a/b", "a..", "é/ü"]) expect(isSafePath(path), path).toBe(true);
  });
});

describe("environment, as the Python client reads it", () => {
  const cacheOf = async (env: NodeJS.ProcessEnv) => (await hubSettings(env)).cache;

  test("where the cache is", async () => {
    expect(await cacheOf({})).toBe(join(homedir(), ".cache/huggingface/hub"));
    expect(await cacheOf({ XDG_CACHE_HOME: "/x" })).toBe("/x/huggingface/hub");
    expect(await cacheOf({ HF_HOME: "~/h" })).toBe(join(homedir(), "h/hub"));
    expect(await cacheOf({ HF_HOME: "/h", HF_HUB_CACHE: "$ROOM/c", ROOM: "/r" })).toBe("/r/c");
    expect(await cacheOf({ HUGGINGFACE_HUB_CACHE: "/old" })).toBe("/old");
  });

  test("endpoint, offline", async () => {
    expect((await hubSettings({})).client.endpoint).toBe("https://huggingface.co");
    expect((await hubSettings({ HF_ENDPOINT: "http://mirror/" })).client.endpoint).toBe("http://mirror");
    for (const yes of ["1", "on", "YES", "True"]) {
      expect((await hubSettings({ HF_HUB_OFFLINE: yes })).offline).toBe(true);
    }
    for (const no of ["", "0", "no", "off"])
      expect((await hubSettings({ HF_HUB_OFFLINE: no })).offline).toBe(false);
  });

  test.each([
    ["huggingface.co", /HF_ENDPOINT is no address/],
    ["localhost:8080", /does not begin with https/],
    ["ftp://mirror", /does not begin with https/],
    ["http://mirror:99999", /is no address/],
    ["http://", /is no address/],
    ["https://user:secret@mirror", /holds a user or password: "https:\/\/…@mirror"/],
  ])("an endpoint %s is refused at once, unless offline", async (endpoint, message) => {
    await expect(hubSettings({ HF_ENDPOINT: endpoint })).rejects.toThrow(UsageError);
    await expect(hubSettings({ HF_ENDPOINT: endpoint })).rejects.toThrow(message);
    expect((await hubSettings({ HF_ENDPOINT: endpoint, HF_HUB_OFFLINE: "1" })).offline).toBe(true);
  });

  test.each(["hf_se\u00e9cret", "hf_\u0001secret", "hf sec\u2011ret"])(
    "a token %j is refused at once and not shown",
    async (token) => {
      const error = await hubSettings({ HF_TOKEN: token }).catch((thrown: Error) => thrown);
      expect(error).toBeInstanceOf(UsageError);
      expect((error as Error).message).toMatch(/HF_TOKEN holds a character that no token has \(U\+00/);
      expect((error as Error).message).not.toMatch(/hf_|ret/);
    },
  );

  test("the token: the variable before the file, none when implicit ones are disabled", async () => {
    const folder = mkdtempSync(join(tmpdir(), "token-"));
    writeFileSync(join(folder, "token"), "from-file\n");
    const tokenOf = async (env: NodeJS.ProcessEnv) =>
      (await hubSettings({ HF_HOME: folder, ...env })).client.token;
    expect(await tokenOf({})).toBe("from-file");
    expect(await tokenOf({ HF_TOKEN: "given" })).toBe("given");
    expect(await tokenOf({ HF_TOKEN: " \n" })).toBe("from-file");
    expect(await tokenOf({ HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" })).toBeUndefined();
    expect(await tokenOf({ HF_TOKEN_PATH: join(folder, "none") })).toBeUndefined();
    rmSync(folder, { recursive: true });
  });
});

test("the progress line has bytes, rate and time left over all files", () => {
  const progress = { name: "owner/name", totalBytes: 4e9, totalFiles: 9, bytes: 0, files: 0 };
  const lines = new ProgressLine();
  expect(lines.line(progress, 0)).toBe("owner/name: 0 bytes of 4.00 GB (0 %), 0 of 9 files");
  progress.bytes = 1e9;
  expect(lines.line(progress, 10)).toBe(
    "owner/name: 1.00 GB of 4.00 GB (25 %), 100 MB/s, 30 s left, 0 of 9 files",
  );
  progress.bytes = 1.5e9;
  expect(lines.line(progress, 20)).toMatch(/50.0 MB\/s, 50 s left/);
  expect([0.2, 59.5, 200, 7500].map(formatSeconds)).toEqual(["1 s", "1 min 0 s", "3 min 20 s", "2 h 5 min"]);
});

test("Retry-After in seconds and as a date", () => {
  const after = (value: string) => retryAfterMs(new Response(null, { headers: { "retry-after": value } }), 0);
  expect(after("7")).toBe(7000);
  expect(after("Thu, 01 Jan 1970 00:00:09 GMT")).toBe(9000);
  expect(after("soon")).toBeUndefined();
  const limited = (value: string, more: Record<string, string> = {}) =>
    retryAfterMs(new Response(null, { headers: { ratelimit: value, ...more } }), 0);
  expect(limited('"api";r=0;t=55')).toBe(56_000);
  expect(limited('"resolvers"; r=0; t=9', { "retry-after": "3" })).toBe(10_000);
  expect(limited('"api";r=12;t=55')).toBeUndefined();
  expect(limited('"api";r=3;t=9, "pages";r=0;t=20')).toBe(21_000);
  expect(limited("nonsense")).toBeUndefined();
  expect(retryAfterMs(new Response(null), 0)).toBeUndefined();
});

test("a full disk, and one that cannot be written", () => {
  expect(explainDisk({ code: "ENOSPC" }, "/cache/blob", 3e9).message).toBe(
    "/cache/blob: the disk is full (ENOSPC). 3.00 GB more are needed. Make room, or set HF_HUB_CACHE to a folder on " +
      "another disk; what has arrived is kept and resumed.",
  );
  expect(explainDisk({ code: "EACCES" }, "/cache/blob").message).toMatch(
    /cannot be written \(EACCES\): it belongs/,
  );
  expect(explainDisk({ code: "EROFS" }, "/cache/blob").message).toMatch(
    /read-only file system \(EROFS\), so nothing can be/,
  );
  expect(explainDisk({ code: "EIO" }, "/cache/blob").message).toMatch(/cannot be written \(EIO\)\. Check/);
});
