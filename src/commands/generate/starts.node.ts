/** `--noise`: where samples start, and perhaps their classes, from a file. */
import { FormatError, UsageError } from "../../errors.ts";
import type { Sampler } from "../../systems/sampler.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { toFloat32 } from "../../weights/convert.ts";
import { openWeights } from "../../weights/open.node.ts";
import type { TensorSource } from "../../weights/source.ts";

export interface Starts {
  readonly count: number;
  /** (count) */
  readonly labels?: readonly number[];
  /** (count, …shape) */
  readonly noise: Float32Array<ArrayBuffer>;
}

/**
 * `noise` (rows, …shape), float32, and `labels` (rows), int64 or int32, from a safetensors file: its first rows, or of several classes the first
 * rows that have them.
 * @throws FormatError when a tensor is missing or does not fit, UsageError when there are too few rows
 */
export async function readStarts(
  file: string,
  sampler: Sampler,
  { classes, count }: { readonly classes?: readonly number[]; readonly count?: number },
): Promise<Starts> {
  const source = await openWeights(file);
  try {
    const info = source.tensors.get("noise");
    const fits =
      info?.dtype === "F32" && info.shape.length > 1 && info.shape.slice(1).join() === sampler.shape.join();
    if (!info || !fits) {
      const has = info ? `${info.dtype} [${info.shape.join(", ")}]` : "missing";
      throw new FormatError(
        `${file}: "noise" is ${has}, expected F32 [rows, ${sampler.shape.join(", ")}], the shape of ${sampler.name}'s samples.`,
      );
    }
    const values = toFloat32(await source.read("noise"), "F32");
    const bad = values.find((value) => !Number.isFinite(value));
    if (bad !== undefined) throw new FormatError(`${file}: "noise" holds ${bad}, expected finite numbers.`);
    const labels = source.tensors.has("labels")
      ? await readLabels(source, file, info.shape[0], sampler.classes)
      : undefined;
    const rows = rowsOf(info.shape[0], labels, classes);
    const all = count ?? rows.length;
    if (all > rows.length)
      throw new UsageError(
        `--count ${all}: ${file} has ${rows.length} rows of noise${classes && labels ? ` of class ${classes.join(", ")}` : ""}. Ask for at most as many.`,
      );
    const taken = rows.slice(0, all);
    const size = sizeOf(sampler.shape);
    const noise = new Float32Array(all * size);
    taken.forEach((row, i) => noise.set(values.subarray(row * size, (row + 1) * size), i * size));
    // Without labels of their own the rows take the classes in turn.
    const own = labels
      ? taken.map((row) => labels[row])
      : classes && taken.map((_, i) => classes[i % classes.length]);
    return { count: all, noise, ...(own && { labels: own }) };
  } finally {
    await source.close();
  }
}

function rowsOf(rows: number, labels?: readonly number[], classes?: readonly number[]): readonly number[] {
  const all = Array.from({ length: rows }, (_, row) => row);
  return labels && classes ? all.filter((row) => classes.includes(labels[row])) : all;
}

async function readLabels(
  source: TensorSource,
  file: string,
  rows: number,
  classes: number,
): Promise<readonly number[]> {
  const { dtype, shape } = source.tensors.get("labels")!;
  if ((dtype !== "I64" && dtype !== "I32") || shape.join() !== `${rows}`)
    throw new FormatError(
      `${file}: "labels" is ${dtype} [${shape.join(", ")}], expected I64 or I32 [${rows}].`,
    );
  const bytes = await source.read("labels");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const labels = Array.from({ length: rows }, (_, row) =>
    dtype === "I64" ? Number(view.getBigInt64(8 * row, true)) : view.getInt32(4 * row, true),
  );
  const wrong = labels.find((label) => label < 0 || label >= classes);
  if (wrong !== undefined)
    throw new FormatError(`${file}: "labels" holds ${wrong}; the model knows ${classes} classes, from 0.`);
  return labels;
}
