/** Checkpoints of which only names and shapes exist. */
import { elementCount, type TensorInfo, type TensorSource } from "../../src/weights/source.ts";

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

/** Elements in all. */
export const parameters = (asked: readonly { readonly shape: readonly number[] }[]): number =>
  asked.reduce((sum, { shape }) => sum + elementCount(shape), 0);
