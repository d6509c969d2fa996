/**
 * A software GPU from npm alone: `@sparticuz/chromium` carries SwiftShader (a Vulkan driver that runs on the CPU)
 * and a Vulkan loader, which are unpacked once into a cache folder. No root, no display, no system package.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { extract } from "tar-fs";
import { AdapterError } from "../errors.ts";

const PACKAGE = "@sparticuz/chromium";
const ICD_FILE = "vk_swiftshader_icd.json";
const LOADER_FILE = "libvulkan.so.1";

/**
 * `$MIMIC_VIDEO_CACHE`, or `$XDG_CACHE_HOME/mimic-video-webgpu`, or the same under `~/.cache`, or under a temporary folder
 * without a home.
 */
export function cacheFolder(): string {
  if (process.env.MIMIC_VIDEO_CACHE) return process.env.MIMIC_VIDEO_CACHE;
  const base = process.env.XDG_CACHE_HOME || (os.homedir() ? path.join(os.homedir(), ".cache") : os.tmpdir());
  return path.join(base, "mimic-video-webgpu");
}

/** Unpacks the driver when it is not there yet; returns its folder. @throws AdapterError off Linux x64, or without the package */
export async function unpackSoftwareGpu(): Promise<string> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new AdapterError(
      `the software GPU is packaged for linux-x64 only, not ${process.platform}-${process.arch}`,
    );
  }
  const require = createRequire(import.meta.url);
  let packageFolder: string;
  try {
    const entry = require.resolve(PACKAGE);
    packageFolder = entry.slice(0, entry.lastIndexOf(PACKAGE) + PACKAGE.length);
  } catch {
    throw new AdapterError(
      `the npm package ${PACKAGE}, which carries a software GPU, is not installed; run npm ci`,
    );
  }
  const { version } = JSON.parse(await readFile(path.join(packageFolder, "package.json"), "utf8")) as {
    version: string;
  };
  const folder = path.join(cacheFolder(), `swiftshader-${version}`);
  if (existsSync(path.join(folder, ICD_FILE))) return folder;
  await mkdir(cacheFolder(), { recursive: true });
  const fresh = await mkdtemp(path.join(cacheFolder(), "unpacking-"));
  const packed = await readFile(path.join(packageFolder, "bin", "swiftshader.tar.br"));
  await pipeline(Readable.from([packed]), createBrotliDecompress(), extract(fresh));
  // Several processes may unpack at once; whoever renames first wins and the others throw theirs away.
  await rename(fresh, folder).catch(() => rm(fresh, { recursive: true, force: true }));
  return folder;
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

/** Whether the system has a Vulkan loader; always true where Dawn does not use Vulkan. */
export function hasVulkanLoader(): boolean {
  return process.platform !== "linux" || !/cannot open shared object/.test(loadLibrary(LOADER_FILE));
}

/** Loads a shared library for the whole process and keeps it; returns what Node says of it, as it is never an addon. */
function loadLibrary(file: string): string {
  const { RTLD_NOW, RTLD_GLOBAL } = os.constants.dlopen;
  // Keeps the library in memory after Node finds that it is not an addon and closes it (glibc's RTLD_NODELETE).
  const keep = 0x1000;
  try {
    process.dlopen({ exports: {} }, file, RTLD_NOW | RTLD_GLOBAL | keep);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}
