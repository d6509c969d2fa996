/**
 * A backbone as training leaves it, read as if its adapters were merged:
 *
 *     W = bf16(W₀ + s · B·A),   s = α / r
 *
 * `X.base_layer.weight` (O, I), `X.lora_A.default.weight` (r, I) and `X.lora_B.default.weight` (O, r) are seen as `X.weight` (O, I), made
 * while it is read, some rows at a time. The published backbone has 1.7·10⁹ such weights of rank 256, which is 0.9 TFLOP: minutes in
 * plain loops, so the product is given from outside (`lora-product.ts` takes it to the GPU).
 */
import { WeightsError } from "../../errors.ts";

import { asFloat32, piecesOf } from "../../weights/pieces.ts";
import { toBf16Bytes } from "../../weights/rounded.ts";
import { elementCount, type TensorInfo, type TensorSource } from "../../weights/source.ts";

/** α of the release's training. */
const ALPHA = 32;

/** Rows of W₀ (n, I) with B·A added to them, for rows of B that are scaled already (n, r); in float32. */
export type AddProduct = (rows: Float32Array, b: Float32Array) => Promise<Float32Array>;

/** Makes the product with one A (r, I) for all rows of its matrix; `done` is called behind the last. */
export type ProductWith = (
  a: Float32Array,
  rank: number,
) => Promise<{ readonly add: AddProduct; readonly done: () => void }>;

/** Plain loops: the reference, and fast enough for small matrices. */
export const productInLoops: ProductWith = (a, rank) => {
  const inner = a.length / rank;
  const add: AddProduct = (rows, b) => {
    const out = Float32Array.from(rows);
    const sums = new Float64Array(inner);
    for (let n = 0; n < out.length / inner; n++) {
      sums.fill(0);
      for (let r = 0; r < rank; r++) {
        const factor = b[n * rank + r];
        for (let i = 0; i < inner; i++) sums[i] += factor * a[r * inner + i];
      }
      for (let i = 0; i < inner; i++) out[n * inner + i] += sums[i];
    }
    return Promise.resolve(out);
  };
  return Promise.resolve({ add, done: () => {} });
};

interface Adapted {
  readonly base: TensorInfo;
  readonly a: TensorInfo;
  readonly b: TensorInfo;
  readonly rank: number;
}

const BASE = ".base_layer.weight";
const ADAPTER = /\.lora_[AB]\.[^.]+\.weight$/;

/** Whether a checkpoint has adapters that are not merged. */
export const hasAdapters = (source: TensorSource): boolean =>
  [...source.tensors.keys()].some((key) => key.endsWith(BASE) || ADAPTER.test(key));

/**
 * `source` with its adapters merged; one without adapters is returned as it is.
 * @throws WeightsError for an adapter of which a part is missing or does not fit
 */
export function mergeAdapters(source: TensorSource, product: ProductWith = productInLoops): TensorSource {
  if (!hasAdapters(source)) return source;
  const adapted = new Map<string, Adapted>();
  const tensors = new Map<string, TensorInfo>();
  for (const [key, info] of source.tensors) {
    if (ADAPTER.test(key)) {
      checkBase(source, key);
      continue;
    }
    if (!key.endsWith(BASE)) {
      tensors.set(key, info);
      continue;
    }
    const module = key.slice(0, -BASE.length);
    const name = `${module}.weight`;
    if (source.tensors.has(name)) {
      throw new WeightsError(`${source.name} has both ${name} and ${key}; one of them is not of this model.`);
    }
    adapted.set(name, adapterOf(source, module, info));
    const bytes = 2 * elementCount(info.shape);
    tensors.set(name, { name, dtype: "BF16", shape: info.shape, bytes });
  }
  const merged: TensorSource = {
    name: source.name,
    tensors,
    stream: (name, chunkBytes) => {
      const found = adapted.get(name);
      return found ? mergedRows(source, found, product) : source.stream(name, chunkBytes);
    },
    read: async (name) => {
      const found = adapted.get(name);
      if (!found) return source.read(name);
      const all = new Uint8Array(tensors.get(name)!.bytes);
      let at = 0;
      for await (const piece of mergedRows(source, found, product)) {
        all.set(piece, at);
        at += piece.byteLength;
      }
      return all;
    },
    close: () => source.close(),
  };
  return merged;
}

function adapterOf(source: TensorSource, module: string, base: TensorInfo): Adapted {
  const part = (letter: "A" | "B"): TensorInfo => {
    const key = `${module}.lora_${letter}.default.weight`;
    const found = source.tensors.get(key);
    if (!found) {
      throw new WeightsError(
        `${source.name} has ${module}${BASE} but not ${key}; it is an incomplete adapter. Take the whole file, or the one whose name ends in _fused.`,
      );
    }
    return found;
  };
  const [a, b] = [part("A"), part("B")];
  const show = ({ shape }: TensorInfo): string => `(${shape.join(", ")})`;
  const [rank] = a.shape;
  const fits =
    [base, a, b].every(({ shape }) => shape.length === 2) &&
    a.shape[1] === base.shape[1] &&
    b.shape[0] === base.shape[0] &&
    b.shape[1] === rank;
  if (!fits) {
    throw new WeightsError(
      `${source.name}: ${module} is ${show(base)} with adapters A ${show(a)} and B ${show(b)}; ` +
        `expected A (r, ${base.shape[1]}) and B (${base.shape[0]}, r).`,
    );
  }
  return { base, a, b, rank };
}

function checkBase(source: TensorSource, key: string): void {
  const base = key.replace(ADAPTER, BASE);
  if (source.tensors.has(base)) return;
  throw new WeightsError(`${source.name} has the adapter ${key} but not ${base}, which it belongs to.`);
}

/** Rows of the merged matrix, in bfloat16. */
async function* mergedRows(
  source: TensorSource,
  { base, a, b, rank }: Adapted,
  product: ProductWith,
): AsyncIterable<Uint8Array> {
  const scale = ALPHA / rank;
  const factors = asFloat32(await source.read(a.name), a.dtype);
  const scaled = asFloat32(await source.read(b.name), b.dtype).map((v) => v * scale);
  const inner = base.shape[1];
  const { add, done } = await product(factors, rank);
  try {
    let row = 0;
    const unit = base.bytes / base.shape[0];
    for await (const piece of piecesOf(source, base.name, unit)) {
      const rows = asFloat32(piece, base.dtype);
      const count = rows.length / inner;
      const sum = await add(rows, scaled.subarray(row * rank, (row + count) * rank));
      yield toBf16Bytes(sum);
      row += count;
    }
  } finally {
    done();
  }
}
