/**
 * Times of the World2Action decoder. Action time t runs from 1 (noise) to 0 (clean), the observation counts as almost clean; video
 * time is σ/(1 + σ), 0 clean and 1 noise. Tokens that share both share a row of every table made from them: two rows an item.
 *
 *   s(t) = [sin(t·f), cos(t·f)],  f_j = 2π / (0.004 · 1000^(j/(S/2 − 1))),  j = 0 … S/2 − 1
 *
 * S is the width of a sinusoid. Both are computed in float64 and rounded to float32 and then bfloat16, as the release rounds them.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { createTensor, releaseTensor, type Tensor, writeTensor } from "../../tensor/tensor.ts";
import { bfloat16 } from "../../weights/rounded.ts";

const f32 = Math.fround;

/** The action time of the observation token. */
export const OBSERVATION_TIME = f32(1e-3);

// Periods of the sinusoids, geometric from the shortest to the longest.
const [SHORTEST, LONGEST] = [0.004, 4];

/** The video time of σ as the release computes it, in float32: σ/(1 + σ). */
export const videoTime = (sigma: number): number => f32(f32(sigma) / f32(1 + f32(sigma)));

/** [sin, cos] of a time: S bfloat16 values. */
export function sinusoid(time: number, width: number): Float32Array<ArrayBuffer> {
  const half = width / 2;
  const values = new Float32Array(width);
  for (let j = 0; j < half; j++) {
    const period = SHORTEST * (LONGEST / SHORTEST) ** (j / (half - 1));
    const angle = time * ((2 * Math.PI) / period);
    values[j] = bfloat16(Math.sin(angle));
    values[half + j] = bfloat16(Math.cos(angle));
  }
  return values;
}

/** Action time and video time. */
export type TimePair = readonly [action: number, video: number];

/** Distinct pairs of times, and the one of each token. */
export interface TokenTimes {
  readonly pairs: readonly TimePair[];
  /** (B·N) */
  readonly rowOf: Uint32Array<ArrayBuffer>;
}

/**
 * The distinct pairs of B items of N tokens.
 * @param action (B·N) times
 * @param video (B) times
 * @throws UsageError when the action times do not divide among the items
 */
export function distinctPairs(action: ArrayLike<number>, video: ArrayLike<number>): TokenTimes {
  const tokens = action.length / video.length;
  if (!Number.isInteger(tokens))
    throw new UsageError(`${action.length} action times do not divide among ${video.length} items`);
  const pairs: TimePair[] = [];
  const known = new Map<string, number>();
  const rowOf = Uint32Array.from({ length: action.length }, (_, i) => {
    const pair: TimePair = [action[i], video[Math.floor(i / tokens)]];
    const key = pair.join(" ");
    let row = known.get(key);
    if (row === undefined) known.set(key, (row = pairs.push(pair) - 1));
    return row;
  });
  return { pairs, rowOf };
}

/** The times of a step: the observation token at its own, all actions of an item at `action` of that item. */
export function stepTimes(
  action: ArrayLike<number>,
  video: ArrayLike<number>,
  observations: number,
  tokens: number,
): TokenTimes {
  const each = Float64Array.from({ length: video.length * tokens }, (_, i) =>
    i % tokens < observations ? OBSERVATION_TIME : action[Math.floor(i / tokens)],
  );
  return distinctPairs(each, video);
}

/** The time inputs of the decoder on the GPU; replays read what was written last. */
export class TimeTable {
  /** (R, S): sinusoids of action times and of video times */
  readonly action: Tensor;
  readonly video: Tensor;
  /** (B·N) u32 */
  readonly rowOf: Tensor;
  readonly #gpu: Gpu;

  /** Space for at most `rows` distinct pairs and for exactly `tokens` tokens, B·N. */
  constructor(gpu: Gpu, width: number, rows: number, tokens: number) {
    this.#gpu = gpu;
    this.action = createTensor(gpu, [rows, width], undefined, "action sinusoids");
    this.video = createTensor(gpu, [rows, width], undefined, "video sinusoids");
    this.rowOf = createTensor(gpu, [tokens], new Uint32Array(tokens), "time rows of tokens");
  }

  /** @throws UsageError when there are more distinct pairs than rows, or another number of tokens */
  write({ pairs, rowOf }: TokenTimes): void {
    const [rows, width] = this.action.shape;
    if (pairs.length > rows)
      throw new UsageError(`${pairs.length} distinct pairs of times; this recording has room for ${rows}`);
    const table = (which: 0 | 1): Float32Array => {
      const values = new Float32Array(rows * width);
      pairs.forEach((pair, row) => values.set(sinusoid(pair[which], width), row * width));
      return values;
    };
    writeTensor(this.#gpu, this.action, table(0));
    writeTensor(this.#gpu, this.video, table(1));
    writeTensor(this.#gpu, this.rowOf, rowOf);
  }

  release(): void {
    for (const tensor of [this.action, this.video, this.rowOf]) releaseTensor(this.#gpu, tensor);
  }
}
