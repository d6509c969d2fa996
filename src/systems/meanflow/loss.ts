/**
 * The loss of a network of the average velocity, evaluated and not learned from: what its training compares, and the residual of the identity. Arithmetic
 * of states and losses is the host's, in float64; u and du are the network's (networks/meanflow/evaluator.ts).
 */
import type { MeanFlowEvaluator } from "../../networks/meanflow/evaluator.ts";
import type { Told } from "../../networks/meanflow/network.ts";
import {
  type Convention,
  type FoldedGuidance,
  guidedVelocity,
  identityTarget,
  type LossForm,
  meanFlowLoss,
  ownConvention,
  pathStates,
  ratesAlong,
  squaredDistances,
  stateTimes,
  type Straightness,
  straightnessOf,
  type Values,
} from "../../sampling/meanflow-measures.ts";

export interface LossOptions extends LossForm {
  /** default: the convention in which the network samples */
  readonly convention?: Convention;
  readonly guidance?: FoldedGuidance;
}

/** Everything a loss is made of; values of B items, shaped as the states. */
export interface LossParts {
  readonly z: Float64Array;
  readonly v: Float64Array;
  /** where guidance is folded in: what takes the place of v */
  readonly guidedV?: Float64Array;
  readonly u: Float32Array;
  readonly du: Float32Array;
  readonly target: Float64Array;
  /** (B) */
  readonly squaredError: Float64Array;
  readonly loss: number;
}

/**
 * The loss of pairs of data and noise at intervals r ≤ t.
 * @throws UsageError when sizes differ, or for what the network cannot be told
 */
export async function evaluateLoss(
  evaluator: MeanFlowEvaluator,
  data: Values,
  noise: Values,
  told: Told,
  options: LossOptions,
): Promise<LossParts> {
  const { convention = ownConvention(evaluator.network.stateTime), guidance } = options;
  const { stateTime, noiseAt } = convention;
  const times = stateTimes(told, stateTime);
  const { z, v } = pathStates(data, noise, times, noiseAt);
  const states = Float32Array.from(z);
  let guidedV: Float64Array | undefined;
  if (guidance) {
    const now = { ...told, r: times, t: times };
    const conditional = await evaluator.velocity(states, now);
    const unconditional = await evaluator.velocity(states, { ...now, labels: undefined });
    guidedV = guidedVelocity(v, conditional, unconditional, times, guidance);
  }
  const velocity = guidedV ?? v;
  const { u, du } = await evaluator.derivative(states, told, {
    x: Float32Array.from(velocity),
    rates: ratesAlong(stateTime, times.length),
  });
  const target = identityTarget(velocity, du, told, stateTime);
  const squaredError = squaredDistances(times.length, u, target);
  return { z, v, guidedV, u, du, target, squaredError, loss: meanFlowLoss(squaredError, options) };
}

/**
 * Straightness at states: the network's own velocity u(z, s, s) in the place of v, so that no data are needed. The residual then says how well the
 * network agrees with itself.
 * @param states (B, …) at the time that the network's convention says
 * @throws UsageError for what the network cannot be told
 */
export async function measureStraightness(
  evaluator: MeanFlowEvaluator,
  states: Float32Array,
  told: Told,
): Promise<Straightness> {
  const { stateTime } = evaluator.network;
  const times = stateTimes(told, stateTime);
  const v = await evaluator.velocity(states, { ...told, r: times, t: times });
  const rates = ratesAlong(stateTime, times.length);
  const { u, du } = await evaluator.derivative(states, told, { x: v, rates });
  return straightnessOf(u, du, v, told, stateTime);
}
