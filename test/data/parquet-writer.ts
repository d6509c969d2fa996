/**
 * A parquet file of plain pages, for sets that no writer's package has made: required columns of numbers, texts, lists of numbers, and
 * pictures as structs, several row groups, with or without statistics and gzip. Thrift's compact protocol is written by hand.
 */
import { gzipSync } from "node:zlib";

export type Column = {
  readonly name: string;
} & (
  | { readonly kind: "float" | "double" | "int64"; readonly values: ArrayLike<number> }
  | { readonly kind: "text"; readonly values: readonly string[] }
  | { readonly kind: "floats" | "doubles"; readonly values: readonly ArrayLike<number>[] }
  | { readonly kind: "texts"; readonly values: readonly (readonly string[])[] }
  | { readonly kind: "picture"; readonly values: readonly Uint8Array[] }
);

export interface WriteOptions {
  /** rows of each group; default all in one */
  readonly groups?: readonly number[];
  /** least and greatest values of columns of whole numbers; default written */
  readonly statistics?: boolean;
  readonly gzip?: boolean;
}

/** Physical types, converted types and repetitions by their numbers in the format. */
const TYPE = { int64: 2, float: 4, double: 5, bytes: 6 } as const;
const [UTF8, LIST] = [0, 3];
const [REQUIRED, REPEATED] = [0, 2];

/** One field of a struct in the compact protocol: its number, type and bytes. */
type Field = readonly [id: number, type: number, bytes: readonly number[]];

const varint = (value: number | bigint): number[] => {
  const out: number[] = [];
  let rest = BigInt(value);
  for (; rest >= 128n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return [...out, Number(rest)];
};
const zigzag = (value: number): number[] => varint(value < 0 ? -2n * BigInt(value) - 1n : 2n * BigInt(value));
const utf8 = (text: string): number[] => [...new TextEncoder().encode(text)];
const i32 = (id: number, value: number): Field => [id, 5, zigzag(value)];
const i64 = (id: number, value: number): Field => [id, 6, zigzag(value)];
const binary = (id: number, bytes: readonly number[]): Field => [id, 8, [...varint(bytes.length), ...bytes]];
const struct = (fields: readonly Field[]): number[] => {
  let last = 0;
  const bytes = fields.flatMap(([id, type, value]) => {
    const head = ((id - last) << 4) | type;
    last = id;
    return [head, ...value];
  });
  return [...bytes, 0];
};
const list = (id: number, type: number, items: readonly (readonly number[])[]): Field => {
  const head = items.length < 15 ? [(items.length << 4) | type] : [0xf0 | type, ...varint(items.length)];
  return [id, 9, [...head, ...items.flat()]];
};

/** A leaf of the schema with what one group's page holds. */
interface Leaf {
  readonly path: readonly string[];
  readonly type: number;
  /** values of the page, one behind the other */
  readonly bytes: Uint8Array;
  readonly count: number;
  /** how many values each row has, in lists */
  readonly lengths?: readonly number[];
  readonly bounds?: readonly [number, number];
}

function plain(kind: string, values: ArrayLike<number>): Uint8Array {
  if (kind === "float") return new Uint8Array(Float32Array.from(values).buffer);
  if (kind === "double") return new Uint8Array(Float64Array.from(values).buffer);
  return new Uint8Array(BigInt64Array.from(Array.from(values, (v) => BigInt(v))).buffer);
}

function prefixed(values: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    values.map((value) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(value.length);
      return Buffer.concat([length, value]);
    }),
  );
}

function leavesOf(column: Column, from: number, to: number): Leaf[] {
  const { name, kind } = column;
  const texts = (values: readonly string[]): Uint8Array =>
    prefixed(values.map((text) => new TextEncoder().encode(text)));
  switch (kind) {
    case "float":
    case "double":
    case "int64": {
      const values = Array.from(column.values).slice(from, to);
      const bounds = kind === "int64" ? ([Math.min(...values), Math.max(...values)] as const) : undefined;
      return [{ path: [name], type: TYPE[kind], bytes: plain(kind, values), count: values.length, bounds }];
    }
    case "text": {
      const values = column.values.slice(from, to);
      return [{ path: [name], type: TYPE.bytes, bytes: texts(values), count: values.length }];
    }
    case "floats":
    case "doubles":
    case "texts": {
      const rows: readonly ArrayLike<number | string>[] = column.values.slice(from, to);
      const flat = rows.flatMap((row) => Array.from(row));
      const element = kind === "floats" ? "float" : "double";
      const type = kind === "texts" ? TYPE.bytes : TYPE[element];
      const bytes = kind === "texts" ? texts(flat as string[]) : plain(element, flat as number[]);
      const lengths = rows.map((row) => row.length);
      return [{ path: [name, "list", "element"], type, bytes, count: flat.length, lengths }];
    }
    case "picture": {
      const values = column.values.slice(from, to);
      const paths = values.map((_, i) => `frame-${from + i}`);
      return [
        { path: [name, "bytes"], type: TYPE.bytes, bytes: prefixed(values), count: values.length },
        { path: [name, "path"], type: TYPE.bytes, bytes: texts(paths), count: values.length },
      ];
    }
  }
}

