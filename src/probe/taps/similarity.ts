/**
 * How alike the taps of two probed steps are, and what changes from one to the next: means over episodes and seeds of what the GPU found
 * (experiment/tap-comparison.ts). Axis letters: measurement.ts.
 *
 * Of a tap, rows are tokens and columns channels; X and Y are two taps with the mean over rows taken off every column.
 *
 *   cosine   ⟨X, Y⟩ / (‖X‖ ‖Y‖)
 *   CKA      ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖)          blind to rotations of the channels and to scale
 *
 * Each has its null: the same with the rows of Y permuted, which leaves the taps what they are and only takes away which token is which. CKA of two
 * unrelated taps is far from 0 where there are more channels than tokens.
 */
import type { EpisodeMeasurement } from "../experiment/measurement.ts";
import { SHUFFLES } from "./sample.ts";

export interface TapSimilarity {
  /** Tokens that were compared, of each tensor of the tap: the same random ones at every step; a mean over the tensors. */
  rows: number[];
  tokens: number[];
  /** Permutations that each null is the mean of. */
  shuffles: number;
  /** (K, K) */
  cosine: number[][];
  cosine_null: number[][];
  cka: number[][];
  cka_null: number[][];
}

/**
 * @param weights (E) what each episode counts; they sum to 1
 * @param K probed steps
 * @returns null where any of the episodes was not compared
 */
export function tapSimilarity(
  episodes: readonly EpisodeMeasurement[],
  weights: ArrayLike<number>,
  K: number,
): TapSimilarity | null {
  const sample = episodes[0].tapSample;
  const mean = (name: "tapCosine" | "tapCosineNull" | "tapCka" | "tapCkaNull"): number[][] | undefined => {
    if (episodes.some((episode) => !episode[name])) return undefined;
    return Array.from({ length: K }, (_, i) =>
      Array.from({ length: K }, (_, j) =>
        episodes.reduce((sum, episode, e) => {
          const values = episode[name]!;
          const V = values.length / (K * K);
          let own = 0;
          for (let v = 0; v < V; v++) own += values[(v * K + i) * K + j];
          return sum + (weights[e] * own) / V;
        }, 0),
      ),
    );
  };
  const [cosine, cosineNull, cka, ckaNull] = (
    ["tapCosine", "tapCosineNull", "tapCka", "tapCkaNull"] as const
  ).map(mean);
  if (!sample || !cosine || !cosineNull || !cka || !ckaNull) return null;
  return {
    ...{ rows: [...sample.rows], tokens: [...sample.tokens], shuffles: SHUFFLES },
    ...{ cosine, cosine_null: cosineNull, cka, cka_null: ckaNull },
  };
}

/** (E, V, K) of a signal, null where it says nothing; null where any of the episodes has none. */
export function signalOf(
  episodes: readonly EpisodeMeasurement[],
  name: "tapDrift" | "velocityChange",
  K: number,
): (number | null)[][][] | null {
  if (episodes.some((episode) => !episode[name])) return null;
  return episodes.map((episode) => {
    const values = episode[name]!;
    return Array.from({ length: values.length / K }, (_, v) =>
      Array.from(values.subarray(v * K, (v + 1) * K), (x) => (Number.isFinite(x) ? x : null)),
    );
  });
}
