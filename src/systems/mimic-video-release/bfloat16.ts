/** bfloat16 as numbers of the host: the upper half of a float32. */

const word = new Float32Array(1);
const bits = new Uint32Array(word.buffer);

/** The bits of the bfloat16 that is nearest to a float32, to even where two are; infinities and NaN stay what they are. */
export function bfloat16Bits(value: number): number {
  word[0] = value;
  const [b] = bits;
  if ((b & 0x7fffffff) > 0x7f800000) return (b >>> 16) | 0x40;
  return (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
}

/** A number rounded to float32 and then to bfloat16, as torch casts float64. */
export function roundToBfloat16(value: number): number {
  const rounded = bfloat16Bits(value);
  bits[0] = rounded << 16;
  return word[0];
}
