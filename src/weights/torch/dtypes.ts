/** Torch's names of element types and storages, and what a tensor's lazy bits change. */
import { dtypeBytes, type StoredDtype } from "../source.ts";

/** `torch.<name>`, as a tensor on an untyped storage names its type. */
export const dtypesByName: ReadonlyMap<string, StoredDtype> = new Map([
  ["torch.float64", "F64"],
  ["torch.float32", "F32"],
  ["torch.float16", "F16"],
  ["torch.bfloat16", "BF16"],
  ["torch.float8_e4m3fn", "F8_E4M3"],
  ["torch.float8_e5m2", "F8_E5M2"],
  ["torch.float8_e4m3fnuz", "F8_E4M3FNUZ"],
  ["torch.float8_e5m2fnuz", "F8_E5M2FNUZ"],
  ["torch.float8_e8m0fnu", "F8_E8M0"],
  ["torch.float4_e2m1fn_x2", "F4"],
  ["torch.complex32", "C32"],
  ["torch.complex64", "C64"],
  ["torch.complex128", "C128"],
  ["torch.int64", "I64"],
  ["torch.int32", "I32"],
  ["torch.int16", "I16"],
  ["torch.int8", "I8"],
  ["torch.uint64", "U64"],
  ["torch.uint32", "U32"],
  ["torch.uint16", "U16"],
  ["torch.uint8", "U8"],
  ["torch.bool", "BOOL"],
]);

/** Storages by their class; undefined where the tensor names the type. */
export const storageTypes: ReadonlyMap<string, StoredDtype | undefined> = new Map<
  string,
  StoredDtype | undefined
>([
  ["torch.FloatStorage", "F32"],
  ["torch.DoubleStorage", "F64"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.ShortStorage", "I16"],
  ["torch.CharStorage", "I8"],
  ["torch.ByteStorage", "U8"],
  ["torch.BoolStorage", "BOOL"],
  ["torch.ComplexFloatStorage", "C64"],
  ["torch.ComplexDoubleStorage", "C128"],
  ["torch.storage.UntypedStorage", undefined],
  ["torch.UntypedStorage", undefined],
]);

/** Bytes of what torch counts as one element: of 4-bit numbers a pair. */
export function unitBytes(dtype: StoredDtype): number {
  return Math.ceil(dtypeBytes[dtype]);
}

/**
 * Applies lazy bits to stored values in place: a negative one has the sign of every number changed, a conjugate one that
 * of every second number, the imaginary parts; both together change the real parts.
 * @param bytes a piece of a tensor that begins `at` bytes from its start, which need not be whole elements
 */
export function applyLazyBits(
  bytes: Uint8Array,
  at: number,
  dtype: StoredDtype,
  { negative, conjugate }: { readonly negative: boolean; readonly conjugate: boolean },
): Uint8Array {
  if (!negative && !conjugate) return bytes;
  const number = /^C/.test(dtype) ? unitBytes(dtype) / 2 : unitBytes(dtype);
  // The sign is the top bit of a number's last byte.
  for (let i = number - 1 - (at % number); i < bytes.length; i += number) {
    const imaginary = Math.floor((at + i) / number) % 2 === 1;
    if (negative !== (conjugate && imaginary)) bytes[i] ^= 0x80;
  }
  return bytes;
}
