/**
 * Embeddings of prompts from a file: safetensors with `text.<i>` (L, d) and `__metadata__.prompts`, a JSON list; or a torch file or pickle with
 * a tensor for each prompt under the prompt itself, or a list of tensors in the order of the prompts. Rows of zeros at the end are padding, which every reader of the text adds by itself.
 *
 * Axes: L tokens of a prompt, d text width.
 */
import { FormatError } from "../../errors.ts";
import { floatDtypes, toFloat32 } from "../../weights/convert.ts";
import { quoted, type TensorInfo, type TensorSource } from "../../weights/source.ts";

/** Prompt → (L, d), row-major. */
export type TextEmbeddings = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

/** Longest text that the video network sees; shorter ones are padded with zeros to it. */
export const MOST_TEXT_ROWS = 512;

/** A file's tensors by prompt. */
export interface TextFile {
  readonly name: string;
  /** Which of these prompts it cannot give. */
  missing(prompts: readonly string[]): readonly string[];
  /** @throws FormatError for a prompt it has not, or values that are not finite */
  read(prompts: readonly string[]): Promise<TextEmbeddings>;
}

/**
 * Looks at the headers of a file of embeddings.
 * @param width d of the model
 * @throws FormatError for a file that is none, or one of another width
 */
export function openTextFile(source: TensorSource, width: number): TextFile {
  const listed = promptsOf(source);
  const infos = [...source.tensors.values()];
  if (infos.length === 0)
    throw new FormatError(`${source.name} holds no tensors, so no embeddings of prompts.`);
  const byPrompt = new Map<string, TensorInfo>();
  if (listed) {
    listed.forEach((prompt, i) => {
      const info = source.tensors.get(`text.${i}`);
      if (!info) {
        throw new FormatError(
          `${source.name} lists ${listed.length} prompts but has no tensor text.${i} for ${quoted(prompt)}.`,
        );
      }
      byPrompt.set(prompt, info);
    });
  } else for (const info of infos) byPrompt.set(info.name, info);
  for (const info of byPrompt.values()) checkShape(source.name, info, width);

  // A list of embeddings says its prompts by order alone.
  const unnamed = !listed && infos.every(({ name }) => /^\d*$/.test(name));
  const found = (prompts: readonly string[]): ReadonlyMap<string, TensorInfo> => {
    if (!unnamed || prompts.length !== infos.length) return byPrompt;
    const ordered = [...infos].sort((a, b) => Number(a.name) - Number(b.name));
    return new Map(prompts.map((prompt, i) => [prompt, ordered[i]]));
  };
  return {
    name: source.name,
    missing: (prompts) => {
      const have = found(prompts);
      return prompts.filter((prompt) => !have.has(prompt));
    },
    read: async (prompts) => {
      const have = found(prompts);
      const read = new Map<string, Float32Array<ArrayBuffer>>();
      for (const prompt of prompts) {
        const info = have.get(prompt);
        if (!info)
          throw new FormatError(notThere(source.name, prompt, unnamed ? infos.length : [...byPrompt.keys()]));
        const values = toFloat32(await source.read(info.name), info.dtype);
        const bad = values.findIndex((v) => !Number.isFinite(v));
        if (bad >= 0) {
          throw new FormatError(
            `${source.name}: the embedding of ${quoted(prompt)} has ${values[bad]} in row ${Math.floor(bad / width)}.`,
          );
        }
        read.set(prompt, withoutPadding(values, width));
      }
      return read;
    },
  };
}

function promptsOf(source: TensorSource): readonly string[] | undefined {
  const { metadata } = source as { metadata?: ReadonlyMap<string, string> };
  const text = metadata?.get("prompts");
  if (text === undefined) return undefined;
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    list = undefined;
  }
  if (!Array.isArray(list) || list.some((prompt) => typeof prompt !== "string")) {
    throw new FormatError(
      `${source.name}: __metadata__.prompts is ${quoted(text)}, expected a JSON list of texts.`,
    );
  }
  return list as string[];
}

function checkShape(file: string, { name, shape, dtype }: TensorInfo, width: number): void {
  const [rows, columns] = shape.length === 3 && shape[0] === 1 ? shape.slice(1) : shape;
  const shown = `${file}: ${name === "" ? "the embedding" : quoted(name)} is ${dtype} [${shape.join(", ")}]`;
  if (
    shape.length < 2 ||
    shape.length > 3 ||
    (shape.length === 3 && shape[0] !== 1) ||
    !floatDtypes.has(dtype)
  ) {
    throw new FormatError(`${shown}, expected floats of shape (tokens, ${width}).`);
  }
  if (columns !== width) {
    throw new FormatError(
      `${shown}: ${columns} wide, but this model reads text of width ${width}. ` +
        "The file is of another text encoder; encode the prompts with this model's.",
    );
  }
  if (rows < 1 || rows > MOST_TEXT_ROWS) {
    throw new FormatError(`${shown}: ${rows} tokens, expected 1 to ${MOST_TEXT_ROWS}.`);
  }
}

function notThere(file: string, prompt: string, have: number | readonly string[]): string {
  if (typeof have === "number") {
    return (
      `${file} holds ${have} embeddings without prompts, and the data have another number of prompts, among them ` +
      `${quoted(prompt)}. Give a file that names them: text.<i> and __metadata__.prompts in safetensors.`
    );
  }
  const some = have.slice(0, 8).map(quoted).join(", ");
  const more = have.length > 8 ? `, … (${have.length} in all)` : "";
  return `${file} has no embedding of the prompt ${quoted(prompt)}; it has ${some}${more}. Add it, or encode prompts with --encode-text.`;
}

function withoutPadding(values: Float32Array, width: number): Float32Array<ArrayBuffer> {
  let rows = values.length / width;
  const isZero = (row: number): boolean =>
    values.subarray(row * width, (row + 1) * width).every((v) => v === 0);
  while (rows > 1 && isZero(rows - 1)) rows--;
  return values.slice(0, rows * width);
}
