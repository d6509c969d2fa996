/**
 * Schedulers as tables (scheduler.ts). `times` is a grid of states, in whatever convention the model has; Δ is the step from a state to
 * the next.
 */
import { checkGrid } from "./grid.ts";
import type { Scheduler } from "./scheduler.ts";

const NOTHING = { of: "f", length: 0 } as const;
const oneCallAState = (times: readonly number[]): number[] => times.map((_, k) => k);
const twoCallsAState = (times: readonly number[]): number[] => times.map((_, k) => 2 * k);

/** x ← x + Δ·v(x, t) */
export function euler(times: readonly number[]): Scheduler {
  if (times.length > 1) checkGrid(times);
  return {
    ...{ name: "euler", times, states: oneCallAState(times), history: NOTHING },
    call: (i) => ({ at: times[i] }),
    step: (i) => ({ predict: { x: 1, f: times[i + 1] - times[i] } }),
  };
}

/** Euler to the middle, then the whole step with the velocity found there. */
export function midpoint(times: readonly number[]): Scheduler {
  if (times.length > 1) checkGrid(times);
  const delta = (i: number): number => times[(i >> 1) + 1] - times[i >> 1];
  return {
    ...{ name: "midpoint", times, states: twoCallsAState(times), history: { of: "f", length: 1 } },
    call: (i) => ({ at: times[i >> 1] + (i % 2 === 0 ? 0 : delta(i) / 2) }),
    // The second call leads from the middle: x_mid − Δ/2·v₁ is where the step began.
    step: (i) =>
      i % 2 === 0
        ? { predict: { x: 1, f: delta(i) / 2 } }
        : { predict: { x: 1, f: delta(i), past: [-delta(i) / 2] } },
  };
}

/** The mean of the velocities at both ends of an Euler step. */
export function heun(times: readonly number[]): Scheduler {
  if (times.length > 1) checkGrid(times);
  const delta = (i: number): number => times[(i >> 1) + 1] - times[i >> 1];
  return {
    ...{ name: "heun", times, states: twoCallsAState(times), history: { of: "f", length: 1 } },
    call: (i) => ({ at: times[(i + 1) >> 1] }),
    step: (i) =>
      i % 2 === 0
        ? { predict: { x: 1, f: delta(i) } }
        : { predict: { x: 1, f: delta(i) / 2, past: [-delta(i) / 2] } },
  };
}

/**
 * For networks of the average velocity u(z, r, t) (MeanFlow, equation 12): z_r = z_t − (t − r)·u(z_t, r, t), exact over any interval for
 * a perfect network. `times` runs from noise to data; the network is told both ends.
 */
export function meanFlow(times: readonly number[]): Scheduler {
  if (times.length > 1) checkGrid(times);
  return {
    ...{ name: "meanflow", times, states: oneCallAState(times), history: NOTHING },
    call: (i) => ({ at: times[i], until: times[i + 1] ?? times[i] }),
    step: (i) => ({ predict: { x: 1, f: times[i + 1] - times[i] } }),
  };
}

/** How a network's output and its state become a clean estimate at noise level σ. */
export interface Preconditioning {
  readonly skip: (sigma: number) => number;
  readonly out: (sigma: number) => number;
  readonly in: (sigma: number) => number;
}

/**
 * A rectified flow in the state x = x₀ + σ·ε: with t = σ / (1 + σ) the network sees (1 − t)·x, which is the interpolant, and says its
 * velocity ε − x₀.
 */
export const RECTIFIED_FLOW: Preconditioning = {
  skip: (sigma) => 1 / (1 + sigma),
  out: (sigma) => -sigma / (1 + sigma),
  in: (sigma) => 1 / (1 + sigma),
};

/** Karras et al. 2022, table 1, for data of standard deviation `data`. */
export const karras = (data: number): Preconditioning => ({
  skip: (sigma) => data ** 2 / (sigma ** 2 + data ** 2),
  out: (sigma) => (sigma * data) / Math.hypot(sigma, data),
  in: (sigma) => 1 / Math.hypot(sigma, data),
});

