/**
 * Denoising diffusion of a fixed number of noise levels: DDPM (Ho et al. 2020) and DDIM (Song et al. 2021, η = 0), as tables.
 *
 *   x_t = √ᾱ_t · x₀ + √(1 − ᾱ_t) · ε                     ᾱ_t = Π_{i ≤ t} (1 − β_i),  t = 0 … T − 1
 *   clean = (x − √(1 − ᾱ_t) · f) / √ᾱ_t, clamped         f the network's output, ε; or clean = f
 *
 *   DDPM   x ← (√ᾱ_p · b / (1 − ᾱ_t)) · clean + (√a · (1 − ᾱ_p) / (1 − ᾱ_t)) · x + √((1 − ᾱ_p) / (1 − ᾱ_t) · b) · z     a = ᾱ_t / ᾱ_p, b = 1 − a
 *   DDIM   x ← √ᾱ_p · clean + √(1 − ᾱ_p) · ε              ε not made anew from the clamped clean
 *
 * t falls by r = ⌊T / n⌋ at each of n calls and ends at 0; p = t − r, and ᾱ_p = 1 behind the last call, after which x is the clean estimate.
 *
 * The tables are those of diffusers, which forms them in float32, each operation rounded: near t = 0 the differences 1 − ᾱ and 1 − a lose
 * digits there, and constants formed in float64 differ from them by up to 1.2e-5.
 */
import { UsageError } from "../errors.ts";
import type { Scheduler, Terms } from "./scheduler.ts";

const f32 = Math.fround;

/** A schedule as a model was trained with it. */
export interface DiffusionSchedule {
  readonly kind: "DDPM" | "DDIM";
  /** T, noise levels of training */
  readonly trained: number;
  readonly betas: "squaredcos_cap_v2" | "linear";
  /** of the linear one */
  readonly betaStart: number;
  readonly betaEnd: number;
  /** what the network says: the noise, or the clean sample */
  readonly predicts: "epsilon" | "sample";
  /** the clean estimate lies within ± this */
  readonly clip?: number;
}

/** What one call is computed with; float32 numbers. */
export interface DiffusionConstants {
  /** t */
  readonly timestep: number;
  /** √ᾱ_t and √(1 − ᾱ_t) */
  readonly sqrtAlpha: number;
  readonly sqrtBeta: number;
  /** of the clean estimate, and of the state (DDPM) or the noise (DDIM) */
  readonly ofClean: number;
  readonly ofOther: number;
  /** of fresh noise; 0 at the last call, and in DDIM */
  readonly sigma: number;
}

