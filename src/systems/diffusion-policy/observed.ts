/** What a policy sees at a moment: its last S observations, the oldest first, in the data's units and in the network's. */
import type { DiffusionPolicyConfig } from "../../networks/diffusion-policy/config.ts";
import { normalise, type PolicyStatistics } from "./statistics.ts";

/** S observations. Pictures are (S, 3, rows, columns), in the data's units from 0 to 1, in the order of the configuration's cameras. */
export interface Observed {
  readonly pictures: readonly Float32Array<ArrayBuffer>[];
  /** (S, J) */
  readonly state: Float32Array<ArrayBuffer>;
  /** (S, E) where the policy has one */
  readonly environment?: Float32Array<ArrayBuffer>;
}

/** The same in the network's units. */
export function normalised(
  { pictures, state, environment }: Observed,
  config: DiffusionPolicyConfig,
  { normalise: scales }: PolicyStatistics,
): Observed {
  const of = (key: string) => scales.get(key)!;
  return {
    pictures: pictures.map((values, i) => {
      const { key, shape } = config.cameras[i];
      return normalise(values, of(key), shape[1] * shape[2]);
    }),
    state: normalise(state, of(config.state.key)),
    ...(config.environment && { environment: normalise(environment!, of(config.environment.key)) }),
  };
}

/** Pictures (S, rows, columns, 3) of bytes → (S, 3, rows, columns) from 0 to 1. */
export function fromBytes(bytes: Uint8Array, pictures: number): Float32Array<ArrayBuffer> {
  const pixels = bytes.length / (3 * pictures);
  const out = new Float32Array(bytes.length);
  for (let s = 0; s < pictures; s++)
    for (let i = 0; i < pixels; i++)
      for (let c = 0; c < 3; c++) out[(s * 3 + c) * pixels + i] = bytes[(s * pixels + i) * 3 + c] / 255;
  return out;
}
