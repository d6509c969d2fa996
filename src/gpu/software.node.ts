/**
 * A software GPU from npm alone: `@sparticuz/chromium` carries SwiftShader (a Vulkan driver that runs on the CPU)
 * and a Vulkan loader, which are unpacked once into a cache folder. No root, no display, no system package.
 *
 *     <cache>/swiftshader-<version>          complete, with the sizes and hashes of its files in contents.json
 *             swiftshader-<version>-<random> the same, unpacked where the first was found damaged
 *             unpacking-<host>-<pid>-<random> under construction
 *
 * A library that ends early kills the process that loads it (SIGBUS) without a word, so all is verified before each use: 7 MB, which
 * takes 5 to 20 ms.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
import { extract } from "tar-fs";
import { AdapterError } from "../errors.ts";
import { hasVulkanLoader, loadLibrary, LOADER_FILE } from "./vulkan.node.ts";

const PACKAGE = "@sparticuz/chromium";
const ICD_FILE = "vk_swiftshader_icd.json";
const DRIVER_FILE = "libvk_swiftshader.so";
const CONTENTS_FILE = "contents.json";

/** What is needed of the archive. */
const FILES: readonly string[] = [ICD_FILE, DRIVER_FILE, LOADER_FILE];

/** Unpacking takes a second or two; a folder under construction that nobody touched for longer was left. */
const LEFT_MS = 60_000;

/** Size and SHA-256 of each file. */
type Contents = Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;

/**
 * `$MIMIC_VIDEO_CACHE`, or `$XDG_CACHE_HOME/mimic-video-webgpu`, or the same under `~/.cache`, or under a temporary folder
 * without a home.
 */
export function cacheFolder(): string {
  if (process.env.MIMIC_VIDEO_CACHE) return process.env.MIMIC_VIDEO_CACHE;
  const base = process.env.XDG_CACHE_HOME || (os.homedir() ? path.join(os.homedir(), ".cache") : os.tmpdir());
  return path.join(base, "mimic-video-webgpu");
}

/**
 * Unpacks the driver when it is not there yet, or not as it was unpacked; returns its folder.
 * @param archive for tests; default: that of the package
 * @throws AdapterError off Linux x64, without the package, or when the cache folder cannot be written
 */
export async function unpackSoftwareGpu(archive?: { file: string; version: string }): Promise<string> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new AdapterError(
      `the software GPU is packaged for linux-x64 only, not ${process.platform}-${process.arch}`,
    );
  }
  const { file, version } = archive ?? (await packagedArchive());
  const cache = cacheFolder();
  const name = `swiftshader-${version}`;
  await removeLeftovers(cache);
  const found = (await readdir(cache).catch(() => [] as string[])).filter(
    (entry) => entry === name || entry.startsWith(`${name}-`),
  );
  const damaged = new Map<string, string>();
  for (const entry of found.sort()) {
    const folder = path.join(cache, entry);
    const identity = await identityOf(folder);
    if (await isAsUnpacked(folder)) return folder;
    damaged.set(folder, identity);
  }
  try {
    return await unpack(file, cache, name, damaged);
  } catch (error) {
    if (error instanceof AdapterError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new AdapterError(
      `the software GPU could not be unpacked into ${cache} (${code ?? message}); make room and check permissions there, or ` +
        "set MIMIC_VIDEO_CACHE to another folder",
    );
  }
}

async function packagedArchive(): Promise<{ file: string; version: string }> {
  const require = createRequire(import.meta.url);
  let folder: string;
  try {
    const entry = require.resolve(PACKAGE);
    folder = entry.slice(0, entry.lastIndexOf(PACKAGE) + PACKAGE.length);
  } catch {
    throw new AdapterError(
      `the npm package ${PACKAGE}, which carries a software GPU, is not installed; run npm ci`,
    );
  }
  const { version } = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8")) as {
    version: string;
  };
  return { file: path.join(folder, "bin", "swiftshader.tar.br"), version };
}

/** Every file has the size and hash that it had in the archive. */
async function isAsUnpacked(folder: string): Promise<boolean> {
  try {
    const contents = JSON.parse(await readFile(path.join(folder, CONTENTS_FILE), "utf8")) as Contents;
    for (const name of FILES) {
      const { bytes, sha256 } = contents[name];
      const file = path.join(folder, name);
      // The size first: most damage shows in it, and what was swapped for a pipe or a large file is not read.
      const stats = await stat(file);
      if (!stats.isFile() || stats.size !== bytes) return false;
      if (
        createHash("sha256")
          .update(await readFile(file))
          .digest("hex") !== sha256
      )
        return false;
    }
    return true;
  } catch {
    return false;
  }
}

/** Tells a folder from a later one of the same name. */
async function identityOf(folder: string): Promise<string> {
  return stat(folder).then(
    ({ ino, birthtimeMs }) => `${ino} ${birthtimeMs}`,
    () => "gone",
  );
}

