/**
 * Where embeddings of prompts come from: a file that was given, or the UMT5 encoder of the frozen folder. UMT5-XXL is 11.4 GB, so it is used
 * only when asked for; an encoder that is small needs no asking.
 *
 * Axes: L tokens of a prompt, E text width.
 */
import { FormatError, UsageError, WeightsError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { StreamedT5 } from "../../networks/t5/streamed.ts";
import { cutNote, PromptTokenizer } from "../../networks/t5/tokenizer.ts";
import { readTextEncoderConfig, umt5Weights } from "../../networks/t5/umt5.ts";
import { floatDtypes, toFloat32 } from "../../weights/convert.ts";
import { streamingHasher } from "../../weights/hub/hash.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { quoted, type TensorSource } from "../../weights/source.ts";
import type { Cache } from "../cache.ts";

/** What guidance steers away from. */
export const EMPTY_PROMPT = "";

/** An encoder up to this size is fetched and used without asking. */
const UNASKED_BYTES = 2e9;

const ENCODER = "text_encoder";
const TOKENIZER = "tokenizer/tokenizer.json";

const BOTH_WAYS =
  "Give embeddings with --text FILE (safetensors with text.<i> and __metadata__.prompts, the empty prompt among them), or have the " +
  "model's own UMT5 run with --encode-text (11.4 GB in the published folder).";

const isWeights = (path: string): boolean =>
  path.startsWith(`${ENCODER}/`) && /\.(safetensors|safetensors\.index\.json|bin)$/.test(path);

/**
 * Which files of the frozen folder are needed for prompts.
 * @throws UsageError when there is an encoder that is not fetched unasked, or none, and no file of embeddings
 */
export async function neededTextFiles(
  files: ModelFiles,
  given: boolean,
  encode: boolean,
): Promise<readonly string[]> {
  if (given) return [];
  const weights = files.paths.filter(isWeights);
  const fits = encode || (weights.length > 0 && (await bytesOf(files, weights)) <= UNASKED_BYTES);
  if (weights.length === 0 || !files.paths.includes(TOKENIZER) || !fits)
    throw new UsageError(`${files.name}: prompts need embeddings before anything is computed. ${BOTH_WAYS}`);
  return [TOKENIZER, `${ENCODER}/config.json`, ...weights];
}

async function bytesOf(files: ModelFiles, paths: readonly string[]): Promise<number> {
  let sum = 0;
  for (const path of paths) {
    const bytes = await files.bytes(path);
    sum += bytes.size;
    await bytes.close?.();
  }
  return sum;
}

/** SHA-256 of a text, 64 hex digits. */
function hashOf(text: string): string {
  const hash = streamingHasher("sha256");
  hash.update(new TextEncoder().encode(text));
  return hash.hex();
}

const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: " ",
};

