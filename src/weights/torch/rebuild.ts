/**
 * What the names in a torch checkpoint mean: a fixed list that can only build tensors and containers. A tensor here is
 * a description (which storage, which strides), no data. Names and argument orders: `torch.save` of torch 2.13
 * (`torch/_utils.py`, `torch/_tensor.py`, `torch/serialization.py`). Any other name leaves a placeholder, which is
 * passed over unless a tensor hangs on it.
 */
import { FormatError } from "../../errors.ts";
import { maxDimensions, quoted, type StoredDtype } from "../source.ts";
import { dtypesByName, storageTypes, unitBytes } from "./dtypes.ts";
import { PickleDict, PickleGlobal, type PickleHost, PicklePlaceholder, PickleTuple } from "./pickle.ts";

/** A block of bytes: entry `data/<key>` of the zip. */
export class TorchStorage {
  constructor(
    readonly key: string,
    /** what its elements are, unless the tensors say so */
    readonly dtype: StoredDtype | undefined,
    readonly bytes: number,
  ) {}
}

/** A strided window on a storage; offset, shape and strides count units of `unitBytes(dtype)`. */
export class TorchTensor {
  constructor(
    readonly storage: TorchStorage,
    readonly dtype: StoredDtype,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    /** lazy bits: the values are the stored ones with their sign changed, or conjugate */
    readonly lazy: { readonly negative: boolean; readonly conjugate: boolean },
    /** attributes set on it in Python */
    readonly attached: readonly unknown[] = [],
  ) {}
}

type Fail = (what: string) => never;

/** Types whose elements mean what they are stored as. */
const plainTensorTypes: ReadonlySet<string> = new Set([
  "torch.Tensor",
  "torch._tensor.Tensor",
  "torch.nn.parameter.Parameter",
  "torch.nn.parameter.Buffer",
]);

/**
 * Modules that a checkpoint has no use for and attacks have. Nothing would be executed either way: the refusal tells a
 * person what kind of file it is.
 */
const refusedModules: ReadonlySet<string> = new Set(
  "os posix nt subprocess sys shutil socket pty runpy importlib ctypes code codeop webbrowser marshal pickle _pickle dill cloudpickle commands pip".split(
    " ",
  ),
);

/** Of Python's own functions and types, those that make plain values; `getattr` is how protocol 2 names nested classes. */
const plainBuiltins: ReadonlySet<string> = new Set(
  "set frozenset complex bytearray bytes slice range object list dict tuple int float str bool Ellipsis NotImplemented NoneType getattr".split(
    " ",
  ),
);

/** What a pickle of `torch.save` may name, and what comes of it. */
export function torchHost(where: string): PickleHost {
  const fail: Fail = (what) => {
    throw new FormatError(`${where}: ${what}; the file is damaged or not a plain checkpoint.`);
  };
  return {
    global: (module, name) => {
      const top = module.split(".")[0];
      const isBuiltin = top === "builtins" || top === "__builtin__";
      if (refusedModules.has(top) || (isBuiltin && !plainBuiltins.has(name)))
        throw notAllowed(where, `${module}.${name}`);
      return new PickleGlobal(`${module}.${name}`);
    },
    persistent: (id) => rebuildStorage(id, fail),
    reduce: (callable, args) => reduce(callable, args, fail, where),
  };
}

/** Python's call that keeps the state dict and nothing else. */
const remedy = "In Python, save the plain state dict again: torch.save(model.state_dict(), path).";

export function notAllowed(where: string, name: string, why = ""): FormatError {
  return new FormatError(
    `${where}: it names ${quoted(name)}, which is not allowed${why}: only tensors, dicts, lists and scalars are ` +
      `read, and nothing in a file is executed. ${remedy}`,
  );
}

function reduce(callable: PickleGlobal, args: readonly unknown[], fail: Fail, where: string): unknown {
  const { name } = callable;
  const [first] = args;
  switch (name) {
    case "collections.OrderedDict":
      return args.length === 0 ? new PickleDict() : fail(`a call of ${name} with arguments it does not take`);
    case "collections.defaultdict":
      return new PickleDict();
    case "torch.Size":
      return first instanceof PickleTuple || Array.isArray(first)
        ? first
        : fail(`a call of ${name} without sizes`);
    case "torch._utils._rebuild_tensor":
    case "torch._utils._rebuild_tensor_v2":
      return rebuildTensor(args.slice(0, 6), undefined, args[6], fail);
    case "torch._utils._rebuild_tensor_v3":
      return rebuildTensor(args.slice(0, 6), args[6], args[7], fail);
    case "torch._utils._rebuild_parameter":
    case "torch._utils._rebuild_parameter_with_state":
      return first instanceof TorchTensor
        ? withAttached(first, args.slice(2))
        : fail(`a call of ${name} without a tensor`);
    case "torch._tensor._rebuild_from_type":
    case "torch._tensor._rebuild_from_type_v2": {
      const [func, type, inner, state] = args;
      if (!(func instanceof PickleGlobal && type instanceof PickleGlobal && inner instanceof PickleTuple))
        return fail(`a call of ${name} with arguments it does not take`);
      if (!plainTensorTypes.has(type.name)) throw notAllowed(where, type.name, " as the type of a tensor");
      const tensor = reduce(func, inner.items, fail, where);
      return tensor instanceof TorchTensor
        ? withAttached(tensor, [state])
        : fail(`a call of ${name} without a tensor`);
    }
    default:
      if (storageTypes.has(name)) return fail(`a call of ${name} with arguments it does not take`);
      // Sparse, quantized, nested tensors and what else torch rebuilds: skipped, they would be missing.
      if (/^torch\..*(_rebuild_|_load_from_bytes)/.test(name))
        throw notAllowed(where, name, ", a tensor of a kind that is not read");
      return new PicklePlaceholder(name, args);
  }
}

