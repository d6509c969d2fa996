/** The rules of the operations that only the action decoder uses, against central differences of their float64 references. */
import { describe } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { gelu } from "../../src/kernels/activations.reference.ts";
import { assign, concat } from "../../src/kernels/copy.ts";
import { toFlow } from "../../src/kernels/flow.ts";
import { gru, packRecurrent } from "../../src/kernels/gru.ts";
import { gruReference } from "../../src/kernels/gru.reference.ts";
import {
  FLOAT32_EPSILON,
  foldPool,
  foldedSize,
  historyPool,
  mixedWeights,
  type PoolWeights,
  projectQuery,
} from "../../src/kernels/history-pool.ts";
import { historyPoolReference } from "../../src/kernels/history-pool.reference.ts";
import { meanTokens } from "../../src/kernels/mean-tokens.ts";
import { meanTokensReference } from "../../src/kernels/mean-tokens.reference.ts";
import { normReference } from "../../src/kernels/norm.reference.ts";
import { rotatePairs } from "../../src/kernels/rotary.ts";
import { rotatePairsReference } from "../../src/kernels/rotary.reference.ts";
import { swiglu } from "../../src/kernels/swiglu.ts";
import { tokenShift } from "../../src/kernels/token-shift.ts";
import { tokenShiftReference } from "../../src/kernels/token-shift.reference.ts";
import { constant, result } from "../../src/tensor/tensor.ts";
import { uniform } from "../support/numbers.ts";
import { each, matrix, type Rule, testRules } from "../support/rules.ts";

const angles = uniform(60, 3 * 2, 3);

const SMALL: Rule[] = [
  {
    name: "swiglu",
    operands: { u: [4, 10] },
    compute: ({ u }) => swiglu(u),
    reference: ({ u }) =>
      each(20, (i) => {
        const at = Math.floor(i / 5) * 10 + (i % 5);
        return u[at] * gelu(u[at + 5]);
      }),
  },
  {
    name: "tokenShift",
    operands: { x: [2, 4, 5] },
    compute: ({ x }) => tokenShift(x, 1),
    reference: ({ x }) => tokenShiftReference(x, 2, 4, 5, 1),
  },
  {
    name: "meanTokens",
    operands: { x: [2, 70, 3] },
    compute: ({ x }) => meanTokens(x),
    reference: ({ x }) => meanTokensReference(x, 2, 70, 3),
  },
  {
    name: "rotatePairs",
    operands: { x: [2, 3, 8] },
    compute: ({ x }) =>
      rotatePairs(x, {
        cos: constant([3, 2], angles.map(Math.cos)),
        sin: constant([3, 2], angles.map(Math.sin)),
      }),
    reference: ({ x }) => rotatePairsReference(x, angles, { batch: 2, tokens: 3, heads: 2, headDim: 4 }),
  },
  ...[undefined, 0.3].map((epsilon): Rule => ({
    name: epsilon === undefined ? "toFlow of a flow" : "toFlow of clean actions, one time beyond the floor",
    operands: { pred: [2, 5, 2], x: [2, 3, 2], times: [3] },
    moving: epsilon === undefined ? ["pred"] : undefined,
    compute: ({ pred, x, times }) =>
      toFlow(
        pred,
        x,
        {
          times,
          rowOf: constant(
            [10],
            Uint32Array.from({ length: 10 }, (_, i) => i % 3),
          ),
        },
        epsilon,
      ),
    reference: ({ pred, x, times }) =>
      each(12, (i) => {
        const [b, token, a] = [Math.floor(i / 6), Math.floor(i / 2) % 3, i % 2];
        const predicted = pred[(b * 5 + 2 + token) * 2 + a];
        if (epsilon === undefined) return predicted;
        return (predicted - x[i]) / Math.max(1 - times[(b * 5 + 2 + token) % 3], epsilon);
      }),
  })),
];

const [B, steps, D] = [2, 3, 6];
const recurrent = uniform(61, 3 * D * D, 0.7);
const bias = uniform(62, 3 * D);
const GRU: Rule[] = [
  {
    name: "gru, into tokens of a history, with the last state",
    operands: { u: [B, steps, D], a: [B, steps, 3 * D], start: [B, D] },
    compute: ({ u, a, start }) => {
      const history = result([2, B, steps + 2, D], "history");
      assign(history, constant([history.size], new Float32Array(history.size).fill(3)));
      const weights = {
        recurrent: constant([D, 3, Math.ceil(D / 4), 4], packRecurrent(recurrent, D)),
        bias: constant([3 * D], bias),
      };
      const last = gru(u, a, weights, start, { tensor: history, tokens: steps + 2, first: 1 });
      return concat([history.reshape(1, -1), last.reshape(1, -1)], 1);
    },
    reference: ({ u, a, start }) => {
      const { sums, last } = gruReference(u, a, recurrent, bias, start, B, steps, D);
      const history = new Float64Array(2 * B * (steps + 2) * D).fill(3);
      for (let b = 0; b < B; b++)
        history.set(sums.subarray(b * steps * D, (b + 1) * steps * D), (b * (steps + 2) + 1) * D);
      return Float64Array.of(...history, ...last);
    },
  },
];

const shape = { dim: 12, heads: 4, headDim: 5 };
const raw = {
  query: uniform(70, 12, 2),
  gain: uniform(71, 12, 1.5),
  queries: uniform(72, 20 * 12),
  keysValues: uniform(73, 20 * 12),
  out: uniform(74, 12 * 20),
};
const WEIGHTS: Readonly<Record<PoolWeights["kind"], (gpu: Gpu) => PoolWeights>> = {
  fused: () => ({ kind: "fused", folded: constant([foldedSize(shape)], foldPool(raw, shape)) }),
  mixed: (gpu) => {
    const { u, values, outs } = mixedWeights(raw, shape);
    return {
      kind: "mixed",
      u: constant([12, 1, 4], u),
      values: values.map((v) => matrix(gpu, 5, 12, v)),
      outs: outs.map((o) => matrix(gpu, 12, 10, o)),
    };
  },
  naive: (gpu) => ({
    kind: "naive",
    query: constant([20], Float32Array.from(projectQuery(raw.query, raw.queries, 12))),
    gain: constant([12], raw.gain),
    keysValues: matrix(gpu, 20, 12, raw.keysValues),
    out: matrix(gpu, 12, 20, raw.out),
  }),
};
const POOLS: Rule[] = Object.entries(WEIGHTS).flatMap(([kind, weights]) =>
  [1, 3].map((entries): Rule => ({
    name: `historyPool of ${entries}, ${kind}`,
    operands: { history: [4, 2, 3, 12] },
    compute: ({ history }, gpu) =>
      historyPool(history, entries, weights(gpu), shape, {
        norm: { kind: "rms", epsilon: FLOAT32_EPSILON, weight: constant([12], raw.gain) },
        shiftFrom: 1,
      }),
    reference: ({ history }) => {
      const z = historyPoolReference(history, raw, { ...shape, entries, tokens: 6 });
      const y = normReference(z, 12, "rms", FLOAT32_EPSILON).map((v, i) => v * raw.gain[i % 12]);
      return tokenShiftReference(y, 2, 3, 12, 1);
    },
  })),
);

describe.each([
  ["small ones", SMALL],
  ["recurrence", GRU],
  ["pools", POOLS],
])("%s", (_, rules) => testRules(rules));
