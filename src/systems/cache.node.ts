/** What systems keep between runs, as files. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { cacheFolder } from "../gpu/software.node.ts";
import type { Cache } from "./cache.ts";

/** A cache in `folder`; default: `MIMIC_VIDEO_CACHE`, or `mimic-video-webgpu` in the user's cache folder. */
export function folderCache(folder = cacheFolder()): Cache {
  return {
    list: (below) => readdir(path.join(folder, below)).catch(() => []),
    read: async (file) => {
      const bytes = await readFile(path.join(folder, file)).catch(() => undefined);
      // A Buffer's own slice would share its memory.
      return bytes && new Uint8Array(bytes);
    },
    write: async (file, bytes) => {
      const target = path.join(folder, file);
      const fresh = `${target}.${process.pid}.${Date.now()}.tmp`;
      try {
        await mkdir(path.dirname(target), { recursive: true });
        await writeFile(fresh, bytes);
        await rename(fresh, target);
      } catch {
        await rm(fresh, { force: true }).catch(() => undefined);
      }
    },
  };
}
