/** Embeddings that have been computed are kept, by what the encoder is and by prompt. */
import { FormatError } from "../../errors.ts";
import { bytesSource } from "../../weights/blob.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { streamingHasher } from "../../weights/hub/hash.ts";
import { encodeSafetensors, openSafetensors } from "../../weights/safetensors.ts";
import { readZipDirectory } from "../../weights/torch/zip.ts";
import type { Cache } from "../cache.ts";

/** Embeddings by encoder and prompt. */
export class TextCache {
  readonly #cache: Cache;

  constructor(cache: Cache) {
    this.#cache = cache;
  }

  /** Whether anything is kept. */
  async holdsAny(): Promise<boolean> {
    return (await this.#cache.list("text")).length > 0;
  }

  /** Whether anything of this encoder is kept. */
  async knows(encoder: string): Promise<boolean> {
    return (await this.#cache.list(`text/${encoder}`)).some((name) => name.endsWith(".safetensors"));
  }

  /**
   * Notes what the encoder of a commit is, for runs that have its other files only.
   * @param revision of the files; nothing is noted of those that have none
   */
  async note(revision: string, encoder: string): Promise<void> {
    if (COMMIT.test(revision))
      await this.#cache.write(`text/of/${revision}`, new TextEncoder().encode(encoder));
  }

  /** What was noted. */
  async encoderOf(revision: string): Promise<string | undefined> {
    const bytes = COMMIT.test(revision) ? await this.#cache.read(`text/of/${revision}`) : undefined;
    const text = new TextDecoder().decode(bytes);
    return /^[0-9a-f]{64}$/.test(text) ? text : undefined;
  }

  /** (L, d) as it was written; undefined where there is none, or it is damaged. */
  async read(encoder: string, prompt: string): Promise<Float32Array<ArrayBuffer> | undefined> {
    const bytes = await this.#cache.read(place(encoder, prompt));
    if (!bytes) return undefined;
    try {
      const source = await openSafetensors(bytesSource(bytes, "cached text"));
      if (source.metadata.get("prompt") !== prompt) return undefined;
      return Float32Array.from(toFloat32(await source.read("text"), "F32"));
    } catch {
      return undefined;
    }
  }

  async write(
    encoder: string,
    prompt: string,
    width: number,
    values: Float32Array<ArrayBuffer>,
  ): Promise<void> {
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const tensor = { name: "text", dtype: "F32" as const, shape: [values.length / width, width], data };
    await this.#cache.write(place(encoder, prompt), await encodeSafetensors([tensor], { prompt }));
  }
}

const COMMIT = /^[0-9a-f]{40}$/;

const place = (encoder: string, prompt: string): string => `text/${encoder}/${hashOf(prompt)}.safetensors`;

/** SHA-256 of a text, 64 hex digits. */
export function hashOf(text: string): string {
  const hash = streamingHasher("sha256");
  hash.update(new TextEncoder().encode(text));
  return hash.hex();
}

/**
 * What an encoder is, as 64 hex digits: its configuration, its tokenizer, and its weights. A torch file has a checksum of every
 * tensor in its directory, so that 45 GB need not be read (nor downloaded) for it; other files are hashed whole.
 */
export async function encoderIdentity(files: ModelFiles, encoder: EncoderFiles): Promise<string> {
  const parts: unknown[] = [await files.json(encoder.config), await files.json(encoder.tokenizer)];
  for (const path of encoder.weights) parts.push(await weightsIdentity(files, path));
  return hashOf(JSON.stringify(parts));
}

async function weightsIdentity(files: ModelFiles, path: string): Promise<unknown> {
  const bytes = await files.bytes(path);
  try {
    const entries = await readZipDirectory(bytes);
    // Torch writes no checksums when told so; sizes alone do not tell encoders apart.
    const list = [...entries.values()].map((e) => [e.name, e.bytes, e.crc32]);
    if (list.some(([, , crc]) => crc !== 0)) return list;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
  } finally {
    await bytes.close?.();
  }
  return files.sha256([path]);
}

/** The text encoder's files in a folder of the release. */
export interface EncoderFiles {
  /** where they lie */
  readonly folder: string;
  readonly config: string;
  readonly tokenizer: string;
  readonly weights: readonly string[];
}

/** The encoder below `text_encoder/`; undefined where files are missing. */
export function encoderFiles(paths: readonly string[]): EncoderFiles | undefined {
  const config = paths.find((path) => /^text_encoder\/(.+\/)?config\.json$/.test(path));
  if (config === undefined) return undefined;
  const folder = config.slice(0, -"/config.json".length);
  const tokenizer = `${folder}/tokenizer.json`;
  const weights = paths.filter(
    (path) =>
      path.startsWith(`${folder}/`) && /^[^/]+\.(bin|pt|safetensors)$/.test(path.slice(folder.length + 1)),
  );
  return paths.includes(tokenizer) && weights.length > 0 ? { folder, config, tokenizer, weights } : undefined;
}
