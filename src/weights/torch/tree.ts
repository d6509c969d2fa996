/**
 * The tensors of what a pickle has built, under dotted names: nested dicts join their keys with ".", lists count from 0.
 * Numbers and texts are kept beside them, as they stand. Objects of unknown classes are passed over, unless a tensor hangs on one and
 * nowhere else.
 */
import { FormatError } from "../../errors.ts";
import { quoted } from "../source.ts";
import { PickleDict, PickleGlobal, PicklePlaceholder, PickleTuple, readPickle } from "./pickle.ts";
import { notAllowed, torchHost, TorchStorage, TorchTensor } from "./rebuild.ts";

export interface TorchTree {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** "args: argparse.Namespace" */
  readonly skipped: readonly string[];
  /** numbers, texts, truth values and None (null) by dotted name */
  readonly values: ReadonlyMap<string, PlainValue>;
}

export type PlainValue = string | number | boolean | null;

/**
 * Interprets `data.pkl`.
 * @param fileBytes bound of what the names may take in all, so that dicts that contain one dict many times over
 *   cannot grow without end
 * @throws FormatError for a malformed tensor, a tensor that could not be listed, or nesting without end
 */
export function readTorchPickle(pickle: Uint8Array, where: string, fileBytes: number): TorchTree {
  const root = readPickle(pickle, torchHost(where), where);
  const tensors = new Map<string, TorchTensor>();
  const listed = new Set<unknown>();
  const skipped: string[] = [];
  const values = new Map<string, PlainValue>();
  /** what is reached by other ways than names: attributes, and all parts of objects of unknown classes */
  const aside: { readonly value: unknown; readonly of: string }[] = [];
  let [places, characters] = [0, 0];

  const visit = (value: unknown, name: string, depth: number): void => {
    if (++places > 4 * pickle.length || depth > 32 || characters > fileBytes) {
      throw new FormatError(
        `${where}: its dicts contain one another deeper or more often than a checkpoint's do.`,
      );
    }
    const below = (key: unknown): string => (name === "" ? keyText(key) : `${name}.${keyText(key)}`);
    if (value instanceof TorchTensor) {
      if (tensors.has(name)) throw new FormatError(`${where}: two tensors come to be named ${quoted(name)}.`);
      characters += name.length;
      tensors.set(name, value);
      listed.add(value);
      for (const attribute of value.attached) aside.push({ value: attribute, of: `an attribute of ${name}` });
    } else if (value instanceof PickleDict) {
      for (const [key, item] of value.entries) {
        if (typeof key === "object") aside.push({ value: key, of: "a key" });
        visit(item, below(key), depth + 1);
      }
      for (const attribute of value.attached) aside.push({ value: attribute, of: `an attribute of ${name}` });
    } else if (Array.isArray(value) || value instanceof PickleTuple) {
      const items: readonly unknown[] = Array.isArray(value) ? value : value.items;
      items.forEach((item, i) => {
        visit(item, below(i), depth + 1);
      });
    } else if (value instanceof PicklePlaceholder || value instanceof TorchStorage) {
      const of = value instanceof TorchStorage ? "torch.storage.UntypedStorage" : value.name;
      characters += name.length;
      if (!harmless.has(of)) skipped.push(`${name}: ${of}`);
      aside.push({ value, of });
    } else if (isPlain(value)) {
      characters += name.length;
      values.set(name, value);
    }
  };
  if (root instanceof PicklePlaceholder || root instanceof PickleGlobal) throw notAllowed(where, root.name);
  visit(root, "", 0);
  refuseHidden(aside, listed, where);
  return { tensors, skipped, values };
}

const isPlain = (value: unknown): value is PlainValue =>
  value === null || ["string", "number", "boolean"].includes(typeof value);

/** Scalars of Python that have no opcode of their own. */
const harmless: ReadonlySet<string> = new Set([
  "bytes",
  "torch.device",
  "_codecs.encode",
  ...["set", "frozenset", "complex", "bytearray", "slice", "range"].flatMap((name) => [
    `builtins.${name}`,
    `__builtin__.${name}`,
  ]),
]);

/** @throws FormatError if a tensor or storage is reached only through something that is passed over */
function refuseHidden(
  aside: { readonly value: unknown; readonly of: string }[],
  listed: ReadonlySet<unknown>,
  where: string,
): void {
  const seen = new Set<unknown>();
  for (let next = aside.pop(); next !== undefined; next = aside.pop()) {
    const { value, of } = next;
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    const into = (values: Iterable<unknown>, name = of): void => {
      for (const part of values) aside.push({ value: part, of: name });
    };
    if (value instanceof TorchStorage || (value instanceof TorchTensor && !listed.has(value))) {
      throw notAllowed(where, of, " with a tensor inside, which would be lost");
    } else if (value instanceof PickleDict) into([...value.entries].flat().concat(value.attached));
    else if (value instanceof PickleTuple) into(value.items);
    else if (Array.isArray(value)) into(value as unknown[]);
    else if (value instanceof PicklePlaceholder) into(value.parts, value.name);
  }
}

/** A key as part of a name. */
function keyText(key: unknown): string {
  if (key instanceof PickleTuple) return `(${key.items.map(keyText).join(", ")})`;
  if (key instanceof PickleGlobal || key instanceof PicklePlaceholder) return key.name;
  return typeof key === "object" && key !== null ? key.constructor.name : String(key);
}
