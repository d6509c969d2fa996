/** The unpacked software GPU: whatever has become of it, it is used only as it was packed. */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AdapterError } from "../../src/errors.ts";
import { unpackSoftwareGpu } from "../../src/gpu/software.node.ts";
import { hasVulkanDriver } from "../../src/gpu/vulkan.node.ts";

const supported = process.platform === "linux" && process.arch === "x64";
let good: string;
let cache: string;
let name: string;
const original = process.env.MIMIC_VIDEO_CACHE;

beforeAll(async () => {
  if (!supported) return;
  good = mkdtempSync(join(tmpdir(), "good-"));
  process.env.MIMIC_VIDEO_CACHE = good;
  name = (await unpackSoftwareGpu()).slice(good.length + 1);
});
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "cache-"));
  process.env.MIMIC_VIDEO_CACHE = cache;
});
afterEach(() => rmSync(cache, { recursive: true, force: true }));
afterAll(() => {
  if (good) rmSync(good, { recursive: true, force: true });
  if (original === undefined) delete process.env.MIMIC_VIDEO_CACHE;
  else process.env.MIMIC_VIDEO_CACHE = original;
});

const files = ["libvk_swiftshader.so", "libvulkan.so.1", "vk_swiftshader_icd.json"];
const expectGood = (folder: string): void => {
  for (const file of files)
    expect(readFileSync(join(folder, file)).equals(readFileSync(join(good, name, file))), file).toBe(true);
};

describe.skipIf(!supported)("the unpacked driver", () => {
  test("is unpacked once, whole, and nothing else lies beside it", async () => {
    const folder = await unpackSoftwareGpu();
    expectGood(folder);
    expect(readdirSync(cache)).toEqual([name]);
    const { mtimeMs } = statSync(folder);
    expect(await unpackSoftwareGpu()).toBe(folder);
    expect(statSync(folder).mtimeMs).toBe(mtimeMs);
  });

  const damages: [string, (folder: string) => void][] = [
    ["a truncated library", (f) => truncateSync(join(f, files[0]), 1_000_000)],
    ["an empty library", (f) => writeFileSync(join(f, files[0]), "")],
    ["a missing library", (f) => rmSync(join(f, files[0]))],
    [
      "a library with another byte",
      (f) => {
        const bytes = readFileSync(join(f, files[0]));
        bytes[bytes.length >> 1] ^= 1;
        writeFileSync(join(f, files[0]), bytes);
      },
    ],
    ["a longer loader", (f) => appendFileSync(join(f, files[1]), "x")],
    ["a broken manifest", (f) => writeFileSync(join(f, files[2]), "{")],
    ["an empty manifest", (f) => writeFileSync(join(f, files[2]), "")],
    ["a missing manifest", (f) => rmSync(join(f, files[2]))],
    [
      "a folder in place of the loader",
      (f) => {
        rmSync(join(f, files[1]));
        mkdirSync(join(f, files[1]));
      },
    ],
    ["no list of its contents, as earlier versions left it", (f) => rmSync(join(f, "contents.json"))],
    ["a broken list of its contents", (f) => writeFileSync(join(f, "contents.json"), "[]")],
    [
      "nothing in it",
      (f) => {
        rmSync(f, { recursive: true });
        mkdirSync(f);
      },
    ],
    [
      "a file in its place",
      (f) => {
        rmSync(f, { recursive: true });
        writeFileSync(f, "x");
      },
    ],
  ];
  test.each(damages)("heals: %s", async (_, damage) => {
    cpSync(join(good, name), join(cache, name), { recursive: true });
    damage(join(cache, name));
    const folder = await unpackSoftwareGpu();
    expectGood(folder);
    expect(readdirSync(cache).length).toBe(1);
    expect(await unpackSoftwareGpu()).toBe(folder);
  });

  test("heals for several at once", async () => {
    cpSync(join(good, name), join(cache, name), { recursive: true });
    truncateSync(join(cache, name, files[0]), 10);
    const folders = await Promise.all(Array.from({ length: 4 }, () => unpackSoftwareGpu()));
    for (const folder of folders) expectGood(folder);
    expect(readdirSync(cache).some((entry) => entry.startsWith("unpacking-"))).toBe(false);
  });

  test("folders that were left under construction go, others stay", async () => {
    // Ids of processes end at 2^22.
    const left = [`unpacking-${hostname()}-4194304-abc`, "unpacking-old", "unpacking-elsewhere-1-abc"];
    const active = [`unpacking-${hostname()}-${process.pid}-abc`, "unpacking-fresh", "text"];
    for (const entry of [...left, ...active]) mkdirSync(join(cache, entry));
    const old = Date.now() / 1000 - 120;
    for (const entry of left.slice(1)) utimesSync(join(cache, entry), old, old);
    await unpackSoftwareGpu();
    expect(readdirSync(cache).sort()).toEqual([...active, name].sort());
  });

  test("a cache that cannot be written is named", async () => {
    process.env.MIMIC_VIDEO_CACHE = join(cache, "file", "below");
    writeFileSync(join(cache, "file"), "x");
    await expect(unpackSoftwareGpu()).rejects.toThrow(AdapterError);
    await expect(unpackSoftwareGpu()).rejects.toThrow(
      `could not be unpacked into ${join(cache, "file", "below")} (ENOTDIR); make room and check permissions there, or set MIMIC_VIDEO_CACHE`,
    );
  });

  test("a damaged package is named, and nothing of it kept", async () => {
    const packaged = createRequire(import.meta.url).resolve("@sparticuz/chromium");
    const archive = join(packaged.slice(0, packaged.indexOf("chromium/") + 9), "bin/swiftshader.tar.br");
    const file = join(cache, "archive.tar.br");
    writeFileSync(file, readFileSync(archive).subarray(0, 1_000_000));
    await expect(unpackSoftwareGpu({ file, version: "0" })).rejects.toThrow(
      /archive\.tar\.br.* is damaged .*run npm ci/,
    );
    await expect(unpackSoftwareGpu({ file: join(cache, "none"), version: "0" })).rejects.toThrow(
      /it is missing/,
    );
    expect(readdirSync(cache)).toEqual(["archive.tar.br"]);
  });
});