const withAttached = (t: TorchTensor, attached: readonly unknown[]): TorchTensor =>
  new TorchTensor(t.storage, t.dtype, t.offset, t.shape, t.strides, t.lazy, [...t.attached, ...attached]);

function rebuildStorage(id: unknown, fail: Fail): TorchStorage {
  const items = id instanceof PickleTuple ? id.items : [];
  const [kind, type, key, , elements] = items;
  const name = type instanceof PickleGlobal ? type.name : "";
  if (
    items.length !== 5 ||
    kind !== "storage" ||
    !storageTypes.has(name) ||
    typeof key !== "string" ||
    !isCount(elements)
  ) {
    return fail("a storage that is not described as torch does");
  }
  const dtype = storageTypes.get(name);
  const bytes = elements * (dtype === undefined ? 1 : unitBytes(dtype));
  return Number.isSafeInteger(bytes)
    ? new TorchStorage(key, dtype, bytes)
    : fail(`a storage of ${bytes} bytes`);
}

/**
 * (storage, offset, size, stride, requires_grad, backward_hooks), then in v3 the dtype, then metadata. Gradients and hooks do
 * not touch the values; every entry of the metadata does and is applied, or the file refused.
 */
function rebuildTensor(args: readonly unknown[], type: unknown, metadata: unknown, fail: Fail): TorchTensor {
  const [storage, offset, size, stride, , hooks] = args;
  const shape = sizesOf(size);
  const strides = sizesOf(stride);
  if (
    !(storage instanceof TorchStorage) ||
    !isCount(offset) ||
    shape === undefined ||
    strides === undefined
  ) {
    return fail("a tensor that is not described as torch does");
  }
  const named = type instanceof PickleGlobal ? type.name : undefined;
  const dtype = type === undefined ? storage.dtype : dtypesByName.get(named ?? "");
  if (dtype === undefined) {
    return fail(`a tensor of the element type ${quoted(named ?? type ?? "untyped")}, which is not read`);
  }
  if (shape.length > maxDimensions) return fail(`a tensor of ${shape.length} dimensions`);
  if (shape.length !== strides.length)
    return fail(`a tensor of shape [${shape.join(", ")}] with strides [${strides.join(", ")}]`);
  const unit = unitBytes(dtype);
  let bytes: number = unit;
  for (const extent of shape) {
    bytes *= extent;
    if (!Number.isSafeInteger(bytes))
      return fail(`a tensor of shape [${shape.join(", ")}], beyond 2^53 bytes`);
  }
  const end =
    bytes === 0 ? offset : offset + 1 + shape.reduce((sum, extent, d) => sum + (extent - 1) * strides[d], 0);
  if (end * unit > storage.bytes) {
    return fail(
      `a tensor of shape [${shape.join(", ")}], strides [${strides.join(", ")}], offset ${offset} reaches element ${end} ` +
        `of storage ${quoted(storage.key)}, which has ${Math.floor(storage.bytes / unit)}`,
    );
  }
  if (dtype === "F4" && shape.length === 0) return fail("a pair of 4-bit numbers without a dimension");
  return new TorchTensor(storage, dtype, offset, shape, strides, lazyBits(metadata, dtype, fail), [hooks]);
}

/** Sizes are a tuple, or a `torch.Size`, which is one. */
function sizesOf(value: unknown): readonly number[] | undefined {
  const items = value instanceof PickleTuple ? value.items : undefined;
  return items?.every(isCount) === true ? items : undefined;
}

function lazyBits(metadata: unknown, dtype: StoredDtype, fail: Fail): TorchTensor["lazy"] {
  const bits = { negative: false, conjugate: false };
  if (metadata === undefined || metadata === null) return bits;
  if (!(metadata instanceof PickleDict)) return fail("a tensor with metadata that is not a dict");
  for (const [key, value] of metadata.entries) {
    if (value === false) continue;
    const complex = /^C\d+$/.test(dtype);
    const float = complex || ["F64", "F32", "F16", "BF16"].includes(dtype);
    if (key === "neg" && value === true && float) bits.negative = true;
    else if (key === "conj" && value === true && complex) bits.conjugate = true;
    else
      return fail(
        `a tensor of ${dtype} with the metadata ${quoted(key)}: ${quoted(value)}, which is not known`,
      );
  }
  return bits;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
