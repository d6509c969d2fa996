/** Embeddings that have been computed are kept, by encoder and prompt; where, is another file's business. */
import { FormatError } from "../../errors.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { streamingHasher } from "../../weights/hub/hash.ts";
import { readZipDirectory } from "../../weights/torch/zip.ts";

/** What is kept between runs. A damaged or unreadable entry counts as absent; one that cannot be written is computed again next time. */
export interface TextCache {
  /** whether anything of this encoder is kept */
  knows(encoder: string): Promise<boolean>;
  /** (L, d) as it was written */
  read(encoder: string, prompt: string): Promise<Float32Array<ArrayBuffer> | undefined>;
  write(encoder: string, prompt: string, width: number, values: Float32Array<ArrayBuffer>): Promise<void>;
}

/** Keeps nothing. */
export const noTextCache: TextCache = {
  knows: () => Promise.resolve(false),
  read: () => Promise.resolve(undefined),
  write: () => Promise.resolve(),
};

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
