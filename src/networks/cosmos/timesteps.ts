/**
 * The sinusoids of the timesteps (docs/references.md, "time embedding"): s = [cos(t·f), sin(t·f)], f_k = 10000^(−k/half). Angles
 * reach 1000 rad, where WGSL's cos is useless, so the few distinct ones are computed here, in the reference's float32
 * order, and uploaded before each step.
 */
import { bfloat16 } from "../../weights/rounded.ts";
import type { CosmosTransformerConfig } from "./config.ts";

const f32 = Math.fround;

/** Sinusoids (R, D) of R timesteps, cosines first; in bfloat16 the timesteps and the sinusoids are rounded to it, not what lies between. */
export function timestepSinusoids(
  timesteps: readonly number[],
  width: number,
  tables: CosmosTransformerConfig["tables"] = "float32",
): Float32Array<ArrayBuffer> {
  const round = tables === "bfloat16" ? bfloat16 : f32;
  const half = width / 2;
  const frequencies = Array.from({ length: half }, (_, k) =>
    f32(Math.exp(f32(f32(f32(-Math.log(10_000)) * k) / half))),
  );
  const values = new Float32Array(timesteps.length * width);
  timesteps.forEach((t, row) => {
    frequencies.forEach((f, k) => {
      const angle = f32(round(t) * f);
      values[row * width + k] = round(Math.cos(angle));
      values[row * width + half + k] = round(Math.sin(angle));
    });
  });
  return values;
}

/** Which distinct timestep each frame has. */
export interface FrameTimes {
  /** the R distinct timesteps */
  readonly distinct: readonly number[];
  /** (B·T): index into `distinct` of each frame of each batch item */
  readonly rowOfFrame: Uint32Array<ArrayBuffer>;
}

/** Finds the distinct timesteps of B·T frames. */
export function distinctTimes(timesteps: ArrayLike<number>): FrameTimes {
  const distinct: number[] = [];
  const rowOfFrame = Uint32Array.from({ length: timesteps.length }, (_, i) => {
    const known = distinct.indexOf(timesteps[i]);
    return known >= 0 ? known : distinct.push(timesteps[i]) - 1;
  });
  return { distinct, rowOfFrame };
}
