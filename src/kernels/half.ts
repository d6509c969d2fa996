/**
 * y[i] = float16(x[i]): two a word, the even one in the low half. What lies beyond ±65504, float16's largest number, becomes that, so that no
 * finite value turns infinite unseen; NaN stays. Needs no shader-f16.
 */
import { result, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { BOUNDS } from "./nan.ts";
import { inRows } from "./rows.ts";

const pack = kernel({
  name: "half",
  params: { words: "u32", size: "u32" },
  read: { x: "f32" },
  write: { y: "u32" },
  over: "words",
  functions: /* wgsl */ `${BOUNDS}
// Bits of a half. WGSL need not keep NaN when it packs.
fn half(x: f32) -> u32 {
  if (isNan(x)) { return 0x7e00u; }
  return pack2x16float(vec2f(clamp(x, -65504.0, 65504.0), 0.0));
}`,
  main: /* wgsl */ `
  let at = 2u * index;
  var odd = 0u;
  if (at + 1u < p.size) { odd = half(x[at + 1u]); }
  y[index] = half(x[at]) | (odd << 16u);`,
});

/** x, float32, in half precision and of the same shape; written to `into` where that is given, of as many halves. */
export function toHalf(x: Tensor, into?: Tensor): Tensor {
  const y = into ?? result(x.shape, "half", "f16");
  const rows = y.reshape(...x.shape);
  inRows(x.rows, { tensors: [x, rows] }, (part) => {
    const some = part(x);
    pack({
      params: { words: Math.ceil(some.size / 2), size: some.size },
      read: { x: some },
      write: { y: part(rows) },
    });
  });
  return y;
}
