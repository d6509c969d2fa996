/**
 * Pickles of numpy arrays, as `pickle.dump` writes a list or a dict of them: read without calling anything. An array is
 * `numpy…_reconstruct` with a state of (version, shape, dtype, Fortran order, bytes); names mean nothing but that here.
 */
import { FormatError } from "../errors.ts";
import {
  dtypeBytes,
  elementCount,
  quoted,
  type StoredDtype,
  type TensorInfo,
  type TensorSource,
  tensorInfo,
} from "./source.ts";
import {
  PickleBytes,
  PickleDict,
  PickleGlobal,
  PicklePlaceholder,
  PickleTuple,
  readPickle,
} from "./torch/pickle.ts";

/** What Python writes by default. */
const NEWEST_PROTOCOL = 4;

/** Whether a file begins like a pickle. */
export const looksPickled = (start: Uint8Array): boolean =>
  start.length > 1 && start[0] === 0x80 && start[1] >= 2 && start[1] <= 5;

const DTYPES: Readonly<Record<string, StoredDtype>> = { f2: "F16", f4: "F32", f8: "F64" };

const RECONSTRUCT = /^numpy\.(_?core\.multiarray)\._reconstruct$/;

/**
 * The arrays of a pickle under dotted names: dicts join their keys with ".", lists count from 0, a single array is "".
 * @throws FormatError for anything but dicts, lists and arrays of floats
 */
export function openPickledArrays(bytes: Uint8Array, name: string): TensorSource {
  const root = readPickle(
    bytes,
    {
      global: (module, global) => new PickleGlobal(`${module}.${global}`),
      persistent: () => {
        throw new FormatError(`${name}: a pickle that refers to things outside of it, which arrays do not.`);
      },
      reduce: (callable, args) => new PicklePlaceholder(callable.name, args),
    },
    name,
    NEWEST_PROTOCOL,
  );
  const arrays = new Map<string, Uint8Array>();
  const tensors = new Map<string, TensorInfo>();
  const visit = (value: unknown, at: string, depth: number): void => {
    const inside = (key: string): string => (at === "" ? key : `${at}.${key}`);
    if (depth > 8 || tensors.size > 100_000)
      throw new FormatError(
        `${name}: its dicts and lists contain one another deeper or more often than arrays do.`,
      );
    if (value instanceof PickleDict)
      for (const [key, item] of value.entries) visit(item, inside(String(key)), depth + 1);
    else if (Array.isArray(value)) value.forEach((item, i) => visit(item, inside(`${i}`), depth + 1));
    else if (value instanceof PickleTuple)
      value.items.forEach((item, i) => visit(item, inside(`${i}`), depth + 1));
    else if (value instanceof PicklePlaceholder) {
      const { shape, dtype, elements } = arrayOf(value, `${name}${at === "" ? "" : `: ${quoted(at)}`}`);
      tensors.set(at, { name: at, dtype, shape, bytes: elements.length });
      arrays.set(at, elements);
    }
  };
  visit(root, "", 0);
  const source: TensorSource = {
    name,
    tensors,
    read: (key) => {
      tensorInfo(source, key);
      return Promise.resolve(arrays.get(key)!.slice());
    },
    async *stream(key) {
      yield await source.read(key);
    },
    close: () => Promise.resolve(),
  };
  return source;
}

function arrayOf(
  value: PicklePlaceholder,
  where: string,
): { shape: readonly number[]; dtype: StoredDtype; elements: Uint8Array } {
  const fail = (what: string): never => {
    throw new FormatError(
      `${where}: ${what}; arrays of float16, float32 or float64 are read, and nothing in a pickle is executed.`,
    );
  };
  if (!RECONSTRUCT.test(value.name)) return fail(`it holds ${quoted(value.name)}`);
  const state = value.parts.at(-1);
  const [, size, type, fortran, stored] = state instanceof PickleTuple ? state.items : [];
  const shape = size instanceof PickleTuple ? size.items : undefined;
  if (!shape?.every((n): n is number => Number.isSafeInteger(n) && (n as number) >= 0))
    return fail("an array without a shape");
  const { code, order } = typeOf(type);
  const dtype = DTYPES[code] as StoredDtype | undefined;
  if (dtype === undefined || order === ">") return fail(`an array of the type ${quoted(order + code)}`);
  if (fortran === true && shape.length > 1) return fail("an array in Fortran order");
  const elements = bytesOf(stored);
  const expected = elementCount(shape) * dtypeBytes[dtype];
  if (elements?.length !== expected)
    return fail(
      `an array [${shape.join(", ")}] of ${elements?.length ?? "no"} bytes where ${expected} are expected`,
    );
  return { shape, dtype, elements };
}

/** `numpy.dtype("f2", …)` with a state whose second entry is the byte order. */
function typeOf(type: unknown): { code: string; order: string } {
  if (!(type instanceof PicklePlaceholder) || type.name !== "numpy.dtype")
    return { code: "nothing", order: "" };
  const state = type.parts.at(-1);
  const order = state instanceof PickleTuple ? state.items[1] : "";
  return { code: String(type.parts[0]), order: typeof order === "string" ? order : "" };
}

/** Protocol 2 has no bytes: there they are a text of one byte a character and its encoding. */
function bytesOf(stored: unknown): Uint8Array | undefined {
  if (stored instanceof PickleBytes) return stored.bytes;
  if (!(stored instanceof PicklePlaceholder) || stored.name !== "_codecs.encode") return undefined;
  const [text, encoding] = stored.parts;
  if (typeof text !== "string" || encoding !== "latin1") return undefined;
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
