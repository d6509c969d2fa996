/** Noise from a file instead of from seeds: rows of samples, with their classes where it says them. */
import { FormatError, UsageError } from "../../errors.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type { TensorSource } from "../../weights/source.ts";
import type { NoiseRows } from "../sampler.ts";
import { readWholeNumbers } from "../../weights/whole-numbers.ts";

/**
 * `noise` (rows, …shape), float32, and perhaps `labels` (rows), whole numbers.
 * @param classes that there are, 0: none
 * @throws FormatError when one does not fit the model, or holds what it cannot
 */
export async function readNoise(
  source: TensorSource,
  shape: readonly number[],
  classes: number,
): Promise<NoiseRows> {
  const { name, tensors } = source;
  const info = tensors.get("noise");
  const fits = info?.dtype === "F32" && info.shape.length > 1 && info.shape.slice(1).join() === shape.join();
  if (!info || !fits) {
    const has = info ? `${info.dtype} [${info.shape.join(", ")}]` : "missing";
    throw new FormatError(
      `${name}: "noise" is ${has}, expected F32 [rows, ${shape.join(", ")}], rows of samples.`,
    );
  }
  const [rows] = info.shape;
  const values = Float32Array.from(toFloat32(await source.read("noise"), "F32"));
  const bad = values.find((value) => !Number.isFinite(value));
  if (bad !== undefined) throw new FormatError(`${name}: "noise" holds ${bad}, expected finite numbers.`);
  if (!tensors.has("labels") || classes === 0) return { name, rows, values };
  const labels = await readWholeNumbers(source, "labels", [rows]);
  const wrong = labels.find((label) => label < 0 || label >= classes);
  if (wrong !== undefined)
    throw new FormatError(`${name}: "labels" holds ${wrong}; the model knows ${classes} classes, from 0.`);
  return { name, rows, values, labels };
}

/** Rows that belong to a class: all where the file names none. */
export const rowsOfClass = ({ rows, labels }: NoiseRows, label: number | undefined): readonly number[] =>
  Array.from({ length: rows }, (_, row) => row).filter(
    (row) => !labels || label === undefined || labels[row] === label,
  );

/** The noise of a class and a seed, which numbers the rows of the class. @throws UsageError when there is no such row */
export function givenNoise(
  given: NoiseRows,
  shape: readonly number[],
  label: number | undefined,
  seed: number,
): Float32Array<ArrayBuffer> {
  const rows = rowsOfClass(given, label);
  if (seed >= rows.length)
    throw new UsageError(
      `${given.name} has ${rows.length} rows of noise${label === undefined ? "" : ` for class ${label}`}; seed ${seed} has none.`,
    );
  const size = sizeOf(shape);
  return given.values.slice(rows[seed] * size, (rows[seed] + 1) * size);
}
