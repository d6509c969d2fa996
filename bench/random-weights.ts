/** Checkpoints that nobody has to download: random weights of the shapes that a model asks for. */
import type { Gpu } from "../src/gpu/gpu.ts";
import { type WeightDtype, WeightLoader } from "../src/weights/loader.ts";
import { dtypeBytes, elementCount, type TensorInfo, type TensorSource } from "../src/weights/source.ts";
import { uniform } from "../test/support/numbers.ts";

/** Numbers drawn once and repeated: two billion draws would take longer than the step. Odd, so that rows differ. */
const DRAWN = 1_048_573;

/**
 * A model on random weights that are ready to be loaded; nothing is allocated yet.
 * @param build makes the model from a loader; it is called twice, first to learn what it asks for
 */
export function randomModel<T>(
  gpu: Gpu,
  dtype: WeightDtype,
  build: (loader: WeightLoader) => T,
): { readonly model: T; readonly loader: WeightLoader } {
  const first = WeightLoader.from(gpu, randomSource("F32", []));
  build(first);
  const source = randomSource(dtype === "bf16" ? "BF16" : "F32", first.asked);
  const loader = WeightLoader.from(gpu, source, { dtype });
  return { model: build(loader), loader };
}

type Asked = readonly { readonly key: string; readonly shape: readonly number[] }[];

/** Matrices uniform with variance 1 / terms of a sum, so that activations keep their size; vectors around 1, as gains are. */
export function randomSource(dtype: "F32" | "BF16", asked: Asked): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const { key, shape } of asked)
    tensors.set(key, { name: key, dtype, shape, bytes: elementCount(shape) * dtypeBytes[dtype] });
  // By the number of terms: a model has few.
  const drawn = new Map<number, Uint8Array>();
  const block = (terms: number): Uint8Array => {
    let bytes = drawn.get(terms);
    if (!bytes) {
      const values = uniform(terms, DRAWN, terms > 1 ? Math.sqrt(3 / terms) : 0.1);
      if (terms <= 1) for (let i = 0; i < DRAWN; i++) values[i] += 1;
      bytes = new Uint8Array(dtype === "F32" ? values.buffer : upperHalves(values).buffer);
      drawn.set(terms, bytes);
    }
    return bytes;
  };
  const read = async (name: string): Promise<Uint8Array> => {
    const { shape, bytes } = tensors.get(name)!;
    const from = block(shape.length < 2 ? 1 : elementCount(shape.slice(1)));
    const all = new Uint8Array(bytes);
    for (let at = 0; at < bytes; at += from.length) all.set(from.subarray(0, bytes - at), at);
    return all;
  };
  return {
    name: "random weights",
    tensors,
    read,
    async *stream(name) {
      yield await read(name);
    },
    close: async () => {},
  };
}

/** bfloat16 by cutting: random numbers need no rounding. */
const upperHalves = (values: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> =>
  Uint16Array.from(new Uint32Array(values.buffer), (word) => word >>> 16);