/** β of `betas`, float32. */
function betas({ betas: kind, trained: T, betaStart, betaEnd }: DiffusionSchedule): number[] {
  if (kind === "linear") return evenly(betaStart, betaEnd, T);
  const f = (s: number): number => Math.cos((((s + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Array.from({ length: T }, (_, i) => f32(Math.min(1 - f((i + 1) / T) / f(i / T), 0.999)));
}

/**
 * torch.linspace in float32, counted from both ends; product and sum are rounded together, as processors with a fused multiply-add do
 * (1000 steps are equal to the bit with torch 2.13.0; rounded one by one, 196 of them are not).
 */
function evenly(from: number, to: number, count: number): number[] {
  if (count === 1) return [f32(from)];
  const [start, end] = [f32(from), f32(to)];
  const step = f32(f32(end - start) / (count - 1));
  return Array.from({ length: count }, (_, i) =>
    f32(i < Math.floor(count / 2) ? start + step * i : end - step * (count - 1 - i)),
  );
}

/** (T) ᾱ, float32: the product is carried in float64 and rounded at each entry. */
export function alphasCumprod(schedule: DiffusionSchedule): number[] {
  let product = 1;
  return betas(schedule).map((beta) => f32((product *= f32(1 - beta))));
}

/** The t of n calls: (n − 1)·r … r, 0. @throws UsageError unless n is a whole number from 1 to T */
export function timesteps({ trained: T }: DiffusionSchedule, evaluations: number): number[] {
  if (!Number.isInteger(evaluations) || evaluations < 1 || evaluations > T)
    throw new UsageError(
      `${evaluations} evaluations of a schedule of ${T} noise levels: 1 to ${T} are possible`,
    );
  const stride = Math.floor(T / evaluations);
  return Array.from({ length: evaluations }, (_, i) => (evaluations - 1 - i) * stride);
}

/** The constants of n calls. @throws UsageError as `timesteps` */
export function diffusionConstants(schedule: DiffusionSchedule, evaluations: number): DiffusionConstants[] {
  const { kind, trained } = schedule;
  const alphas = alphasCumprod(schedule);
  const stride = Math.floor(trained / evaluations);
  return timesteps(schedule, evaluations).map((t) => {
    const [now, before] = [alphas[t], alphas[t - stride] ?? 1];
    const [noiseNow, noiseBefore] = [f32(1 - now), f32(1 - before)];
    const levels = { timestep: t, sqrtAlpha: root(now), sqrtBeta: root(noiseNow) };
    if (kind === "DDIM") return { ...levels, ofClean: root(before), ofOther: root(noiseBefore), sigma: 0 };
    const a = f32(now / before);
    const b = f32(1 - a);
    const variance = Math.max(f32(f32(noiseBefore / noiseNow) * b), f32(1e-20));
    return {
      ...levels,
      ofClean: f32(f32(root(before) * b) / noiseNow),
      ofOther: f32(f32(root(a) * noiseBefore) / noiseNow),
      sigma: t > 0 ? root(variance) : 0,
    };
  });
}

const root = (x: number): number => f32(Math.sqrt(x));

/** How much of a state is data and how much noise. */
export interface NoiseLevel {
  /** √ᾱ and √(1 − ᾱ) */
  readonly data: number;
  readonly noise: number;
}

/** The n + 1 states of n calls, the last without noise. @throws UsageError as `timesteps` */
export const noiseLevels = (schedule: DiffusionSchedule, evaluations: number): NoiseLevel[] => [
  ...diffusionConstants(schedule, evaluations).map(({ sqrtAlpha, sqrtBeta }) => ({
    data: sqrtAlpha,
    noise: sqrtBeta,
  })),
  { data: 1, noise: 0 },
];

/** The time at which a straight flow, (1 − τ)·clean + τ·noise, is as noisy: 1 noise, 0 clean. */
export const flowTime = ({ data, noise }: NoiseLevel): number => noise / (data + noise);

/**
 * The schedule as a sampler walks it in n calls. Times are those of a straight flow (`flowTime`); the network is told t.
 * @throws UsageError as `timesteps`
 */
export function diffusion(schedule: DiffusionSchedule, evaluations: number): Scheduler {
  const { kind, predicts, clip } = schedule;
  const constants = diffusionConstants(schedule, evaluations);
  const step = (i: number): Terms => {
    const { sqrtAlpha, sqrtBeta, ofClean, ofOther, sigma } = constants[i];
    if (kind === "DDPM") return { clean: ofClean, x: ofOther, noise: sigma };
    if (predicts === "epsilon") return { clean: ofClean, f: ofOther };
    // The noise that leads from the unclamped estimate to x.
    return { clean: ofClean, x: ofOther / sqrtBeta, f: (-ofOther * sqrtAlpha) / sqrtBeta };
  };
  return {
    name: kind.toLowerCase(),
    times: noiseLevels(schedule, evaluations).map(flowTime),
    states: Array.from({ length: evaluations + 1 }, (_, k) => k),
    history: { of: "clean", length: 0 },
    ...(clip !== undefined && { clamp: [-clip, clip] as const }),
    call: (i) => ({ at: constants[i].timestep }),
    clean: (i) => {
      const { sqrtAlpha, sqrtBeta } = constants[i];
      return predicts === "sample" ? { x: 0, f: 1 } : { x: 1 / sqrtAlpha, f: -sqrtBeta / sqrtAlpha };
    },
    step: (i) => ({ predict: step(i) }),
  };
}
