/** A checkpoint as text: names, dtypes, shapes, bytes, and totals by dtype. */
import { dtypeBytes, elementCount, type StoredDtype, type TensorSource } from "./source.ts";

/** One line a tensor, in the order of the file, then what was passed over, then totals. */
export function listTensors(source: TensorSource): string {
  const tensors = [...source.tensors.values()];
  const rows = tensors.map(({ name, dtype, shape, bytes }) => [
    printable(name),
    dtype,
    `[${shape.join(", ")}]`,
    String(bytes),
  ]);
  const skipped = (source.skipped ?? []).map((what) => `passed over: ${printable(what)}`);
  return [source.name, ...align(rows), ...skipped, ...totals(source)].join("\n");
}

function totals(source: TensorSource): string[] {
  const byDtype = new Map<StoredDtype, { count: number; elements: number; bytes: number }>();
  for (const { dtype, shape, bytes } of source.tensors.values()) {
    const total = byDtype.get(dtype) ?? { count: 0, elements: 0, bytes: 0 };
    total.count++;
    total.elements += elementCount(shape);
    total.bytes += bytes;
    byDtype.set(dtype, total);
  }
  const lines = [...byDtype]
    .sort(([a], [b]) => dtypeBytes[b] - dtypeBytes[a] || (a < b ? -1 : 1))
    .map(
      ([dtype, total]) =>
        `total ${dtype}: ${total.count} tensors, ${total.elements} elements, ${formatBytes(total.bytes)}`,
    );
  const all = [...byDtype.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  return [...lines, `total: ${source.tensors.size} tensors, ${formatBytes(all)}`];
}

/** Bytes as a person reads them, decimal units as disks and downloads count: "3.91 GB". */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = bytes;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${bytes} bytes` : `${value.toPrecision(3)} ${units[unit]}`;
}

/** A name may hold anything, also what moves a terminal's cursor. */
function printable(name: string): string {
  return /[\p{Cc}\p{Zl}\p{Zp}]/u.test(name) ? JSON.stringify(name) : name;
}

/** Columns; the last one to the right. */
function align(rows: readonly (readonly string[])[]): string[] {
  const widths = [0, 1, 2, 3].map((column) =>
    rows.reduce((most, row) => Math.max(most, row[column].length), 0),
  );
  return rows.map((row) =>
    row.map((cell, i) => (i === 3 ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join("  "),
  );
}
