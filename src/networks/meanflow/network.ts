/**
 * A network of the average velocity u(z, r, t), as everything around it sees it. Two conventions exist: with the state at t (time 0 is data,
 * 1 noise) and with the state at r (time 0 is noise, 1 data); r ≤ t in both. Numbers here are those of the network's own convention.
 */
import { UsageError } from "../../errors.ts";
import { showShape, type Tensor } from "../../tensor/tensor.ts";

/** At which end of the interval the state stands. */
export type StateTime = "r" | "t";

/** What a network is told besides the state: B values each. */
export interface Told {
  readonly r: ArrayLike<number>;
  readonly t: ArrayLike<number>;
  /** classes; left out: none */
  readonly labels?: ArrayLike<number>;
  /** strength of the guidance, from 1 on, and the interval of times in which it holds */
  readonly omega?: ArrayLike<number>;
  readonly tMin?: ArrayLike<number>;
  readonly tMax?: ArrayLike<number>;
  /** (B, A) how a picture was augmented; left out: not at all */
  readonly augment?: ArrayLike<number>;
}

/** How fast the times move along a direction: B values each. */
export interface Rates {
  readonly r: ArrayLike<number>;
  readonly t: ArrayLike<number>;
}

/** Something of what it is told, worked out on the CPU: it changes from call to call and is written before a replay. */
export interface Feature {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
}

export interface Velocity {
  /** the average velocity, shaped as the state */
  readonly u: Tensor;
  /** the instantaneous one, of networks with a second head */
  readonly v?: Tensor;
}

export interface MeanFlowNetwork {
  readonly stateTime: StateTime;
  /** shape of one state: (C, H, W), or (D) */
  readonly state: readonly number[];
  /**
   * What `forward` reads, by name; names and shapes depend on B only.
   * @throws UsageError for a label that is none, or what the network cannot be told
   */
  features(told: Told): Readonly<Record<string, Feature>>;
  /**
   * The derivatives of those features that move with the times, by name, when these move at such rates; what is not named is constant. Labels, guidance
   * and augmentation are held fixed.
   */
  featureTangents(told: Told, rates: Rates): Readonly<Record<string, Feature>>;
  /** x (B, …state) → velocities. @throws UsageError for another shape */
  forward(x: Tensor, features: Readonly<Record<string, Tensor>>): Velocity;
}

/** @throws UsageError unless x is a batch of such states */
export function checkState(arch: string, x: Tensor, state: readonly number[]): void {
  if (x.shape.slice(1).join() !== state.join())
    throw new UsageError(
      `${arch}: a state ${showShape(x.shape)}, expected ${showShape([-1, ...state])}, -1 any number`,
    );
}

/** @throws UsageError when something is told that the network has no input for */
export function hears(arch: string, told: Told, ...also: (keyof Told)[]): void {
  for (const [what, given] of Object.entries(told))
    if (given !== undefined && !["r", "t", ...also].includes(what))
      throw new UsageError(
        `${arch} cannot be told ${what}; it knows r, t${also.map((a) => `, ${a}`).join("")}`,
      );
}

/** Values as a tensor (B). */
export const each = (values: ArrayLike<number>): Feature => ({
  shape: [values.length],
  data: Float32Array.from(values),
});

/** t − r, in float64; of times or of their rates. */
export const durations = ({ r, t }: Rates): number[] => Array.from(t, (end, b) => end - r[b]);

export type SinusoidLayout = "sine first" | "cosine first";

/**
 * A row of `width` columns for each of B times, in one of two layouts, n = width / 2 and f_i = 10000^(−i / d):
 * "sine first" [s(f) | c(f)] with d = n − 1, "cosine first" [c(f) | s(f)] with d = n.
 * @param pair s and c of item b at frequency f
 */
function overFrequencies(
  batch: number,
  width: number,
  layout: SinusoidLayout,
  pair: (b: number, frequency: number) => readonly [s: number, c: number],
): Feature & { readonly data: Float32Array<ArrayBuffer> } {
  const n = width / 2;
  const divisor = layout === "sine first" ? n - 1 : n;
  const [sineAt, cosineAt] = layout === "sine first" ? [0, n] : [n, 0];
  const data = new Float32Array(batch * width);
  for (let b = 0; b < batch; b++)
    for (let i = 0; i < n; i++) {
      const [s, c] = pair(b, 10000 ** (-i / divisor));
      data[b * width + sineAt + i] = s;
      data[b * width + cosineAt + i] = c;
    }
  return { shape: [batch, width], data };
}

/** Sinusoids sin(τ·f) and cos(τ·f) of times, a row each. Times unscaled, in [0, 1]. */
export const sinusoids = (times: ArrayLike<number>, width: number, layout: SinusoidLayout) =>
  overFrequencies(times.length, width, layout, (b, f) => [Math.sin(times[b] * f), Math.cos(times[b] * f)]);

/** The derivative of `sinusoids` where the times move at these rates: f·cos(τ·f)·τ̇ for a sine, −f·sin(τ·f)·τ̇ for a cosine. */
export const sinusoidTangents = (
  times: ArrayLike<number>,
  rates: ArrayLike<number>,
  width: number,
  layout: SinusoidLayout,
) =>
  overFrequencies(times.length, width, layout, (b, f) => [
    f * Math.cos(times[b] * f) * rates[b],
    -f * Math.sin(times[b] * f) * rates[b],
  ]);

/**
 * Rows of a table of classes; where labels are left out, the row behind the classes, "no class".
 * @throws UsageError for a label that has no row
 */
export function classRows(arch: string, { r, labels }: Told, classes: number, nullClass: boolean): Feature {
  const rows = Uint32Array.from(labels ?? new Array<number>(r.length).fill(classes));
  const last = nullClass ? classes : classes - 1;
  const wrong = Array.from(labels ?? rows).find((y) => !Number.isInteger(y) || y < 0 || y > last);
  if (wrong !== undefined)
    throw new UsageError(
      `${arch}: label ${wrong}; the network knows 0 to ${classes - 1}${nullClass ? ` and ${classes} for none` : " and was not trained without one"}`,
    );
  return { shape: [rows.length], data: rows };
}
