/**
 * Decoded chunks as the page reads them: out of (V, S, M + 1, T, D) iterates. Axis letters as in protocol.ts.
 */
import { squaredError } from "../src/probe/statistics/curve.ts";
import type { ModelView, StateView } from "./protocol.ts";

/** Chunks (T, D) of every pair of seeds after `n` of M action steps; the first is that of the shown future. */
export function chunksAt(state: StateView, model: ModelView, steps: number, n: number): Float32Array[] {
  const size = model.chunkLength * model.actionNames.length;
  const runs = state.iterates.length / (size * (steps + 1));
  return Array.from({ length: runs }, (_, run) => {
    const start = (run * (steps + 1) + n) * size;
    return state.iterates.subarray(start, start + size);
  });
}

/** Mean squared error of chunks against one reference for all, or one for each. */
export function meanError(chunks: readonly Float32Array[], references: readonly Float32Array[]): number {
  const each = chunks.map((chunk, i) => {
    const reference = references[i % references.length];
    return squaredError({ data: chunk, offset: 0 }, { data: reference, offset: 0 }, chunk.length);
  });
  return each.reduce((sum, value) => sum + value, 0) / each.length;
}

/** (V, …) for each of S action seeds → (V, S, …) */
export function bySeeds(readings: readonly Float32Array[], V: number): Float32Array {
  const each = readings[0].length / V;
  const out = new Float32Array(readings.length * readings[0].length);
  for (let v = 0; v < V; v++) {
    readings.forEach((values, s) =>
      out.set(values.subarray(v * each, (v + 1) * each), (v * readings.length + s) * each),
    );
  }
  return out;
}
