/** Keys renamed and dropped on the way from one checkpoint to another, and BF16 widened or narrowed. */
import { UsageError, WeightsError } from "../errors.ts";
import { bf16ToF32, toFloat16 } from "./convert.ts";
import { type StoredDtype, type TensorInfo, type TensorSource } from "./source.ts";
import { type TensorToWrite } from "./safetensors-writer.ts";

export interface ConvertOptions {
  /** [old prefix, new prefix]; the first that fits a key is applied, once */
  readonly rename?: readonly (readonly [string, string])[];
  /** patterns of keys to leave out, matched against the old key; `*` stands for any characters */
  readonly drop?: readonly string[];
  /** what BF16 tensors become; without it they stay */
  readonly bf16As?: "F32" | "F16";
  /** told how many finite values of a tensor did not fit into F16 */
  readonly onSaturated?: (name: string, count: number) => void;
}

/**
 * The tensors of `source` under their new names, streamed when written.
 * @throws WeightsError if two keys would get one name; UsageError if a rename or drop fits no key at all, as then
 *   it is most likely misspelt
 */
export function convertTensors(source: TensorSource, options: ConvertOptions = {}): TensorToWrite[] {
  const { rename = [], drop = [] } = options;
  const used = new Set<unknown>();
  const taken = new Map<string, string>();
  const tensors: TensorToWrite[] = [];
  for (const info of source.tensors.values()) {
    const dropping = drop.find((pattern) => matches(info.name, pattern));
    if (dropping !== undefined) {
      used.add(dropping);
      continue;
    }
    used.add(rename.find(([old]) => info.name.startsWith(old)));
    const name = renamePrefix(info.name, rename);
    if (taken.has(name)) {
      throw new WeightsError(
        `${source.name}: "${taken.get(name)}" and "${info.name}" would both be named "${name}".`,
      );
    }
    taken.set(name, info.name);
    tensors.push(convertTensor(source, info, name, options));
  }
  const idle = [...drop, ...rename].filter((rule) => !used.has(rule));
  if (idle.length > 0) {
    const names = idle.map((rule) => `"${typeof rule === "string" ? rule : rule[0]}"`).join(", ");
    throw new UsageError(`${source.name}: no key fits ${names}. See the keys with \`npm run inspect\`.`);
  }
  return tensors;
}

/** `key` with its prefix replaced by the first rule that fits; an empty old prefix fits every key. */
export function renamePrefix(key: string, rules: readonly (readonly [string, string])[]): string {
  const rule = rules.find(([old]) => key.startsWith(old));
  return rule === undefined ? key : rule[1] + key.slice(rule[0].length);
}

/**
 * A rule as it is written on a command line: "OLD=NEW", either may be empty.
 * @throws UsageError without an equals sign, or with nothing but one
 */
export function parseRename(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 0 || text === "=") {
    throw new UsageError(`--rename takes OLD=NEW, prefixes of which one may be empty, not "${text}".`);
  }
  return [text.slice(0, at), text.slice(at + 1)];
}

function convertTensor(
  source: TensorSource,
  info: TensorInfo,
  name: string,
  { bf16As, onSaturated }: ConvertOptions,
): TensorToWrite {
  const { dtype, shape } = info;
  const target: StoredDtype = dtype === "BF16" && bf16As !== undefined ? bf16As : dtype;
  async function* stream(): AsyncIterable<Uint8Array> {
    let saturated = 0;
    for await (const chunk of source.stream(info.name)) {
      if (target === dtype) yield chunk;
      else if (target === "F32") yield bf16ToF32(chunk);
      else {
        const half = toFloat16(chunk, "BF16");
        saturated += half.saturated;
        yield half.bytes;
      }
    }
    if (saturated > 0) onSaturated?.(name, saturated);
  }
  return { name, dtype: target, shape, data: stream };
}

/** Piece by piece rather than as a regular expression, whose time could explode on a long key. */
function matches(key: string, pattern: string): boolean {
  const [first, ...rest] = pattern.split("*");
  if (rest.length === 0) return key === pattern;
  const last = rest.pop()!;
  if (!key.startsWith(first) || !key.endsWith(last) || key.length < first.length + last.length) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = key.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return at <= key.length - last.length;
}