/** The noise levels of Karras et al. 2022, equation 5: `steps` + 1 of them, from `most` to `least`. */
export function karrasSigmas(steps: number, most: number, least: number, rho = 7): number[] {
  const [a, b] = [most ** (1 / rho), least ** (1 / rho)];
  return Array.from({ length: steps + 1 }, (_, i) => (a + (i / steps) * (b - a)) ** rho);
}

/** φ₁(z) = (eᶻ − 1) / z and φ₂(z) = (φ₁(z) − 1) / z. */
const phi1 = (z: number): number => Math.expm1(z) / z;
const phi2 = (z: number): number => (phi1(z) - 1) / z;

/**
 * Two-step exponential Adams–Bashforth in −ln σ over clean estimates, its first step Euler's (cosmos-predict2,
 * functional/runge_kutta.py): with d the step in −ln σ and c that of the step before, negative, over d,
 *
 *   x ← e^(−d)·x + d·(b₁·clean + b₂·past)      b₂ = φ₂(−d) / c,  b₁ = φ₁(−d) − b₂
 */
export function exponentialAb2(
  sigmas: readonly number[],
  model: Preconditioning,
  told: (sigma: number) => number,
): Scheduler {
  checkGrid(sigmas);
  return {
    ...{ name: "exponential-ab2", times: sigmas, states: oneCallAState(sigmas) },
    history: { of: "clean", length: 1 },
    call: (i) => ({ at: told(sigmas[i]) }),
    input: (i) => model.in(sigmas[i]),
    clean: (i) => ({ x: model.skip(sigmas[i]), f: model.out(sigmas[i]) }),
    step: (i) => {
      const [now, next] = [sigmas[i], sigmas[i + 1]];
      if (i === 0) return { predict: { x: next / now, clean: (now - next) / now } };
      const d = Math.log(now) - Math.log(next);
      const c = (Math.log(now) - Math.log(sigmas[i - 1])) / d;
      const b2 = phi2(-d) / c;
      return { predict: { x: Math.exp(-d), clean: d * (phi1(-d) - b2), past: [d * b2] } };
    },
  };
}

/**
 * Heun's method of Karras et al. 2022 (algorithm 1 without churn): dx/dσ = (x − clean) / σ; the last step, to σ = 0, is Euler's.
 */
export function edmHeun(
  sigmas: readonly number[],
  model: Preconditioning,
  told: (sigma: number) => number,
): Scheduler {
  checkGrid(sigmas);
  const N = sigmas.length - 1;
  const calls = sigmas.at(-1) === 0 ? 2 * N - 1 : 2 * N;
  // Call 2k stands at state k, call 2k + 1 at the state that Euler's step leads to.
  const sigmaAt = (i: number): number => sigmas[Math.min(N, (i + 1) >> 1)];
  return {
    ...{ name: "edm-heun", times: sigmas, states: sigmas.map((_, k) => Math.min(2 * k, calls)) },
    history: { of: "clean", length: 1 },
    call: (i) => ({ at: told(sigmaAt(i)) }),
    input: (i) => model.in(sigmaAt(i)),
    clean: (i) => ({ x: model.skip(sigmaAt(i)), f: model.out(sigmaAt(i)) }),
    step: (i) => {
      const [from, to] = [sigmas[i >> 1], sigmas[(i >> 1) + 1]];
      const h = to - from;
      if (i % 2 === 0) return { predict: { x: 1 + h / from, clean: -h / from } };
      // x here is from·(1 + h/from) − h/from·past: the state before is (x + h/from·past) / (1 + h/from).
      const before = { x: 1 / (1 + h / from), past: h / from / (1 + h / from) };
      const [first, second] = [h / (2 * from), h / (2 * to)];
      return {
        predict: {
          x: before.x * (1 + first) + second,
          clean: -second,
          past: [before.past * (1 + first) - first],
        },
      };
    },
  };
}

/** Schedulers over a grid of times, by name. */
export const SCHEDULERS: Readonly<Record<string, (times: readonly number[]) => Scheduler>> = {
  euler,
  midpoint,
  heun,
};
