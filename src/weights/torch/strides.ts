/** Strided tensors to row-major bytes. Strides count elements. */

/** Row-major, without gaps. Dimensions of size 1 may have any stride, and torch writes odd ones. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== expected) return false;
    expected *= shape[d];
  }
  return true;
}

/** Elements from the first to the last that the tensor touches, both included; 0 if it is empty. */
export function spanOf(shape: readonly number[], strides: readonly number[]): number {
  return shape.includes(0) ? 0 : shape.reduce((sum, size, d) => sum + (size - 1) * strides[d], 1);
}

/**
 * Gathers a strided tensor, whose first element lies at the start of `from`, into row-major order.
 * @param from bytes of the whole span
 */
export function gather(
  from: Uint8Array,
  shape: readonly number[],
  strides: readonly number[],
  itemBytes: number,
): Uint8Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const out = new Uint8Array(count * itemBytes);
  const index = shape.map(() => 0);
  let element = 0;
  for (let at = 0; at < out.length; at += itemBytes) {
    for (let b = 0, source = element * itemBytes; b < itemBytes; b++) out[at + b] = from[source + b];
    for (let d = shape.length - 1; d >= 0; d--) {
      element += strides[d];
      if (++index[d] < shape[d]) break;
      element -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return out;
}
