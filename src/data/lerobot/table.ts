/**
 * A parquet file read by ranges: its footer, then the chunks of those columns and row groups that are asked for and nothing between them.
 * hyparquet would fetch the last 512 kB for the footer and join ranges over gaps of 8 kB, which for a table of a hundred narrow columns
 * is the whole file.
 */
import type { AsyncBuffer, FileMetaData, Statistics } from "hyparquet";
import { FormatError, MimicVideoError } from "../../errors.ts";
import type { ByteSource } from "../../weights/source.ts";

/** Rows [from, to) that are stored together. */
export interface RowGroup {
  readonly from: number;
  readonly to: number;
  /** least and greatest value of a column of numbers, where the writer noted them */
  bounds(this: void, column: string): readonly [number, number] | undefined;
}

/** What decodes pages; only runs on recorded sets load it. */
const readers = () => Promise.all([import("hyparquet"), import("hyparquet-compressors")]);

/** Where a footer ends: its length and four letters. */
const TAIL = 8;

export class Table {
  readonly name: string;
  readonly rows: number;
  /** names at the top level: a struct's fields are one column */
  readonly columns: readonly string[];
  readonly groups: readonly RowGroup[];
  readonly #source: ByteSource;
  readonly #metadata: FileMetaData;

  private constructor(source: ByteSource, metadata: FileMetaData) {
    this.name = source.name;
    this.#source = source;
    this.#metadata = metadata;
    this.rows = Number(metadata.num_rows);
    this.columns = topLevel(metadata);
    let at = 0;
    this.groups = metadata.row_groups.map(({ num_rows: rows, columns }) => {
      const from = at;
      at += Number(rows);
      return {
        from,
        to: at,
        bounds: (column) => {
          const chunk = columns.find(({ meta_data: meta }) => meta?.path_in_schema.join("/") === column);
          return boundsOf(chunk?.meta_data?.statistics);
        },
      };
    });
  }

  /** @throws FormatError when it is no parquet file; the source is then closed */
  static async open(source: ByteSource): Promise<Table> {
    try {
      if (source.size < TAIL + 4) throw new Error(`it has ${source.size} bytes`);
      const tail = await source.read(source.size - TAIL, TAIL);
      const length = new DataView(tail.buffer, tail.byteOffset).getUint32(0, true);
      if (new TextDecoder().decode(tail.subarray(4)) !== "PAR1") throw new Error("it does not end as one");
      if (length > source.size - TAIL)
        throw new Error(`its footer is said to have ${length} of ${source.size} bytes`);
      const footer = await source.read(source.size - TAIL - length, length);
      const whole = new Uint8Array(length + TAIL);
      whole.set(footer);
      whole.set(tail, length);
      const { parquetMetadata } = await import("hyparquet");
      return new Table(source, parquetMetadata(whole));
    } catch (error) {
      await source.close?.();
      if (error instanceof MimicVideoError) throw error;
      throw new FormatError(
        `${source.name} is no parquet file that can be read: ${(error as Error).message}.`,
      );
    }
  }

  /**
   * Values of one column in rows [from, to): numbers, BigInts, strings, lists, structs, as parquet has them.
   * @throws FormatError when there is no such column, or it cannot be decoded
   */
  async column(name: string, from = 0, to = this.rows): Promise<unknown[]> {
    if (!this.columns.includes(name)) {
      throw new FormatError(
        `${this.name} has no column "${name}"; it has ${this.columns.slice(0, 20).join(", ")}.`,
      );
    }
    if (to <= from) return [];
    const file: AsyncBuffer = {
      byteLength: this.#source.size,
      slice: async (start, end = this.#source.size) => {
        const bytes = await this.#source.read(start, end - start);
        return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
      },
    };
    try {
      const [{ parquetReadObjects }, { compressors }] = await readers();
      const rows = await parquetReadObjects({
        ...{ file, metadata: this.#metadata, compressors, columns: [name], rowStart: from, rowEnd: to },
        // Bytes would be decoded as text: pictures are bytes. Texts that are marked as such stay texts.
        ...{ utf8: false, useOffsetIndex: true, geoparquet: false },
      });
      return rows.map((row) => row[name] as unknown);
    } catch (error) {
      if (error instanceof MimicVideoError) throw error;
      throw new FormatError(
        `${this.name}: column "${name}" cannot be decoded: ${(error as Error).message}.`,
        {
          cause: error,
        },
      );
    }
  }

  /** A column of whole numbers or numbers. @throws FormatError for another kind of value */
  async numbers(name: string, from = 0, to = this.rows): Promise<Float64Array> {
    const values = await this.column(name, from, to);
    return Float64Array.from(values, (value, i) => {
      const number = toNumber(Array.isArray(value) && value.length === 1 ? (value[0] as unknown) : value);
      if (number !== undefined) return number;
      throw new FormatError(
        `${this.name}: "${name}" of row ${from + i} is ${shown(value)}, expected a number.`,
      );
    });
  }

  /**
   * A column of vectors, (rows, size), row by row; of a single value a row where it is no list.
   * @throws FormatError when a row has another size
   */
  async vectors(name: string, size: number, from = 0, to = this.rows): Promise<Float64Array> {
    const values = await this.column(name, from, to);
    const out = new Float64Array(values.length * size);
    values.forEach((value, i) => {
      const flat = flatten(value);
      if (flat.length !== size) {
        throw new FormatError(
          `${this.name}: "${name}" of row ${from + i} has ${flat.length} values, expected ${size}.`,
        );
      }
      flat.forEach((item, d) => {
        const number = toNumber(item);
        if (number === undefined)
          throw new FormatError(
            `${this.name}: "${name}" of row ${from + i} holds ${shown(item)}, expected numbers.`,
          );
        out[i * size + d] = number;
      });
    });
    return out;
  }

  async close(): Promise<void> {
    await this.#source.close?.();
  }
}

/** A number that is exact, or undefined. */
export function toNumber(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return Number(value);
  if (typeof value !== "bigint") return undefined;
  return value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : undefined;
}

function flatten(value: unknown): unknown[] {
  if (Array.isArray(value)) return value.flatMap(flatten);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return [...(value as unknown as Iterable<number>)];
  return [value];
}

const shown = (value: unknown): string =>
  typeof value === "bigint" ? `${value}, beyond 2^53` : String(JSON.stringify(value)).slice(0, 80);

function boundsOf(statistics: Statistics | undefined): readonly [number, number] | undefined {
  const least = toNumber(statistics?.min_value ?? statistics?.min);
  const most = toNumber(statistics?.max_value ?? statistics?.max);
  return least === undefined || most === undefined ? undefined : [least, most];
}

function topLevel({ schema }: FileMetaData): string[] {
  const names: string[] = [];
  let at = 1;
  const skip = (): void => {
    const { num_children: children = 0 } = schema[at++];
    for (let i = 0; i < children; i++) skip();
  };
  for (let i = 0; i < (schema[0].num_children ?? 0); i++) {
    names.push(schema[at].name);
    skip();
  }
  return names;
}
