/** `--noise`: where samples start, and perhaps their classes, from a file. */
import { UsageError } from "../../errors.ts";
import type { Sampler } from "../../systems/sampler.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { openWeights } from "../../weights/open.node.ts";

export interface Starts {
  readonly count: number;
  /** (count) */
  readonly labels?: readonly number[];
  /** (count, …shape) */
  readonly noise: Float32Array<ArrayBuffer>;
}

/**
 * The first rows of a file, or the first that have one of the classes; where the file names no classes its rows take them in turn.
 * @throws FormatError when the file does not fit the model, UsageError when it has too few rows
 */
export async function readStarts(
  file: string,
  sampler: Sampler,
  { classes, count }: { readonly classes?: readonly number[]; readonly count?: number },
): Promise<Starts> {
  const source = await openWeights(file);
  try {
    const { rows, values, labels } = await sampler.readNoise(source);
    const fitting = Array.from({ length: rows }, (_, row) => row).filter(
      (row) => !labels || !classes || classes.includes(labels[row]),
    );
    const all = count ?? fitting.length;
    if (all > fitting.length || all === 0)
      throw new UsageError(
        `--count ${all}: ${file} has ${fitting.length} rows of noise${classes && labels ? ` of class ${classes.join(", ")}` : ""}. Ask for at most as many.`,
      );
    const taken = fitting.slice(0, all);
    const size = sizeOf(sampler.shape);
    const noise = new Float32Array(all * size);
    taken.forEach((row, i) => noise.set(values.subarray(row * size, (row + 1) * size), i * size));
    const inTurn = classes && taken.map((_, i) => classes[i % classes.length]);
    const own = labels ? taken.map((row) => labels[row]) : inTurn;
    return { count: all, noise, ...(own && { labels: own }) };
  } finally {
    await source.close();
  }
}
