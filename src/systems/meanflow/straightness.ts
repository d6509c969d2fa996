/**
 * Straightness along the way that a network of the average velocity samples: at each state of a schedule, of what is left of it. What a subject's
 * `straightness` gives the probe.
 */
import type { MeanFlowEvaluator } from "../../networks/meanflow/evaluator.ts";
import type { Told } from "../../networks/meanflow/network.ts";
import type { Straightness } from "../../probe/subject.ts";
import { interval } from "../../sampling/meanflow.ts";
import { measureStraightness } from "./loss.ts";

/**
 * @param evaluator made for as many states as there are of `noise`
 * @param noise (V, …) where the ways begin
 * @param times P + 1 of the network's own, from noise to data; measured in all but the last
 * @param conditions what the network is told besides the times
 * @returns (V, P) each; two evaluations and a derivative a state
 * @throws UsageError for times that lead the other way, or what the network cannot be told; the signal's reason when aborted
 */
export async function straightnessAlong(
  evaluator: MeanFlowEvaluator,
  noise: Float32Array,
  times: readonly number[],
  conditions: Omit<Told, "r" | "t"> = {},
  signal?: AbortSignal,
): Promise<Required<Straightness>> {
  const { batch: V, network } = evaluator;
  const [P, end] = [times.length - 1, times[times.length - 1]];
  const told = (at: number, until: number): Told => {
    const { r, t } = interval({ at, until }, network.stateTime);
    const all = (time: number): number[] => new Array<number>(V).fill(time);
    return { r: all(r), t: all(t), ...conditions };
  };
  const found = {
    residual: new Float32Array(V * P),
    speed: new Float32Array(V * P),
    bend: new Float32Array(V * P),
  };
  let states = noise;
  for (let p = 0; p < P; p++) {
    signal?.throwIfAborted();
    const here = await measureStraightness(evaluator, states, told(times[p], end));
    for (const name of ["residual", "speed", "bend"] as const)
      for (let v = 0; v < V; v++) found[name][v * P + p] = here[name][v];
    if (p === P - 1) break;
    const u = await evaluator.velocity(states, told(times[p], times[p + 1]));
    const step = times[p + 1] - times[p];
    states = states.map((x, i) => x + step * u[i]);
  }
  return found;
}
