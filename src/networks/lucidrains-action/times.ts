/**
 * Times of the action decoder. Action time t runs from 0 (noise) to 1 (clean), video time τ from 0 (clean) to 1 (noise):
 * the network takes both as they are. Tokens that share (t, τ) share a row of every table made from them.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { createTensor, releaseTensor, type Tensor, writeTensor } from "../../tensor/tensor.ts";

/** (t, τ) */
export type TimePair = readonly [number, number];

/** Distinct times, and the row of each token of the packed sequence. */
export interface TokenRows {
  readonly pairs: readonly TimePair[];
  /** (B·N) */
  readonly rowOf: Uint32Array;
}

/**
 * The rows of B items of `conditions` + n tokens. One action time an item holds for all its tokens; one an action
 * leaves the condition tokens at (1, 1), as the reference does for a prefix (docs/references.md, "prefix times").
 * @param action (B) or (B·n) times, as `per` says
 * @param video (B) times
 * @throws UsageError when the numbers of times do not fit
 */
export function tokenRows(
  action: ArrayLike<number>,
  video: ArrayLike<number>,
  actions: number,
  conditions: number,
  per: "item" | "token",
): TokenRows {
  const expected = per === "item" ? video.length : video.length * actions;
  if (action.length !== expected) {
    throw new UsageError(
      `${action.length} action times for ${video.length} items of ${actions} actions, one an ${per === "item" ? "item" : "action"}`,
    );
  }
  const tokens = conditions + actions;
  const pairs: TimePair[] = [];
  const known = new Map<string, number>();
  const row = (t: number, tau: number): number => {
    const key = `${t} ${tau}`;
    let at = known.get(key);
    if (at === undefined) known.set(key, (at = pairs.push([t, tau]) - 1));
    return at;
  };
  const rowOf = Uint32Array.from({ length: video.length * tokens }, (_, i) => {
    const [item, token] = [Math.floor(i / tokens), i % tokens];
    if (per === "item") return row(action[item], video[item]);
    return token < conditions ? row(1, 1) : row(action[item * actions + token - conditions], video[item]);
  });
  return { pairs, rowOf };
}

/**
 * cos(2π·(w·t + b)) of both times of each pair: (R, 2D). In float64 on the CPU: the arguments reach ±4π, where WGSL
 * promises nothing of its cosine (docs/references.md, "trigonometry").
 */
export function fourierFeatures(
  pairs: readonly TimePair[],
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
): Float32Array {
  const dim = weight.length;
  const features = new Float32Array(pairs.length * 2 * dim);
  pairs.forEach((pair, row) => {
    pair.forEach((time, which) => {
      for (let k = 0; k < dim; k++) {
        features[(row * 2 + which) * dim + k] = Math.cos(2 * Math.PI * (weight[k] * time + bias[k]));
      }
    });
  });
  return features;
}

/** The derivative of `fourierFeatures` by the action time: −2π·w·sin(2π·(w·t + b)) in the half of t, zeros in that of the video's time. */
export function fourierRates(
  pairs: readonly TimePair[],
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
): Float32Array {
  const dim = weight.length;
  const rates = new Float32Array(pairs.length * 2 * dim);
  pairs.forEach(([time], row) => {
    for (let k = 0; k < dim; k++) {
      const angle = 2 * Math.PI * (weight[k] * time + bias[k]);
      rates[row * 2 * dim + k] = -2 * Math.PI * weight[k] * Math.sin(angle);
    }
  });
  return rates;
}

/** How fast features and times move with the action time; freed with `releaseTensor`. */
export interface TimeRates {
  /** (R, 2D) */
  readonly features: Tensor;
  /** (R) */
  readonly times: Tensor;
}

/** The time inputs of a decoder on the GPU; replays read what was written last. */
export class TimeTable {
  /** (R, 2D) */
  readonly features: Tensor;
  /** (R) action times */
  readonly times: Tensor;
  /** (B·N) u32 */
  readonly rowOf: Tensor;
  readonly #gpu: Gpu;
  readonly #fourier: { readonly weight: ArrayLike<number>; readonly bias: ArrayLike<number> };

  /** Space for at most `rows` distinct times. */
  constructor(
    gpu: Gpu,
    fourier: { readonly weight: ArrayLike<number>; readonly bias: ArrayLike<number> },
    rows: number,
    tokens: number,
  ) {
    this.#gpu = gpu;
    this.#fourier = fourier;
    this.features = createTensor(gpu, [rows, 2 * fourier.weight.length], undefined, "time features");
    this.times = createTensor(gpu, [rows], undefined, "action times");
    this.rowOf = createTensor(gpu, [tokens], new Uint32Array(tokens), "time rows of tokens");
  }

  /** @throws UsageError when there are more distinct times than rows */
  writePairs(pairs: readonly TimePair[]): void {
    const rows = this.times.size;
    if (pairs.length > rows)
      throw new UsageError(`${pairs.length} distinct pairs of times; this recording has room for ${rows}`);
    const { weight, bias } = this.#fourier;
    const features = new Float32Array(this.features.size);
    features.set(fourierFeatures(pairs, weight, bias));
    const times = new Float32Array(rows);
    pairs.forEach(([t], i) => (times[i] = t));
    writeTensor(this.#gpu, this.features, features);
    writeTensor(this.#gpu, this.times, times);
  }

  /** Tensors for the rates of features and times where the action time of every row moves at a rate of 1; they are not of this table. */
  createRates(): TimeRates {
    const create = (like: Tensor, label: string): Tensor =>
      createTensor(this.#gpu, like.shape, undefined, label);
    return {
      features: create(this.features, "rates of time features"),
      times: create(this.times, "rates of times"),
    };
  }

  /** Writes the rates at these pairs. */
  writeRates(pairs: readonly TimePair[], { features, times }: TimeRates): void {
    const { weight, bias } = this.#fourier;
    const rates = new Float32Array(features.size);
    rates.set(fourierRates(pairs, weight, bias));
    writeTensor(this.#gpu, features, rates);
    writeTensor(this.#gpu, times, new Float32Array(times.size).fill(1));
  }

  write({ pairs, rowOf }: TokenRows): void {
    this.writePairs(pairs);
    writeTensor(this.#gpu, this.rowOf, rowOf);
  }

  release(): void {
    for (const t of [this.features, this.times, this.rowOf]) releaseTensor(this.#gpu, t);
  }
}