describe.skipIf(!supported)("whether there is a driver, before Dawn is asked", () => {
  const withManifest = (content: string): NodeJS.ProcessEnv => {
    const manifest = join(cache, "icd.json");
    writeFileSync(manifest, content);
    return { VK_DRIVER_FILES: manifest };
  };
  const icd = (library: unknown): string => JSON.stringify({ ICD: { library_path: library } });

  test.each<[string, () => NodeJS.ProcessEnv, boolean]>([
    ["of the packaged driver", () => ({ VK_DRIVER_FILES: join(good, name, files[2]) }), true],
    ["by the older variable", () => ({ VK_ICD_FILENAMES: join(good, name, files[2]) }), true],
    ["in a folder", () => ({ VK_DRIVER_FILES: join(good, name) }), true],
    ["with a path of its own", () => withManifest(icd(join(good, name, files[0]))), true],
    ["that is not there", () => ({ VK_DRIVER_FILES: join(cache, "none.json") }), false],
    ["that is broken", () => withManifest("{"), false],
    ["of a library that is not there", () => withManifest(icd("./none.so")), false],
    ["of a library the system does not know", () => withManifest(icd("libnone.so.1")), false],
    ["of something that is no library", () => withManifest(icd("./icd.json")), false],
    ["without a library", () => withManifest(icd(7)), false],
  ])("a manifest %s", (_, env, expected) => {
    expect(hasVulkanDriver(env())).toBe(expected);
  });

  test("none anywhere, and one in a folder of the user", () => {
    const nowhere = { HOME: cache, XDG_CONFIG_DIRS: cache, XDG_DATA_DIRS: cache };
    const system = ["/etc/vulkan/icd.d", "/usr/local/etc/vulkan/icd.d"].some(existsSync);
    if (!system) expect(hasVulkanDriver(nowhere)).toBe(false);
    const place = join(cache, ".local/share/vulkan/icd.d");
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "mine.json"), icd(join(good, name, files[0])));
    expect(hasVulkanDriver(nowhere)).toBe(true);
  });
});
