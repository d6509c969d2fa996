/** Noise from a file instead of from seeds, which then number its rows. */
import { FormatError, UsageError } from "../../errors.ts";
import type { Noise } from "../../probe/subject.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type { TensorSource } from "../../weights/source.ts";

export interface GivenNoise {
  /** rows of a window */
  readonly seeds: number;
  /** Where a plan starts, then its fresh draws. @throws UsageError when there is no such row */
  of(window: number, seed: number): Noise;
}

/**
 * `noise` (E, S, H, A), where a plan starts, and where the schedule asks for it `step_noise` (E, S, draws, H, A); both may leave S
 * out, which then is 1. Float32, standard normal.
 * @param draws that a walk needs behind the first
 * @throws FormatError when one is missing, does not fit data and model, or holds a number that is not finite
 */
export async function givenNoise(
  source: TensorSource,
  windows: number,
  plan: readonly number[],
  draws: number,
): Promise<GivenNoise> {
  const read = async (
    name: string,
    each: readonly number[],
  ): Promise<{ seeds: number; values: Float32Array }> => {
    const info = source.tensors.get(name);
    const seeds = info?.shape.length === each.length + 2 ? info.shape[1] : 1;
    const shapes = [
      [windows, ...each],
      [windows, seeds, ...each],
    ].map((shape) => shape.join());
    if (!info || info.dtype !== "F32" || seeds < 1 || !shapes.includes(info.shape.join())) {
      const has = info ? `${info.dtype} [${info.shape.join(", ")}]` : "missing";
      throw new FormatError(
        `${source.name}: "${name}" is ${has}, expected F32 [${windows}, ${each.join(", ")}] or F32 [${windows}, seeds, ${each.join(", ")}].`,
      );
    }
    const values = toFloat32(await source.read(name), "F32");
    const bad = values.find((v) => !Number.isFinite(v));
    if (bad !== undefined)
      throw new FormatError(`${source.name}: "${name}" holds ${bad}, expected finite numbers.`);
    return { seeds, values };
  };
  const first = await read("noise", plan);
  const fresh = draws > 0 ? await read("step_noise", [draws, ...plan]) : undefined;
  if (fresh && fresh.seeds !== first.seeds)
    throw new FormatError(
      `${source.name}: "noise" has ${first.seeds} rows a window and "step_noise" ${fresh.seeds}; each needs as many as the other.`,
    );
  const size = sizeOf(plan);
  return {
    seeds: first.seeds,
    of: (window, seed) => {
      if (seed >= first.seeds)
        throw new UsageError(
          `${source.name} has ${first.seeds} rows of noise for a window; seed ${seed} has none.`,
        );
      const row = window * first.seeds + seed;
      const at = (values: Float32Array, i: number) =>
        Float32Array.from(values.subarray(i * size, (i + 1) * size));
      return [
        at(first.values, row),
        ...Array.from({ length: draws }, (_, i) => at(fresh!.values, row * draws + i)),
      ];
    },
  };
}