/** Into a fresh folder, which gets its name when all of it is on the disk. Damaged ones go when there is a good one. */
async function unpack(
  archive: string,
  cache: string,
  name: string,
  damaged: ReadonlyMap<string, string>,
): Promise<string> {
  await mkdir(cache, { recursive: true });
  const fresh = await mkdtemp(path.join(cache, `unpacking-${os.hostname()}-${process.pid}-`));
  try {
    const contents = await extractArchive(archive, fresh);
    await writeFile(path.join(fresh, CONTENTS_FILE), JSON.stringify(contents, undefined, 1));
    // Or a power cut could leave the name on files without content.
    for (const file of [...FILES, CONTENTS_FILE, "."]) await sync(path.join(fresh, file));
    if (!(await isAsUnpacked(fresh))) {
      throw new AdapterError(
        `what was unpacked into ${cache} is not what was written there; check that disk`,
      );
    }
    // A name of its own beside a damaged one, which another process may be reading.
    const beside = damaged.size > 0 ? `-${randomBytes(4).toString("hex")}` : "";
    const folder = path.join(cache, `${name}${beside}`);
    await rename(fresh, folder).catch(async (error: unknown) => {
      // Another process was first; then its work serves.
      if (!(await isAsUnpacked(folder))) throw error;
    });
    for (const [other, identity] of damaged) {
      // Another process may have removed it already, and a third put a good one in its place.
      if ((await identityOf(other)) !== identity) continue;
      await rm(other, { recursive: true, force: true }).catch(() => {});
    }
    return folder;
  } finally {
    await rm(fresh, { recursive: true, force: true }).catch(() => {});
  }
}

/** @returns sizes and hashes of what the archive holds, not of what is on the disk afterwards */
async function extractArchive(archive: string, folder: string): Promise<Contents> {
  const contents: Record<string, Contents[string]> = {};
  const hashed = (name: string): Transform => {
    const hash = createHash("sha256");
    let bytes = 0;
    return new Transform({
      transform(chunk: Buffer, _, done) {
        hash.update(chunk);
        bytes += chunk.length;
        done(undefined, chunk);
      },
      flush(done) {
        contents[name] = { bytes, sha256: hash.digest("hex") };
        done();
      },
    });
  };
  const packed = await readFile(archive).catch(() => undefined);
  let reason = "it is missing";
  if (packed !== undefined) {
    const files = extract(folder, {
      ignore: (file) => !FILES.includes(path.relative(folder, file)),
      // Any stream will do, whatever the types say.
      mapStream: (stream, header) =>
        stream.pipe(hashed(path.normalize(header.name))) as unknown as typeof stream,
    });
    try {
      await pipeline(Readable.from([await promisify(brotliDecompress)(packed)]), files);
      const lacking = FILES.filter((file) => contents[file] === undefined);
      if (lacking.length === 0) return contents;
      reason = `it has no ${lacking.join(", ")}`;
    } catch (error) {
      // Errors of the system are about the place that is written to.
      if ((error as NodeJS.ErrnoException).syscall !== undefined) throw error;
      reason = (error as Error).message;
    }
  }
  throw new AdapterError(`${archive}, which carries the software GPU, is damaged (${reason}); run npm ci`);
}

async function sync(file: string): Promise<void> {
  const handle = await open(file, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes folders under construction whose process is gone, or that nobody has touched for long. */
async function removeLeftovers(cache: string): Promise<void> {
  for (const name of await readdir(cache).catch(() => [] as string[])) {
    if (!name.startsWith("unpacking-")) continue;
    const folder = path.join(cache, name);
    const own = `unpacking-${os.hostname()}-`;
    const pid = name.startsWith(own) ? Number(/^(\d+)-/.exec(name.slice(own.length))?.[1] ?? NaN) : NaN;
    const touched = await stat(folder).then(
      ({ mtimeMs }) => mtimeMs,
      () => Date.now(),
    );
    const left = Number.isNaN(pid) || isRunning(pid) ? Date.now() - touched > LEFT_MS : true;
    if (left) await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Makes the unpacked driver the one that Vulkan finds in this process. A loader that the system already has is
 * used; otherwise the packaged one is loaded here under its own name, so that Dawn's dlopen("libvulkan.so.1")
 * finds it without LD_LIBRARY_PATH, which is read only when a process starts.
 */
export function useSoftwareGpu(folder: string): void {
  process.env.VK_DRIVER_FILES = path.join(folder, ICD_FILE);
  // Silences a warning; nothing is displayed.
  process.env.XDG_RUNTIME_DIR ??= os.tmpdir();
  if (!hasVulkanLoader()) loadLibrary(path.join(folder, LOADER_FILE));
}
