/** Noise from a file instead of from seeds, which then number its rows. */
import { FormatError, UsageError } from "../../errors.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type { TensorSource } from "../../weights/source.ts";
import type { Given } from "./subject.ts";

/**
 * `video_noise` (E, S, C, T, H, W) and `action_noise` (E, S, HA, A): float32, standard normal. The sampler scales the former.
 * @throws FormatError when one is missing, does not fit data and model, or holds a number that is not finite
 */
export async function givenNoise(
  source: TensorSource,
  episodes: number,
  latents: readonly number[],
  chunk: readonly number[],
): Promise<Given> {
  const read = async (
    name: string,
    each: readonly number[],
  ): Promise<(e: number, s: number) => Float32Array> => {
    const info = source.tensors.get(name);
    const rows = info?.shape[1] ?? 0;
    const expected = [episodes, rows, ...each];
    if (!info || info.dtype !== "F32" || info.shape.join() !== expected.join() || rows < 1) {
      const has = info ? `${info.dtype} [${info.shape.join(", ")}]` : "missing";
      throw new FormatError(
        `${source.name}: "${name}" is ${has}, expected F32 [${episodes}, seeds, ${each.join(", ")}].`,
      );
    }
    const values = toFloat32(await source.read(name), "F32");
    const size = sizeOf(each);
    const bad = values.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0)
      throw new FormatError(
        `${source.name}: "${name}" of episode ${Math.floor(bad / (rows * size))} holds ${values[bad]}, expected finite numbers.`,
      );
    return (e, s) => {
      if (s >= rows)
        throw new UsageError(
          `${source.name}: "${name}" has ${rows} rows for an episode; seed ${s} has none.`,
        );
      const at = (e * rows + s) * size;
      return values.subarray(at, at + size);
    };
  };
  const [video, action] = [await read("video_noise", latents), await read("action_noise", chunk)];
  return { video, action };
}
