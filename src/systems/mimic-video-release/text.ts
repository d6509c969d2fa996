/**
 * Where embeddings of prompts come from: a file that was given, the cache, or the release's own T5. T5-11B is 45 GB, so it is used
 * only when asked for; an encoder that is small and lies there already needs no asking.
 *
 * Axes: L tokens of a prompt, d text width.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { readT5Config } from "../../networks/t5/encoder.ts";
import { StreamedT5 } from "../../networks/t5/streamed.ts";
import { cutNote, PromptTokenizer } from "../../networks/t5/tokenizer.ts";
import { WeightsError } from "../../errors.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { quoted } from "../../weights/source.ts";
import { type EncoderFiles, encoderFiles, encoderIdentity, type TextCache } from "./text-cache.ts";
import { openTextFile, type TextEmbeddings, type TextFile } from "./text-file.ts";
import type { TensorSource } from "../../weights/source.ts";

/** An encoder up to this size is fetched and used without asking. */
const UNASKED_BYTES = 2e9;

const BOTH_WAYS =
  "Give embeddings with --text FILE (safetensors with text.<i> and __metadata__.prompts), or have the model's own T5 run with " +
  "--encode-text (45 GB in the published folder; embeddings are kept for later runs).";

export interface TextOptions {
  /** embeddings that were given */
  readonly file?: TensorSource;
  /** `--encode-text` */
  readonly encode?: boolean;
  readonly cache: TextCache;
  /** told when a prompt had to be cut */
  readonly onNote?: (line: string) => void;
}

/**
 * Which of a folder's text encoder files a run needs, before anything is downloaded.
 * @throws UsageError when there is an encoder that is not fetched unasked, or none, and no other way to have embeddings
 */
export async function neededTextFiles(
  files: ModelFiles,
  options: { readonly text: boolean; readonly encode?: boolean; readonly cache: TextCache },
): Promise<readonly string[]> {
  if (options.text) return [];
  const { cache } = options;
  const encoder = encoderFiles(files.paths);
  if (encoder && (options.encode || (await bytesOf(files, encoder)) <= UNASKED_BYTES))
    return [encoder.config, encoder.tokenizer, ...encoder.weights];
  // What is cached is found by what the encoder is, which its small files and a directory tell; they are not asked for in vain.
  const identity =
    (await cache.encoderOf(files.revision)) ??
    (encoder && (await cache.holdsAny()) ? await encoderIdentity(files, encoder) : undefined);
  if (identity !== undefined && (await cache.knows(identity))) {
    await cache.note(files.revision, identity);
    return [];
  }
  throw new UsageError(`${files.name}: prompts need embeddings before anything is downloaded. ${BOTH_WAYS}`);
}

async function bytesOf(files: ModelFiles, { weights }: EncoderFiles): Promise<number> {
  let sum = 0;
  for (const path of weights) {
    const bytes = await files.bytes(path);
    sum += bytes.size;
    await bytes.close?.();
  }
  return sum;
}

/** The texts of one model. */
export class Texts {
  readonly #files: ModelFiles;
  readonly #width: number;
  readonly #options: TextOptions;
  readonly #file: TextFile | undefined;
  readonly #encoder: EncoderFiles | undefined;
  readonly #known = new Map<string, Float32Array<ArrayBuffer>>();
  #identity: Promise<string> | undefined;

  /**
   * @param width d, what the model reads
   * @throws FormatError for a file of embeddings that is none, or is of another width
   */
  constructor(files: ModelFiles, width: number, options: TextOptions) {
    this.#files = files;
    this.#width = width;
    this.#options = options;
    this.#file = options.file && openTextFile(options.file, width);
    this.#encoder = encoderFiles(files.paths);
  }

  /**
   * Makes sure that all of these can be had, and fetches those that need no encoder.
   * @returns those that the encoder has to make, see `encode`
   * @throws UsageError when there is no way to have one, FormatError when the file that was given lacks one
   */
  async require(prompts: readonly string[]): Promise<readonly string[]> {
    if (this.#file) {
      for (const [prompt, values] of await this.#file.read(prompts)) this.#known.set(prompt, values);
      return [];
    }
    const encoder = this.#encoder;
    const { cache } = this.#options;
    const open: string[] = [];
    for (const prompt of prompts.filter((p) => !this.#known.has(p))) {
      const identity = encoder ? await this.#identify(encoder) : await cache.encoderOf(this.#files.revision);
      const kept = identity && (await cache.read(identity, prompt));
      if (kept && kept.length > 0 && kept.length % this.#width === 0) this.#known.set(prompt, kept);
      else open.push(prompt);
    }
    if (open.length > 0 && !(encoder && (await this.#mayEncode(encoder)))) {
      const what = encoder
        ? "its text encoder is too large to be run unasked"
        : "its text encoder is not there";
      throw new UsageError(
        `${this.#files.name}: there is no embedding of ${quoted(open[0])}${open.length > 1 ? ` and ${open.length - 1} more` : ""}, and ${what}. ${BOTH_WAYS}`,
      );
    }
    return open;
  }

  /**
   * Runs the encoder for these prompts and keeps what it says.
   * @throws WeightsError, UsageError or AdapterError, as `StreamedT5` does
   */
  async encode(
    gpu: Gpu,
    prompts: readonly string[],
    options: { readonly signal?: AbortSignal; readonly onLayer?: (done: number, total: number) => void } = {},
  ): Promise<void> {
    if (prompts.length === 0) return;
    const encoder = this.#encoder!;
    const { folder } = encoder;
    const config = readT5Config(
      await this.#files.json(encoder.config),
      `${this.#files.name}/${encoder.config}`,
    );
    if (config.width !== this.#width) {
      throw new WeightsError(
        `${this.#files.name}/${folder} makes text of width ${config.width}, the video network reads ${this.#width}. ` +
          "They are not of one model.",
      );
    }
    const tokenizer = new PromptTokenizer(await this.#files.json(encoder.tokenizer), encoder.tokenizer);
    const source = await this.#files.weights(folder);
    try {
      const t5 = new StreamedT5(gpu, config, source);
      const found = await t5.encode(
        prompts.map((prompt) =>
          tokenizer.encode(prompt, (tokens) => this.#options.onNote?.(cutNote(prompt, tokens))),
        ),
        options,
      );
      const identity = await this.#identify(encoder);
      for (const [i, prompt] of prompts.entries()) {
        const values = Float32Array.from(found[i]);
        this.#known.set(prompt, values);
        await this.#options.cache.write(identity, prompt, this.#width, values);
      }
    } finally {
      await source.close();
      gpu.memory.trim();
    }
  }

  /** What is known so far. */
  get embeddings(): TextEmbeddings {
    return this.#known;
  }

  #identify(encoder: EncoderFiles): Promise<string> {
    return (this.#identity ??= encoderIdentity(this.#files, encoder));
  }

  async #mayEncode(encoder: EncoderFiles): Promise<boolean> {
    return this.#options.encode === true || (await bytesOf(this.#files, encoder)) <= UNASKED_BYTES;
  }
}
