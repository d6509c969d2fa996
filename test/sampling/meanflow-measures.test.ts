/** Loss, identity and straightness in closed form: Gaussian data, and numbers small enough to be worked out by hand. */
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import {
  guidedVelocity,
  identityResiduals,
  identityTarget,
  meanFlowLoss,
  ownConvention,
  pathStates,
  ratesAlong,
  squaredDistances,
  stateTimes,
  straightnessOf,
} from "../../src/sampling/meanflow-measures.ts";
import type { StateTime } from "../../src/sampling/meanflow.ts";

/** Data N(m, σ²) an element; S_s the deviation of the states at time s, 0 noise and 1 data. */
const [m, sigma] = [0.7, 0.4];
const S = (s: number): number => Math.hypot(1 - s, s * sigma);

type Velocity = (z: number, r: number, t: number) => number;

/** The velocity at a time, 0 noise and 1 data. */
const velocity = (z: number, s: number): number => m + ((s * sigma ** 2 - (1 - s)) / S(s) ** 2) * (z - m * s);
const flow = (z: number, from: number, to: number): number => m * to + (S(to) / S(from)) * (z - m * from);

/** Perfect networks: of the seed's convention, of the paper's, and of the loss that mixes them. */
const NETWORKS: Readonly<Record<string, { stateTime: StateTime; noiseAt: 0 | 1; u: Velocity }>> = {
  "state at r": {
    ...ownConvention("r"),
    u: (z, r, t) => (r === t ? velocity(z, r) : (flow(z, r, t) - z) / (t - r)),
  },
  "state at t": {
    ...ownConvention("t"),
    u: (z, r, t) => (r === t ? -velocity(z, 1 - t) : (z - flow(z, 1 - t, 1 - r)) / (t - r)),
  },
  "the literal loss": {
    ...{ stateTime: "t", noiseAt: 0 },
    u: (z, r, t) => (r === t ? velocity(z, t) : (z - flow(z, t, r)) / (t - r)),
  },
};

/** Derivative of u along (v, ṙ, ṫ), by central differences. */
function along(u: Velocity, z: number, r: number, t: number, v: number, rates: readonly number[]): number {
  const h = 1e-5;
  const at = (k: number) => u(z + k * v, r + k * rates[0], t + k * rates[1]);
  return (at(h) - at(-h)) / (2 * h);
}

describe.each(Object.entries(NETWORKS))("a perfect network, %s", (_, { stateTime, noiseAt, u }) => {
  const told = { r: [0.1, 0.3, 0.5], t: [0.6, 0.9, 0.5] };
  const z = [0.4, -1.2, 2];
  const times = stateTimes(told, stateTime);
  const v = z.map((value, b) => u(value, times[b], times[b]));
  const rates = ratesAlong(stateTime, 3);
  const du = z.map((value, b) => along(u, value, told.r[b], told.t[b], v[b], [rates.r[b], rates.t[b]]));
  const average = z.map((value, b) => u(value, told.r[b], told.t[b]));

  it("obeys the identity, and no step of its velocity alone", () => {
    const target = identityTarget(v, du, told, stateTime);
    average.forEach((value, b) => expect(target[b]).toBeCloseTo(value, 7));
    const { residual, bend, speed } = straightnessOf(average, du, v, told, stateTime);
    residual.forEach((value) => expect(value).toBeLessThan(1e-7));
    expect(Math.max(bend[0] / speed[0], bend[1] / speed[1])).toBeGreaterThan(0.05);
    // Where r = t there is nothing to bend.
    expect(bend[2]).toBe(0);
    v.forEach((value, b) => expect(speed[b]).toBeCloseTo(Math.abs(value), 12));
  });

  it("does not obey the identity with a wrong direction", () => {
    for (const wrong of [
      [0, 0],
      [rates.t[0], rates.r[0]],
    ]) {
      const other = z.map((value, b) => along(u, value, told.r[b], told.t[b], v[b], wrong));
      const residuals = identityResiduals(average, identityTarget(v, other, told, stateTime), 3);
      expect(residuals[0] + residuals[1]).toBeGreaterThan(0.05);
    }
  });

  it("is what its loss is least for: the mean velocity of all pairs that meet in a state", () => {
    // z = a·data + b·noise; given z, data and noise are Gaussian: E[v | z] is the marginal velocity.
    const s = times[0];
    const dataAt = noiseAt === 0 ? s : 1 - s;
    const [alpha, beta] = [dataAt, 1 - dataAt];
    const gain = (z[0] - alpha * m) / (alpha ** 2 * sigma ** 2 + beta ** 2);
    const data = m + alpha * sigma ** 2 * gain;
    const noise = beta * gain;
    const pair = pathStates([data], [noise], [s], noiseAt);
    expect(pair.z[0]).toBeCloseTo(z[0], 12);
    expect(pair.v[0]).toBeCloseTo(v[0], 12);
  });
});

it("states and velocities of pairs", () => {
  const { z, v } = pathStates([2, 4, 6, 8], [1, 1, -1, -1], [0.25, 1], 1);
  expect([...z]).toEqual([1.75, 3.25, -1, -1]);
  expect([...v]).toEqual([-1, -3, -7, -9]);
  const other = pathStates([2, 4, 6, 8], [1, 1, -1, -1], [0.25, 1], 0);
  expect([...other.z]).toEqual([1.25, 1.75, 6, 8]);
  expect([...other.v]).toEqual([1, 3, 7, 9]);
  expect(() => pathStates([1, 2, 3], [1, 2], [0], 0)).toThrow(UsageError);
  expect(() => pathStates([1, 2, 3], [1, 2, 3], [0, 0], 0)).toThrow(/3 and 3 values for 2 items/);
});

it("losses of squared errors", () => {
  expect([...squaredDistances(2, [1, 2, 3, 4], [1, 0, 0, 0])]).toEqual([4, 25]);
  expect([...squaredDistances(1, [3, 4])]).toEqual([25]);
  expect(meanFlowLoss([4, 9], { power: 0.5, constant: 0, form: "sum" })).toBeCloseTo(2.5, 12);
  expect(meanFlowLoss([4, 9], { power: 0, constant: 1, form: "sum" })).toBeCloseTo(6.5, 12);
  expect(meanFlowLoss([4], { power: 1, constant: 1, form: "sum" })).toBeCloseTo(0.8, 12);
  expect(meanFlowLoss([2], { power: 1, constant: 1, form: "squared" })).toBeCloseTo(0.8, 12);
  expect(() => meanFlowLoss([], { power: 1, constant: 1, form: "sum" })).toThrow(UsageError);
});

it("guidance folded in: inside its interval, ends included, and for items that kept their class", () => {
  const guidance = { omega: 2, kappa: 0.5, interval: [0.2, 0.8] as const };
  const guided = guidedVelocity(
    [1, 1, 1, 1],
    [10, 10, 10, 10],
    [100, 100, 100, 100],
    [0.1, 0.2, 0.8, 0.5],
    guidance,
    [...[false, false, false, true]],
  );
  // 2·1 + ½·10 − 1½·100
  expect([...guided]).toEqual([1, -143, -143, 1]);
});
