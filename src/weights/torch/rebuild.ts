/**
 * What the names in a torch checkpoint mean: a fixed list that can only build tensors and dicts. A tensor here is
 * a description (which storage, which strides), no data. Names and argument orders: `torch.save` of torch 2.13
 * (`torch/_utils.py`, `torch/serialization.py`).
 */
import { FormatError } from "../../errors.ts";
import { dtypeBytes, maxDimensions, quoted, type StoredDtype } from "../source.ts";
import { PickleDict, PickleGlobal, type PickleHost, PickleTuple, readPickle } from "./pickle.ts";

const storageTypes: ReadonlyMap<string, StoredDtype> = new Map([
  ["torch.FloatStorage", "F32"],
  ["torch.DoubleStorage", "F64"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.ShortStorage", "I16"],
  ["torch.CharStorage", "I8"],
  ["torch.ByteStorage", "U8"],
  ["torch.BoolStorage", "BOOL"],
]);

const callables: ReadonlySet<string> = new Set([
  "collections.OrderedDict",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
]);

/** A block of elements: entry `data/<key>` of the zip. */
export class TorchStorage {
  constructor(
    readonly key: string,
    readonly dtype: StoredDtype,
    readonly elements: number,
  ) {}
}

/** A strided window on a storage; offset and strides count elements. */
export class TorchTensor {
  constructor(
    readonly storage: TorchStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/**
 * Interprets `data.pkl` and lists its tensors under dotted names: nested dicts join their keys with ".", lists
 * count from 0; numbers and texts are passed over.
 * @param fileBytes bound of what the names may take in all, so that dicts that contain one dict many times over
 *   cannot grow without end
 * @throws FormatError for a name outside the list, a malformed tensor, or nesting without end
 */
export function readTorchPickle(
  pickle: Uint8Array,
  where: string,
  fileBytes: number,
): Map<string, TorchTensor> {
  const root = readPickle(pickle, torchHost(where), where);
  const tensors = new Map<string, TorchTensor>();
  let [places, characters] = [0, 0];
  const visit = (value: unknown, name: string, depth: number): void => {
    if (++places > 4 * pickle.length || depth > 32 || characters > fileBytes) {
      throw new FormatError(
        `${where}: its dicts contain one another deeper or more often than a checkpoint's do.`,
      );
    }
    if (value instanceof TorchTensor) {
      if (tensors.has(name)) throw new FormatError(`${where}: two tensors come to be named ${quoted(name)}.`);
      characters += name.length;
      tensors.set(name, value);
    } else if (value instanceof PickleDict) {
      for (const [key, item] of value.entries)
        visit(item, name === "" ? `${String(key)}` : `${name}.${String(key)}`, depth + 1);
    } else if (Array.isArray(value) || value instanceof PickleTuple) {
      const items: readonly unknown[] = Array.isArray(value) ? value : value.items;
      items.forEach((item, i) => {
        visit(item, name === "" ? `${i}` : `${name}.${i}`, depth + 1);
      });
    }
  };
  visit(root, "", 0);
  return tensors;
}

function torchHost(where: string): PickleHost {
  const fail = (what: string): never => {
    throw new FormatError(`${where}: ${what}; the file is damaged or not a plain checkpoint.`);
  };
  return {
    global: (module, name) => {
      const full = `${module}.${name}`;
      if (storageTypes.has(full) || callables.has(full)) return new PickleGlobal(full);
      throw new FormatError(
        `${where}: it names ${quoted(full)}, which is not allowed: only tensors, dicts, lists and scalars are ` +
          "read, and nothing in a file is executed. In Python, save the plain state dict again.",
      );
    },
    persistent: (id) => {
      const items = id instanceof PickleTuple ? id.items : [];
      const [kind, type, key, , elements] = items;
      const dtype = type instanceof PickleGlobal ? storageTypes.get(type.name) : undefined;
      if (
        items.length !== 5 ||
        kind !== "storage" ||
        dtype === undefined ||
        typeof key !== "string" ||
        !isCount(elements)
      ) {
        return fail("a storage that is not described as torch does");
      }
      return new TorchStorage(key, dtype, elements);
    },
    reduce: (callable, args) => {
      const name = callable instanceof PickleGlobal ? callable.name : "";
      if (name === "collections.OrderedDict" && args.length === 0) return new PickleDict();
      if (name === "torch._utils._rebuild_parameter" && args[0] instanceof TorchTensor) return args[0];
      if (name === "torch._utils._rebuild_tensor_v2") return rebuildTensor(args, fail);
      return fail(`a call of ${name || "something that is no function"} with arguments it does not take`);
    },
  };
}

function rebuildTensor(args: readonly unknown[], fail: (what: string) => never): TorchTensor {
  const [storage, offset, size, stride] = args;
  const shape = size instanceof PickleTuple ? size.items : undefined;
  const strides = stride instanceof PickleTuple ? stride.items : undefined;
  if (!(storage instanceof TorchStorage) || !isCount(offset) || !isCounts(shape) || !isCounts(strides)) {
    return fail("a tensor that is not described as torch does");
  }
  if (shape.length > maxDimensions) return fail(`a tensor of ${shape.length} dimensions`);
  if (shape.length !== strides.length)
    return fail(`a tensor of shape [${shape.join(", ")}] with strides [${strides.join(", ")}]`);
  const itemBytes = dtypeBytes[storage.dtype];
  let bytes = itemBytes;
  for (const extent of shape) {
    bytes *= extent;
    if (!Number.isSafeInteger(bytes))
      return fail(`a tensor of shape [${shape.join(", ")}], beyond 2^53 bytes`);
  }
  const end =
    bytes === 0 ? offset : offset + 1 + shape.reduce((sum, extent, d) => sum + (extent - 1) * strides[d], 0);
  if (end > storage.elements) {
    return fail(
      `a tensor of shape [${shape.join(", ")}], strides [${strides.join(", ")}], offset ${offset} reaches element ${end} ` +
        `of storage ${quoted(storage.key)}, which has ${storage.elements}`,
    );
  }
  return new TorchTensor(storage, offset, shape, strides);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(values: readonly unknown[] | undefined): values is readonly number[] {
  return values?.every(isCount) ?? false;
}
