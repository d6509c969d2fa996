/** Values of a batch, laid one behind the other. */

/** The arrays as one. */
export function joined(arrays: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const out = new Float32Array(arrays.reduce((n, x) => n + x.length, 0));
  let at = 0;
  for (const x of arrays) {
    out.set(x, at);
    at += x.length;
  }
  return out;
}

/** The same values for every item of a batch. */
export const repeated = (values: Float32Array, times: number): Float32Array<ArrayBuffer> =>
  joined(Array.from({ length: times }, () => values));
