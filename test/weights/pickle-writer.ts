/** Pickles by hand, for tests: the opcodes of protocol 2 that torch.save uses, and ways to misuse them. */

const u32 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];
const ascii = (text: string) => [...new TextEncoder().encode(text)];

export const op = {
  text: (value: string) => [0x58, ...u32(ascii(value).length), ...ascii(value)],
  /** up to 255 bytes, so any size */
  int: (value: number) => {
    const bytes: number[] = [];
    for (let rest = BigInt(value); rest > 0n; rest >>= 8n) bytes.push(Number(rest & 255n));
    return [0x8a, bytes.length + 1, ...bytes, 0];
  },
  global: (module: string, name: string) => [0x63, ...ascii(`${module}\n${name}\n`)],
  tuple: (...items: number[][]) => [0x28, ...items.flat(), 0x74],
  list: (...items: number[][]) => [0x5d, 0x28, ...items.flat(), 0x65],
  dict: (...items: [number[], number[]][]) => [0x7d, 0x28, ...items.flat(2), 0x75],
  put: (index: number) => [0x72, ...u32(index)],
  get: (index: number) => [0x6a, ...u32(index)],
  none: [0x4e],
  emptyDict: [0x7d],
  emptyTuple: [0x29],
  reduce: [0x52],
  setItem: [0x73],
  append: [0x61],
};

/** A whole pickle whose result is `value`. */
export function pickle(...value: number[][]): Uint8Array {
  return Uint8Array.from([0x80, 2, ...value.flat(), 0x2e]);
}

/** Storage `key`, of so many elements of its class. */
export function storage(
  key: string,
  elements: number,
  type: [string, string] = ["torch", "FloatStorage"],
): number[] {
  const id = op.tuple(op.text("storage"), op.global(...type), op.text(key), op.text("cpu"), op.int(elements));
  return [...id, 0x51];
}

/** A tensor of float32 on storage `key`. */
export function tensor(
  key: string,
  elements: number,
  shape: number[],
  strides: number[],
  offset = 0,
): number[] {
  const hooks = [...op.global("collections", "OrderedDict"), ...op.emptyTuple, ...op.reduce];
  return [
    ...op.global("torch._utils", "_rebuild_tensor_v2"),
    ...op.tuple(
      storage(key, elements),
      op.int(offset),
      op.tuple(...shape.map(op.int)),
      op.tuple(...strides.map(op.int)),
      [0x89],
      hooks,
    ),
    ...op.reduce,
  ];
}