function schemaOf({ name, kind }: Column): number[][] {
  const leaf = (leafName: string, type: number, converted?: number): number[] =>
    struct([
      i32(1, type),
      i32(3, REQUIRED),
      binary(4, utf8(leafName)),
      ...(converted === undefined ? [] : [i32(6, converted)]),
    ]);
  const group = (groupName: string, children: number, repetition: number, converted?: number): number[] =>
    struct([
      i32(3, repetition),
      binary(4, utf8(groupName)),
      i32(5, children),
      ...(converted === undefined ? [] : [i32(6, converted)]),
    ]);
  if (kind === "picture")
    return [group(name, 2, REQUIRED), leaf("bytes", TYPE.bytes), leaf("path", TYPE.bytes, UTF8)];
  if (kind === "text") return [leaf(name, TYPE.bytes, UTF8)];
  if (kind === "floats" || kind === "doubles" || kind === "texts") {
    const element =
      kind === "texts"
        ? leaf("element", TYPE.bytes, UTF8)
        : leaf("element", kind === "floats" ? TYPE.float : TYPE.double);
    return [group(name, 1, REQUIRED, LIST), group("list", 1, REPEATED), element];
  }
  return [leaf(name, TYPE[kind])];
}

/** Levels as runs of one value, with their length before them. */
function levels(values: readonly number[]): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < values.length;) {
    let end = at;
    while (end < values.length && values[end] === values[at]) end++;
    bytes.push(...varint((end - at) << 1), values[at]);
    at = end;
  }
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([length, Uint8Array.from(bytes)]);
}

/** The file's bytes. */
export function writeParquet(columns: readonly Column[], options: WriteOptions = {}): Uint8Array {
  const rows = columns[0].values.length;
  const { groups = [rows], statistics = true, gzip = false } = options;
  const parts: Uint8Array[] = [Buffer.from("PAR1")];
  let at = 4;
  let row = 0;
  const rowGroups = groups.map((count) => {
    const chunks = columns
      .flatMap((column) => leavesOf(column, row, row + count))
      .map(({ path, type, bytes, count: values, lengths, bounds }) => {
        const repetition = lengths?.flatMap((n) => Array.from({ length: n }, (_, i) => (i === 0 ? 0 : 1)));
        const nested = repetition ? [levels(repetition), levels(repetition.map(() => 1))] : [];
        const body = Buffer.concat([...nested, bytes]);
        const stored = gzip ? gzipSync(body) : body;
        const header = struct([
          ...[i32(1, 0), i32(2, body.length), i32(3, stored.length)],
          [5, 12, struct([i32(1, values), i32(2, 0), i32(3, 3), i32(4, 3)])],
        ]);
        const offset = at;
        const size = header.length + stored.length;
        parts.push(Uint8Array.from(header), stored);
        at += size;
        const bound = (value: number): number[] => [...plain("int64", [value])];
        return struct([
          i64(2, offset),
          [
            3,
            12,
            struct([
              ...[i32(1, type), list(2, 5, [zigzag(0), zigzag(3)])],
              list(
                3,
                8,
                path.map((part) => [...varint(utf8(part).length), ...utf8(part)]),
              ),
              ...[
                i32(4, gzip ? 2 : 0),
                i64(5, values),
                i64(6, header.length + body.length),
                i64(7, size),
                i64(9, offset),
              ],
              ...(bounds && statistics && count > 0
                ? [[12, 12, struct([binary(5, bound(bounds[1])), binary(6, bound(bounds[0]))])] as const]
                : []),
            ]),
          ],
        ]);
      });
    row += count;
    return struct([list(1, 12, chunks), i64(2, at), i64(3, count)]);
  });
  const root = struct([binary(4, utf8("schema")), i32(5, columns.length)]);
  const footer = struct([
    i32(1, 1),
    list(2, 12, [root, ...columns.flatMap(schemaOf)]),
    i64(3, rows),
    list(4, 12, rowGroups),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  return Buffer.concat([...parts, Uint8Array.from(footer), length, Buffer.from("PAR1")]);
}
