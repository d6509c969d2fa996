/**
 * The taps of all probed steps of a trajectory against one another, on the GPU: centred cosine, linear CKA, their nulls, and the change from one
 * probed step to the next. What is compared is said in taps/similarity.ts.
 *
 * Axes: K probed steps, V trajectories, N tokens of which P are taken, C channels, n pairs of steps, S orders of the rows, the first of which is their own.
 *
 * A tap of a large model has a hundred megabytes, so of each tap the same P ≤ 512 random tokens are kept, P from a byte budget for all K.
 * With X and Y centred, ‖YᵀX‖² = ⟨XXᵀ, YYᵀ⟩: one P × P matrix a step is made, and a pair, shuffled or not, costs P² products.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { record, type Replay } from "../../gpu/recording.ts";
import { centreRows } from "../../kernels/centre-rows.ts";
import { changes } from "../../kernels/changes.ts";
import { concat } from "../../kernels/copy.ts";
import { gram } from "../../kernels/gram.ts";
import { pairProducts } from "../../kernels/pair-products.ts";
import {
  constant,
  copyParts,
  createTensor,
  readTensor,
  releaseTensor,
  type Tensor,
} from "../../tensor/tensor.ts";
import type { Tap } from "../subject.ts";
import { MOST_ROWS, sampledRows, shuffles } from "../taps/sample.ts";
import type { TapSample } from "./measurement.ts";

/** Bytes of kept tokens and their products, where a tap is no larger: half of the least binding of any adapter, which each is bound in. */
const BUDGET = 2 ** 26;
/** For all that, not less than this for small taps. */
const LEAST_BUDGET = 2 ** 24;

/** Of one batch of trajectories. */
export interface TapsCompared {
  readonly sample: TapSample;
  /** (V, K, K) each */
  readonly cosine: Float32Array;
  readonly cosineNull: Float32Array;
  readonly cka: Float32Array;
  readonly ckaNull: Float32Array;
  /** (V, K), infinite at the first */
  readonly drift: Float32Array;
}

/** One tensor of the tap at all steps. */
interface Kept {
  /** (K, V, P, C) */
  readonly rows: Tensor;
  /** P of N */
  readonly sampled: readonly number[];
  readonly tokens: number;
  readonly compare: Replay<Tensor>;
}

/** Records once for one shape of taps; free it with `release`. */
export class TapComparison {
  readonly #gpu: Gpu;
  readonly #steps: number;
  readonly #copies: number;
  readonly #kept: readonly Kept[];

  private constructor(gpu: Gpu, steps: number, copies: number, kept: readonly Kept[]) {
    this.#gpu = gpu;
    this.#steps = steps;
    this.#copies = copies;
    this.#kept = kept;
  }

  /** Whether taps like this one can be compared: tensors (V, N, C) of two tokens at least. */
  static canCompare(tap: Tap, copies: number): boolean {
    const isRows = ({ shape, dtype }: Tensor): boolean =>
      shape.length === 3 && shape[0] === copies && shape[1] > 1 && dtype === "f32";
    return tap.length > 0 && tap.every(isRows);
  }

  /**
   * @param steps K
   * @param most trajectories in any batch of the run: it decides P, so that all batches compare the same tokens
   * @returns undefined where not even two tokens a tap fit
   */
  static async create(gpu: Gpu, tap: Tap, steps: number, most: number): Promise<TapComparison | undefined> {
    const copies = tap[0].dim(0);
    const fitting = rowsThatFit(gpu, tap, steps, most);
    if (fitting < 2) return undefined;
    const kept: Kept[] = [];
    for (const x of tap) {
      const [, tokens, channels] = x.shape;
      const sampled = sampledRows(tokens, fitting);
      const rows = createTensor(gpu, [steps, copies, sampled.length, channels], undefined, "compared tokens");
      kept.push({ rows, sampled, tokens, compare: await record(gpu, "compare taps", () => compared(rows)) });
    }
    return new TapComparison(gpu, steps, copies, kept);
  }

