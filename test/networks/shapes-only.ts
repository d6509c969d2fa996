/** Checkpoints of which only names and shapes exist, or whose values are drawn. */
import { elementCount, type TensorInfo, type TensorSource } from "../../src/weights/source.ts";
import { uniform } from "../support/numbers.ts";

/** A source that cannot be read, with these shapes. */
export function sourceOf(shapes: Readonly<Record<string, readonly number[]>>): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, shape] of Object.entries(shapes))
    tensors.set(name, { name, dtype: "BF16", shape, bytes: 2 * elementCount(shape) });
  const unreadable = (): never => {
    throw new Error("this source has no data");
  };
  return { name: "shapes", tensors, read: unreadable, stream: unreadable, close: async () => {} };
}

/** A source of these shapes in float32: matrices as training leaves them, gains around 1. */
export function drawnSource(shapes: Readonly<Record<string, readonly number[]>>, seed: number): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, shape] of Object.entries(shapes))
    tensors.set(name, { name, dtype: "F32", shape, bytes: 4 * elementCount(shape) });
  const read = (name: string): Promise<Uint8Array> => {
    const { shape } = tensors.get(name)!;
    const at = [...tensors.keys()].indexOf(name);
    const values = uniform(
      1000 * seed + at,
      elementCount(shape),
      shape.length > 1 ? (3 / shape.at(-1)!) ** 0.5 : 0.2,
    );
    if (name.endsWith("norm.weight")) values.forEach((value, i) => (values[i] = 1 + value));
    return Promise.resolve(new Uint8Array(values.buffer));
  };
  async function* stream(name: string): AsyncIterable<Uint8Array> {
    yield await read(name);
  }
  return { name: "drawn", tensors, read, stream, close: async () => {} };
}

/** Elements in all. */
export const parameters = (asked: readonly { readonly shape: readonly number[] }[]): number =>
  asked.reduce((sum, { shape }) => sum + elementCount(shape), 0);