/** HTML's characters as they are meant, once. */
const unescaped = (text: string): string =>
  text.replace(
    /&(?:#(\d+)|#[xX]([0-9a-fA-F]+)|(\w+));/g,
    (whole, decimal?: string, hex?: string, name?: string) => {
      if (name !== undefined) return NAMED[name] ?? whole;
      const code = decimal === undefined ? parseInt(hex!, 16) : Number(decimal);
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );

/** A prompt as the policy reads it: HTML unescaped twice, white space squeezed to single blanks. */
export const cleanPrompt = (prompt: string): string =>
  unescaped(unescaped(prompt)).trim().replace(/\s+/g, " ");

export interface TextOptions {
  /** embeddings that were given */
  readonly file?: TensorSource;
  /** S: rows that the policy reads */
  readonly rows: number;
  /** E */
  readonly width: number;
  /** keeps what the encoder of a published commit has said */
  readonly cache?: Cache;
  readonly onNote?: (line: string) => void;
}

/** The texts of one policy, by their prompts as the data have them. */
export class PolicyTexts {
  readonly #files: ModelFiles;
  readonly #options: TextOptions;
  readonly #known = new Map<string, Float32Array<ArrayBuffer>>();

  /** @param files the frozen folder */
  constructor(files: ModelFiles, options: TextOptions) {
    this.#files = files;
    this.#options = options;
  }

  /** (L, E) without padding. @throws UsageError for a prompt that was not prepared */
  get(prompt: string): Float32Array<ArrayBuffer> {
    const found = this.#known.get(cleanPrompt(prompt));
    if (!found) throw new UsageError(`the prompt ${quoted(prompt)} was not encoded`);
    return found;
  }

  /**
   * Takes these prompts and the empty one from the file, or has them encoded.
   * @throws FormatError when the file lacks one; WeightsError, UsageError or AdapterError of the encoder
   */
  async prepare(gpu: Gpu, prompts: readonly string[], signal?: AbortSignal): Promise<void> {
    const wanted = [...new Set([...prompts.map(cleanPrompt), EMPTY_PROMPT])].filter(
      (p) => !this.#known.has(p),
    );
    if (wanted.length === 0) return;
    const { file, width } = this.#options;
    const found = file ? await fromFile(file, wanted, width) : await this.#cachedOr(gpu, wanted, signal);
    wanted.forEach((prompt, i) => this.#known.set(prompt, found[i]));
  }

  /** What is kept, and the rest from the encoder, which is kept then: of a commit only, as a folder may change. */
  async #cachedOr(
    gpu: Gpu,
    prompts: readonly string[],
    signal?: AbortSignal,
  ): Promise<Float32Array<ArrayBuffer>[]> {
    const { revision } = this.#files;
    const { cache, width, rows } = this.#options;
    if (!cache || !/^[0-9a-f]{40}$/.test(revision)) return this.#encode(gpu, prompts, signal);
    const place = (prompt: string): string => `text/${revision}/${hashOf(`${rows} ${prompt}`)}.f32`;
    const known = new Map<string, Float32Array<ArrayBuffer>>();
    for (const prompt of prompts) {
      const bytes = await cache.read(place(prompt));
      if (bytes && bytes.length > 0 && bytes.length % (4 * width) === 0)
        known.set(prompt, new Float32Array(bytes.slice().buffer));
    }
    const open = prompts.filter((prompt) => !known.has(prompt));
    const encoded = open.length > 0 ? await this.#encode(gpu, open, signal) : [];
    for (const [i, values] of encoded.entries()) {
      known.set(open[i], values);
      await cache.write(place(open[i]), new Uint8Array(values.buffer));
    }
    return prompts.map((prompt) => known.get(prompt)!);
  }

  async #encode(
    gpu: Gpu,
    prompts: readonly string[],
    signal?: AbortSignal,
  ): Promise<Float32Array<ArrayBuffer>[]> {
    const files = this.#files;
    const { rows, width, onNote } = this.#options;
    const config = readTextEncoderConfig(
      await files.json(`${ENCODER}/config.json`),
      `${files.name}/${ENCODER}`,
    );
    if (config.width !== width)
      throw new WeightsError(
        `${files.name}/${ENCODER} makes text of width ${config.width}, the transformer reads ${width}. They are not of one model.`,
      );
    const tokenizer = new PromptTokenizer(await files.json(TOKENIZER), TOKENIZER);
    const source = await files.weights(ENCODER);
    try {
      const encoder = new StreamedT5(gpu, config, umt5Weights(source));
      const ids = prompts.map((prompt) =>
        tokenizer.encode(prompt, (tokens) => onNote?.(cutNote(prompt, tokens, rows)), rows),
      );
      return (await encoder.encode(ids, { signal })).map((values) => Float32Array.from(values));
    } finally {
      await source.close();
      gpu.memory.trim();
    }
  }
}

/** Tensors `text.<i>` by the prompts that the file's metadata lists. */
async function fromFile(
  source: TensorSource,
  prompts: readonly string[],
  width: number,
): Promise<Float32Array<ArrayBuffer>[]> {
  const text = source.metadata?.get("prompts");
  const listed: unknown = text === undefined ? undefined : JSON.parse(text);
  if (!Array.isArray(listed) || listed.some((prompt) => typeof prompt !== "string"))
    throw new FormatError(
      `${source.name}: __metadata__.prompts is ${quoted(text)}, expected a JSON list of texts.`,
    );
  const clean = (listed as string[]).map(cleanPrompt);
  const found: Float32Array<ArrayBuffer>[] = [];
  for (const prompt of prompts) {
    const name = `text.${clean.indexOf(prompt)}`;
    const info = source.tensors.get(name);
    if (!info)
      throw new FormatError(`${source.name} has no embedding of the prompt ${quoted(prompt)}. ${BOTH_WAYS}`);
    if (info.shape.at(-1) !== width || !floatDtypes.has(info.dtype))
      throw new FormatError(
        `${source.name}: ${name} is ${info.dtype} [${info.shape.join(", ")}]; this model reads floats of width ${width}.`,
      );
    const values = Float32Array.from(toFloat32(await source.read(name), info.dtype));
    if (!values.every(Number.isFinite))
      throw new FormatError(`${source.name}: ${name} has numbers that are not finite.`);
    // Rows of zeros at the end are padding, which is put behind every text anyway.
    let rows = values.length / width;
    while (rows > 1 && values.subarray((rows - 1) * width, rows * width).every((v) => v === 0)) rows--;
    found.push(values.slice(0, rows * width));
  }
  return found;
}
