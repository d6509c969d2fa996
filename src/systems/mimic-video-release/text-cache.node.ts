/** Embeddings of prompts in the cache folder: `text/<encoder>/<prompt>.safetensors`, both as hashes. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { cacheFolder } from "../../gpu/software.node.ts";
import { bytesSource } from "../../weights/blob.ts";
import { toFloat32 } from "../../weights/convert.ts";
import { encodeSafetensors, openSafetensors } from "../../weights/safetensors.ts";
import { hashOf, type TextCache } from "./text-cache.ts";

/** A cache below `folder`. */
export function folderTextCache(folder = path.join(cacheFolder(), "text")): TextCache {
  const place = (encoder: string, prompt: string): string =>
    path.join(folder, encoder, `${hashOf(prompt)}.safetensors`);
  return {
    knows: async (encoder) => {
      const kept = await readdir(path.join(folder, encoder)).catch(() => []);
      return kept.some((name) => name.endsWith(".safetensors"));
    },
    read: async (encoder, prompt) => {
      try {
        // A Buffer's own slice would share its memory.
        const plain = new Uint8Array(await readFile(place(encoder, prompt)));
        const source = await openSafetensors(bytesSource(plain, "cached text"));
        if (source.metadata.get("prompt") !== prompt) return undefined;
        return Float32Array.from(toFloat32(await source.read("text"), "F32"));
      } catch {
        return undefined;
      }
    },
    write: async (encoder, prompt, width, values) => {
      const file = place(encoder, prompt);
      const fresh = `${file}.${process.pid}.${Date.now()}.tmp`;
      const shape = [values.length / width, width];
      const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      try {
        await mkdir(path.dirname(file), { recursive: true });
        await writeFile(
          fresh,
          await encodeSafetensors([{ name: "text", dtype: "F32", shape, data }], { prompt }),
        );
        await rename(fresh, file);
      } catch {
        await rm(fresh, { force: true }).catch(() => undefined);
      }
    },
  };
}
