/** Whole numbers of a checkpoint, such as labels and pixels. */
import { FormatError } from "../errors.ts";
import { elementCount, type TensorSource } from "./source.ts";

/**
 * Values of an integer tensor; those beyond 2⁵³ lose bits.
 * @param shape expected; undefined: any
 * @throws FormatError when it is missing, of another kind or shape
 */
export async function readWholeNumbers(
  source: TensorSource,
  name: string,
  shape?: readonly number[],
): Promise<number[]> {
  const info = source.tensors.get(name);
  const fits =
    info && ["U8", "I32", "I64"].includes(info.dtype) && (!shape || info.shape.join() === shape.join());
  if (!fits) {
    const has = info ? `${info.dtype} [${info.shape.join(", ")}]` : "missing";
    throw new FormatError(
      `${source.name}: "${name}" is ${has}, expected I64, I32 or U8${shape ? ` [${shape.join(", ")}]` : ""}.`,
    );
  }
  const bytes = await source.read(name);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: elementCount(info.shape) }, (_, i) =>
    info.dtype === "I64"
      ? Number(view.getBigInt64(8 * i, true))
      : info.dtype === "I32"
        ? view.getInt32(4 * i, true)
        : bytes[i],
  );
}
