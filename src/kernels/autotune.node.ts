/** Selected variants in Node: a JSON file in the cache folder. */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import type { Gpu } from "../gpu/gpu.ts";
import { cacheFolder } from "../gpu/software.node.ts";
import { type AutotuneStore, autotune } from "./autotune.ts";

/**
 * Choices in one file, by adapter, driver and version. A file that cannot be read, or is damaged, counts as empty and is written anew; a
 * folder that cannot be written means that the next run times again.
 */
export function fileStore(file = path.join(cacheFolder(), "variants.json")): AutotuneStore {
  const all = async (): Promise<Record<string, unknown>> => {
    try {
      const content: unknown = JSON.parse(await readFile(file, "utf8"));
      return isRecord(content) ? content : {};
    } catch {
      return {};
    }
  };
  return {
    read: async (key) => {
      const choices = (await all())[key];
      return isRecord(choices) ? choices : undefined;
    },
    write: async (key, choices) => {
      const fresh = `${file}.${process.pid}.${Date.now()}.tmp`;
      try {
        await mkdir(path.dirname(file), { recursive: true });
        await writeFile(fresh, `${JSON.stringify({ ...(await all()), [key]: choices }, null, 2)}\n`);
        await rename(fresh, file);
      } catch {
        await rm(fresh, { force: true }).catch(() => undefined);
      }
    },
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `autotune` with the file store and this package's version. @returns and throws as `autotune` */
export function autotuneHere(gpu: Gpu): Promise<string[]> {
  const require = createRequire(import.meta.url);
  const version = (of: string): string => (require(of) as { version: string }).version;
  // Another Dawn compiles the same WGSL to other code.
  const versions = `${version("mimic-video-webgpu/package.json")}, webgpu ${version("webgpu/package.json")}`;
  return autotune(gpu, { version: versions, store: fileStore() });
}