  /** Keeps tokens of the tap at the k-th probed step. */
  take(k: number, tap: Tap): void {
    for (const [i, { rows, sampled, tokens }] of this.#kept.entries()) {
      const [, copies, P, C] = rows.shape;
      const whole = P === tokens;
      const parts = Array.from({ length: copies }, (_, v) =>
        (whole ? [0] : sampled).map((token, p) => ({
          from: (v * tokens + token) * C,
          to: ((k * copies + v) * P + p) * C,
          count: whole ? P * C : C,
        })),
      );
      copyParts(this.#gpu, tap[i], rows, parts.flat());
    }
  }

  /** Compares what was taken at all K steps. */
  async finish(): Promise<TapsCompared> {
    const [K, V] = [this.#steps, this.#copies];
    const all = await Promise.all(
      this.#kept.map(async ({ compare }) => {
        await compare.run();
        return readTensor(this.#gpu, compare.outputs);
      }),
    );
    const matrix = (): Float32Array => new Float32Array(V * K * K);
    const [cosine, cosineNull, cka, ckaNull] = [matrix(), matrix(), matrix(), matrix()];
    const [squares, change] = [new Float64Array(V * K), new Float64Array(V * K)];
    const pairs = pairsOf(K);
    const S = orders(2).length;
    for (const numbers of all) {
      for (let k = 0; k < K; k++) {
        for (let v = 0; v < V; v++) {
          change[v * K + k] += numbers[2 * (k * V + v)];
          squares[v * K + k] += numbers[2 * (k * V + v) + 1];
        }
      }
      const first = 2 * K * V;
      const products = numbers.subarray(first, first + pairs.length * V * S);
      correlate(products, cosine, cosineNull);
      correlate(numbers.subarray(first + products.length), cka, ckaNull);
    }
    const drift = change.map((sum, i) =>
      i % K === 0 || squares[i] === 0 ? Infinity : Math.sqrt(sum / squares[i]),
    );
    return { sample: this.sample, cosine, cosineNull, cka, ckaNull, drift: Float32Array.from(drift) };

    /** ⟨a, b⟩ / (‖a‖ ‖b‖) of every pair and order, as means over the tensors; 0 where one does not vary over its tokens. */
    function correlate(products: Float32Array, own: Float32Array, shuffled: Float32Array): void {
      const at = (pair: number, v: number, s: number): number => products[(pair * V + v) * S + s];
      const diagonal = pairs.flatMap(([i, j], pair) => (i === j ? [pair] : []));
      pairs.forEach(([i, j], pair) => {
        for (let v = 0; v < V; v++) {
          const norm = Math.sqrt(at(diagonal[i], v, 0) * at(diagonal[j], v, 0));
          let mean = 0;
          for (let s = 1; s < S; s++) mean += at(pair, v, s) / (S - 1);
          for (const place of new Set([(v * K + i) * K + j, (v * K + j) * K + i])) {
            own[place] += norm > 0 ? at(pair, v, 0) / norm / all.length : 0;
            shuffled[place] += norm > 0 ? mean / norm / all.length : 0;
          }
        }
      });
    }
  }

  get sample(): TapSample {
    return {
      rows: this.#kept.map(({ sampled }) => sampled.length),
      tokens: this.#kept.map(({ tokens }) => tokens),
    };
  }

  release(): void {
    for (const { rows, compare } of this.#kept) {
      compare.dispose();
      releaseTensor(this.#gpu, rows);
    }
  }
}

/** P of so many tokens that all steps of all copies, 4·K·V·(P·ΣC + P²·tensors) bytes, fit. */
function rowsThatFit(gpu: Gpu, tap: Tap, steps: number, most: number): number {
  const tapBytes = tap.reduce((sum, x) => sum + x.bytes, 0);
  const budget = Math.min(BUDGET, gpu.maxBindingBytes, Math.max(LEAST_BUDGET, tapBytes));
  const channels = tap.reduce((sum, x) => sum + x.dim(2), 0);
  const words = budget / (4 * steps * most);
  const root = Math.sqrt(channels ** 2 + 4 * tap.length * words);
  return Math.min(MOST_ROWS, Math.floor((root - channels) / (2 * tap.length)));
}

/** (i, j) with i ≤ j < K. */
const pairsOf = (K: number): (readonly [number, number])[] =>
  Array.from({ length: K }, (_, i) => Array.from({ length: K - i }, (_, d) => [i, i + d] as const)).flat();

/** The rows' own order, and the shuffled ones. */
const orders = (rows: number): number[][] => [Array.from({ length: rows }, (_, p) => p), ...shuffles(rows)];

/** Records: rows (K, V, P, C), centred on the way → changes (K, V, 2), products (n, V, S) of the taps and of their rows' products, one behind the other. */
function compared(rows: Tensor): Tensor {
  const [K, V, P, C] = rows.shape;
  const list = pairsOf(K);
  const pairs = constant([list.length, 2], Uint32Array.from(list.flat()), "pairs of steps");
  const order = constant([orders(P).length, P], Uint32Array.from(orders(P).flat()), "orders of rows");
  const changed = changes(rows.reshape(K, V, P * C));
  centreRows(rows.reshape(K * V, P, C));
  const products = pairProducts(rows, pairs, order);
  const grams = gram(rows.reshape(K * V, P, C)).reshape(K, V, P, P);
  const ofGrams = pairProducts(grams, pairs, order, true);
  return concat(
    [changed, products, ofGrams].map((x) => x.reshape(x.size)),
    0,
  );
}
