/** Every rule against central differences of its operation's float64 reference; and the rules' own references against those of the operations. */
import { describe, expect, it } from "vitest";
import { ACTIVATIONS, type Activation } from "../../src/kernels/activations.ts";
import { activate, gelu, sigmoid, slope } from "../../src/kernels/activations.reference.ts";
import { attention } from "../../src/kernels/attention.ts";
import { attentionReference, attentionTangentReference } from "../../src/kernels/attention.reference.ts";
import { channelGroupNorm } from "../../src/kernels/channel-group-norm.ts";
import {
  channelGroupNormReference,
  channelGroupNormTangentReference,
} from "../../src/kernels/channel-group-norm.reference.ts";
import { conv3d } from "../../src/kernels/conv3d.ts";
import { conv3dReference } from "../../src/kernels/conv3d.reference.ts";
import { assign, concat, expand, permute, slice } from "../../src/kernels/copy.ts";
import * as elementwise from "../../src/kernels/elementwise.ts";
import { filteredResample } from "../../src/kernels/filtered-resample.ts";
import { filteredResampleReference } from "../../src/kernels/filtered-resample.reference.ts";
import { gatedResidual } from "../../src/kernels/gated-residual.ts";
import { gather } from "../../src/kernels/gather.ts";
import { linear } from "../../src/kernels/linear.ts";
import { linearReference } from "../../src/kernels/linear.reference.ts";
import { modulate } from "../../src/kernels/modulate.ts";
import { modulateReference, modulateTangentReference } from "../../src/kernels/modulate.reference.ts";
import { modulatedNorm, norm, type NormKind } from "../../src/kernels/norm.ts";
import { normReference, normTangentReference, rotateReference } from "../../src/kernels/norm.reference.ts";
import { qkNorm } from "../../src/kernels/qk-norm.ts";
import { rotatePairsReference } from "../../src/kernels/rotary.reference.ts";
import { wideAttention } from "../../src/kernels/wide-attention.ts";
import { constant, result, type Tensor } from "../../src/tensor/tensor.ts";
import { relativeError, uniform } from "../support/numbers.ts";
import { difference, each, matrix, type Rule, testRules } from "../support/rules.ts";

const { add, subtract, multiply, scaleShift, affine, axpy, gatedGelu, sigmoidGate, lerp, gaussian } =
  elementwise;
const ABC = { a: [3, 2, 5], b: [3, 2, 5], c: [3, 2, 5] };
const binary = (
  name: string,
  compute: (a: Tensor, b: Tensor) => Tensor,
  of: (a: number, b: number) => number,
  repeated: boolean,
): Rule => ({
  name: `${name}${repeated ? ", repeated" : ""}`,
  operands: { a: ABC.a, b: repeated ? [5] : ABC.b },
  compute: ({ a, b }) => compute(a, b),
  reference: ({ a, b }) => each(a.length, (i) => of(a[i], b[i % b.length])),
});

const ELEMENTWISE: Rule[] = [
  ...[false, true].flatMap((repeated) => [
    binary("add", add, (a, b) => a + b, repeated),
    binary("subtract", subtract, (a, b) => a - b, repeated),
    binary("multiply", multiply, (a, b) => a * b, repeated),
    binary(
      "axpy",
      (a, b) => axpy(a, -0.3, b),
      (a, b) => a - 0.3 * b,
      repeated,
    ),
    binary("gatedGelu", gatedGelu, (a, b) => a * gelu(b), repeated),
    binary("sigmoidGate", sigmoidGate, (a, b) => a * sigmoid(b), repeated),
    binary(
      "lerp",
      (a, b) => lerp(a, b, 0.2),
      (a, b) => a + 0.2 * (b - a),
      repeated,
    ),
  ]),
  {
    name: "scaleShift",
    operands: { a: ABC.a, b: [5], c: ABC.c },
    compute: ({ a, b, c }) => scaleShift(a, b, c),
    reference: ({ a, b, c }) => each(a.length, (i) => a[i] * b[i % 5] + c[i]),
  },
  {
    name: "gaussian",
    operands: ABC,
    compute: ({ a, b, c }) => gaussian(a, b, c),
    reference: ({ a, b, c }) => each(a.length, (i) => a[i] + Math.exp(b[i] / 2) * c[i]),
  },
  {
    name: "standardize",
    operands: { a: ABC.a, b: [5], c: [5] },
    compute: ({ a, b, c }) => elementwise.standardize(a, b, c, 0.4),
    reference: ({ a, b, c }) => each(a.length, (i) => (a[i] - b[i % 5]) / Math.max(c[i % 5], 0.4)),
  },
  {
    name: "affine",
    operands: { a: ABC.a },
    compute: ({ a }) => affine(a, -1.7, 3),
    reference: ({ a }) => each(a.length, (i) => -1.7 * a[i] + 3),
  },
  {
    name: "clamp",
    operands: { a: [40] },
    compute: ({ a }) => elementwise.clamp(a, -0.5, 1),
    reference: ({ a }) => each(a.length, (i) => Math.min(Math.max(a[i], -0.5), 1)),
  },
  ...Object.keys(ACTIVATIONS).map((name): Rule => ({
    name,
    operands: { a: [200] },
    // Far out too, where exponentials and squares grow.
    compute: ({ a }) => elementwise.activation(affine(a, 6), name as Activation),
    reference: ({ a }) => each(a.length, (i) => activate(6 * a[i], name as Activation)),
  })),
];

const COPIES: Rule[] = [
  {
    name: "permute",
    operands: { x: [2, 3, 4] },
    compute: ({ x }) => permute(x, 2, 0, 1),
    reference: ({ x }) => each(24, (i) => x[((Math.floor(i / 3) % 2) * 3 + (i % 3)) * 4 + Math.floor(i / 6)]),
  },
  {
    name: "slice of an expansion",
    operands: { x: [2, 1, 4] },
    compute: ({ x }) => slice(expand(x, 2, 3, 4), 2, 1, 3),
    reference: ({ x }) => each(12, (i) => x[Math.floor(i / 6) * 4 + 1 + (i % 2)]),
  },
  {
    name: "concat",
    operands: { x: [2, 3], y: [2, 1], z: [2, 2] },
    compute: ({ x, y, z }) => concat([x, y, z], 1),
    reference: ({ x, y, z }) =>
      each(12, (i) => {
        const [b, c] = [Math.floor(i / 6), i % 6];
        return c < 3 ? x[b * 3 + c] : c < 4 ? y[b] : z[b * 2 + c - 4];
      }),
  },
  {
    name: "assign, over what moved and over what did not",
    operands: { x: [6], y: [6] },
    compute: ({ x, y }) => {
      const [a, b] = [add(x, y), multiply(x, y)];
      const target = add(a, b);
      assign(target, multiply(a, a));
      const other = result([6], "target");
      assign(other, b);
      return add(target, other);
    },
    reference: ({ x, y }) => each(6, (i) => (x[i] + y[i]) ** 2 + x[i] * y[i]),
  },
  {
    name: "gather",
    operands: { table: [4, 3] },
    compute: ({ table }) => gather(table, constant([2, 2], Uint32Array.of(3, 0, 1, 3))),
    reference: ({ table }) => each(12, (i) => table[[3, 0, 1, 3][Math.floor(i / 3)] * 3 + (i % 3)]),
  },
];

const [K, N] = [7, 5];
const W = uniform(90, N * K);
const LINEAR: Rule[] = (["identity", "silu", "geluTanh"] as const).flatMap((activation): Rule[] => [
  {
    name: `linear, ${activation}, with bias and residual`,
    operands: { x: [2, 3, K], bias: [N], residual: [2, 3, N] },
    compute: ({ x, bias, residual }, gpu) => linear(x, matrix(gpu, N, K, W), { bias, residual, activation }),
    reference: ({ x, bias, residual }) => linearReference(x, W, 6, K, N, { bias, residual, activation }),
  },
]);
LINEAR.push(
  {
    name: "linear, plain",
    operands: { x: [3, K] },
    compute: ({ x }, gpu) => linear(x, matrix(gpu, N, K, W)),
    reference: ({ x }) => linearReference(x, W, 3, K, N),
  },
  {
    name: "linear, gated, into rows of a larger tensor",
    operands: { x: [4, K], table: [2, N + 3] },
    compute: ({ x, table }, gpu) => {
      const rowOf = constant([4], Uint32Array.of(1, 0, 0, 1));
      const tensor = result([9, N], "rows");
      assign(tensor, zerosOf(9 * N));
      linear(x, matrix(gpu, N, K, W), {
        gate: { table, rowOf, at: 2, shift: 0.5 },
        into: { tensor, firstRow: 3 },
      });
      return tensor;
    },
    reference: ({ x, table }) => {
      const y = linearReference(x, W, 4, K, N);
      return each(9 * N, (i) => {
        const [m, n] = [Math.floor(i / N) - 3, i % N];
        if (m < 0 || m > 3) return 0;
        return y[m * N + n] * sigmoid(table[[1, 0, 0, 1][m] * (N + 3) + 2 + n] + 0.5);
      });
    },
  },
  {
    name: "conv3d, with stride, bias and residual",
    operands: { x: [2, 1, 5, 4, 3], bias: [6], residual: [2, 1, 3, 2, 6] },
    compute: ({ x, bias, residual }, gpu) =>
      conv3d(x, matrix(gpu, 6, 9 * 4, padChannels(uniform(91, 6 * 9 * 3), 3)), {
        ...{ kernel: [1, 3, 3], stride: [1, 2, 2], padding: 1, bias, residual },
      }),
    reference: ({ x, bias, residual }) =>
      conv3dReference(x, [2, 1, 5, 4, 3], uniform(91, 6 * 9 * 3), 6, {
        ...{ kernel: [1, 3, 3], stride: [1, 2, 2], padding: 1, bias, residual },
      }),
  },
  ...(["up", "down"] as const).map((direction): Rule => ({
    name: `filteredResample ${direction}`,
    operands: { x: [2, 4, 6, 3] },
    compute: ({ x }) => filteredResample(x, constant([4, 4], uniform(92, 16)), direction),
    reference: ({ x }) => filteredResampleReference(x, [2, 4, 6, 3], uniform(92, 16), direction),
  })),
);

const zerosOf = (n: number): Tensor => constant([n], new Float32Array(n));

/** Channels of each tap padded with zeros to a multiple of four. */
function padChannels(w: Float32Array, channels: number): Float32Array {
  const wide = Math.ceil(channels / 4) * 4;
  return Float32Array.from({ length: (w.length / channels) * wide }, (_, i) =>
    i % wide < channels ? w[Math.floor(i / wide) * channels + (i % wide)] : 0,
  );
}

const rowsOf = Uint32Array.of(1, 0, 1, 1, 0, 0);
const NORMS: Rule[] = (["layer", "rms", "l2"] as const).flatMap((kind: NormKind): Rule[] =>
  [8, 5, 130].flatMap((D): Rule[] => {
    const epsilon = kind === "l2" ? 0.2 : 1e-3;
    const gains = uniform(93, 2 * D);
    return [
      {
        name: `norm ${kind} of ${D}, far from zero`,
        operands: { x: [2, 3, D] },
        shift: kind === "layer" ? 20 : 0.5,
        compute: ({ x }) =>
          norm(x, {
            ...{ kind, epsilon, weightOffset: 0.3 },
            weight: constant([D], gains.slice(0, D)),
            bias: constant([D], gains.slice(D)),
          }),
        reference: ({ x }) => {
          const y = normReference(x, D, kind, epsilon);
          return each(y.length, (i) => y[i] * (gains[i % D] + 0.3) + gains[D + (i % D)]);
        },
      },
      {
        name: `modulatedNorm ${kind} of ${D}`,
        operands: { x: [2, 3, D], table: [2, 3 * D] },
        compute: ({ x, table }) =>
          modulatedNorm(
            x,
            kind,
            epsilon,
            { table, rowOf: constant([6], rowsOf) },
            { shift: 0, scale: 2 * D },
          ),
        reference: ({ x, table }) => {
          const y = normReference(x, D, kind, epsilon);
          return each(y.length, (i) => {
            const row = rowsOf[Math.floor(i / D)] * 3 * D + (i % D);
            return y[i] * (1 + table[row + 2 * D]) + table[row];
          });
        },
      },
    ];
  }),
);
const CHANNELS = { B: 2, N: 6, C: 12 };
const film = (table: ArrayLike<number>, at: number): Float64Array =>
  each(2 * 12, (i) => table[Math.floor(i / 12) * 25 + at + (i % 12)]);
NORMS.push(
  ...(["identity", "silu", "mish"] as const).map((activation): Rule => {
    const [weight, bias] = [uniform(94, 12), uniform(95, 12)];
    const options = { groups: 3, epsilon: 1e-3, activation };
    return {
      name: `channelGroupNorm, ${activation}, told and with a residual`,
      operands: { x: [2, 6, 12], table: [2, 25], residual: [2, 6, 12] },
      shift: 9,
      compute: ({ x, table, residual }) =>
        channelGroupNorm(x, {
          ...{ ...options, weight: constant([12], weight), bias: constant([12], bias) },
          ...{ film: { table, scale: 13, shift: 1 }, residual },
        }),
      reference: ({ x, table, residual }) =>
        channelGroupNormReference(x, [CHANNELS.B, CHANNELS.N, CHANNELS.C], {
          ...{ ...options, weight, bias, scale: film(table, 13), shift: film(table, 1), residual },
        }),
    };
  }),
  {
    name: "channelGroupNorm, bare",
    operands: { x: [3, 70, 4] },
    compute: ({ x }) => {
      const one = constant([4], new Float32Array(4).fill(1));
      return channelGroupNorm(x, { groups: 1, weight: one, bias: one, epsilon: 1e-5 });
    },
    reference: ({ x }) => {
      const one = [1, 1, 1, 1];
      return channelGroupNormReference(x, [3, 70, 4], { groups: 1, weight: one, bias: one, epsilon: 1e-5 });
    },
  },
  ...[undefined, 3].map((scale): Rule => ({
    name: `modulate, ${scale === undefined ? "shifted" : "scaled too"}`,
    operands: { x: [2, 3, 4], table: [2, 9] },
    compute: ({ x, table }) => modulate(x, { table, scale, shift: 1 }),
    reference: ({ x, table }) => modulateReference(x, [2, 3, 4], { table, scale, shift: 1 }),
  })),
  ...[4, 3].map((D): Rule => ({
    name: `gatedResidual of ${D}`,
    operands: { x: [6, D], branch: [6, D], table: [2, 2 * D] },
    compute: ({ x, branch, table }) => gatedResidual(x, branch, { table, rowOf: constant([6], rowsOf) }, D),
    reference: ({ x, branch, table }) =>
      each(6 * D, (i) => x[i] + table[rowsOf[Math.floor(i / D)] * 2 * D + D + (i % D)] * branch[i]),
  })),
  ...(["none", "halves", "neighbours"] as const).flatMap((pairs) =>
    [8, 6].map((d): Rule => {
      const gain = uniform(96, d);
      const angles = uniform(97, 3 * (d / 2), 3);
      const table = (of: (angle: number) => number) => constant([3, d / 2], angles.map(of));
      return {
        name: `qkNorm of ${d}, turning ${pairs}`,
        operands: { x: [2, 3, 2 * d] },
        compute: ({ x }) => {
          const turned = pairs !== "none" && { cos: table(Math.cos), sin: table(Math.sin), pairs };
          return qkNorm(x, 2, constant([d], gain), 1e-3, turned || undefined);
        },
        reference: ({ x }) => {
          const normed = normReference(x, d, "rms", 1e-3).map((v, i) => v * gain[i % d]);
          if (pairs === "none") return normed;
          return pairs === "halves"
            ? rotateReference(normed, 2, d, 3, angles)
            : rotatePairsReference(normed, angles, { batch: 2, tokens: 3, heads: 2, headDim: d });
        },
      };
    }),
  ),
);

/** Columns `at` to `at + width` of rows of `row` values. */
const columns = (v: ArrayLike<number>, row: number, at: number, width: number): Float64Array =>
  each((v.length / row) * width, (i) => v[Math.floor(i / width) * row + at + (i % width)]);

const ATTENTION: Rule[] = [
  [1, 5, 4],
  [2, 3, 8],
  [3, 6, 6],
  [2, 9, 16],
].map(([heads, tokens, d]): Rule => {
  const D = heads * d;
  return {
    name: `attention of ${heads} × ${d}, packed`,
    operands: { x: [2, tokens, 3 * D] },
    compute: ({ x: tensor }) =>
      attention({ tensor }, { tensor, offset: D }, { tensor, offset: 2 * D }, { heads, headDim: d }),
    reference: ({ x }) => {
      const [q, k, v] = [0, 1, 2].map((i) => columns(x, 3 * D, i * D, D));
      const shape = { batch: 2, queries: tokens, keys: tokens, heads, keyValueHeads: heads, headDim: d };
      return attentionReference(q, k, v, shape);
    },
  };
});
const separate = { batch: 2, queries: 5, keys: 7, heads: 4, keyValueHeads: 2, headDim: 8 };
const mask = Uint32Array.from({ length: 14 }, (_, i) => Number(i % 7 !== 2 && i !== 9));
const relativeBias = uniform(98, 11 * 4);
ATTENTION.push(
  {
    name: "attention, each of q, k, v of its own",
    operands: { q: [2, 5, 32], k: [2, 7, 16], v: [2, 7, 16] },
    compute: ({ q, k, v }) =>
      attention({ tensor: q }, { tensor: k }, { tensor: v }, { heads: 4, keyValueHeads: 2, headDim: 8 }),
    reference: ({ q, k, v }) => attentionReference(q, k, v, separate),
  },
  {
    name: "attention, gated, masked, with a bias",
    operands: { q: [2, 5, 36], kv: [2, 7, 32] },
    compute: ({ q, kv }) =>
      attention(
        { tensor: q },
        { tensor: kv },
        { tensor: kv, offset: 16 },
        {
          ...{ heads: 4, keyValueHeads: 2, headDim: 8, gateAt: 32 },
          ...{ mask: constant([2, 7], mask), relativeBias: constant([11, 4], relativeBias) },
        },
      ),
    reference: ({ q, kv }) =>
      attentionReference(columns(q, 36, 0, 32), columns(kv, 32, 0, 16), columns(kv, 32, 16, 16), {
        ...{ ...separate, mask, relativeBias, gate: columns(q, 36, 32, 4) },
      }),
  },
  {
    name: "attention, causal",
    operands: { q: [1, 6, 5], kv: [1, 6, 10] },
    compute: ({ q, kv }) =>
      attention(
        { tensor: q },
        { tensor: kv },
        { tensor: kv, offset: 5 },
        { heads: 1, headDim: 5, causal: true },
      ),
    reference: ({ q, kv }) => {
      const shape = { batch: 1, queries: 6, keys: 6, heads: 1, keyValueHeads: 1, headDim: 5, causal: true };
      return attentionReference(q, columns(kv, 10, 0, 5), columns(kv, 10, 5, 5), shape);
    },
  },
  ...[2 ** 26, 4 * 7 * 2].map((logitBytes): Rule => ({
    name: `wideAttention, ${logitBytes} bytes of logits`,
    operands: { q: [2, 5, 12], k: [2, 7, 12], v: [2, 7, 14] },
    compute: ({ q, k, v }) =>
      wideAttention({ tensor: q }, { tensor: k }, { tensor: v, offset: 1 }, 12, { logitBytes }),
    reference: ({ q, k, v }) => {
      const shape = { batch: 2, queries: 5, keys: 7, heads: 1, keyValueHeads: 1, headDim: 12 };
      return attentionReference(q, k, columns(v, 14, 1, 12), shape);
    },
  })),
);

// Wider than one invocation's share, so that the last has some of nothing; by one chunk of 16 fours and a part.
ATTENTION.push({
  name: "attention of one head of 80",
  operands: { x: [1, 6, 240] },
  compute: ({ x: tensor }) =>
    attention({ tensor }, { tensor, offset: 80 }, { tensor, offset: 160 }, { heads: 1, headDim: 80 }),
  reference: ({ x }) => {
    const [q, k, v] = [0, 80, 160].map((at) => columns(x, 240, at, 80));
    const shape = { batch: 1, queries: 6, keys: 6, heads: 1, keyValueHeads: 1, headDim: 80 };
    return attentionReference(q, k, v, shape);
  },
});
const PROGRAMS = ["tile", "naive"].flatMap((variant) =>
  ATTENTION.filter(({ name }) => !name.startsWith("wide")).map((rule) => ({
    ...rule,
    name: `${rule.name}, ${variant}`,
    variants: { attention: variant },
  })),
);

describe.each([
  ["elementwise", ELEMENTWISE],
  ["copies", COPIES],
  ["linear maps", LINEAR],
  ["norms and modulation", NORMS],
  ["attention", ATTENTION],
  ["other programs of attention", PROGRAMS],
])("%s", (_, rules) => {
  testRules(rules);
});

describe("the rules as they are written", () => {
  const near = (ours: ArrayLike<number>, truth: ArrayLike<number>) =>
    expect(relativeError(ours, truth)).toBeLessThan(1e-8);

  it("slopes of activations", () => {
    const x = uniform(1, 400, 8);
    for (const name of Object.keys(ACTIVATIONS) as Activation[])
      near(
        Float64Array.from(x, (v) => slope(v, name)),
        difference(
          ({ x: at }) => Float64Array.from(at, (v) => activate(v, name)),
          { x },
          { x: x.map(() => 1) },
        ),
      );
  });

  it.each(["layer", "rms", "l2"] as const)("norm %s", (kind) => {
    const [x, dx] = [uniform(2, 36), uniform(3, 36)];
    x.fill(0.01, 0, 12); // below the floor
    const epsilon = 0.1;
    near(
      normTangentReference(x, dx, 12, kind, epsilon),
      difference(({ x: at }) => normReference(at, 12, kind, epsilon), { x }, { x: dx }),
    );
  });

  it("channelGroupNorm", () => {
    const [x, dx] = [uniform(4, 48), uniform(5, 48)];
    const names = ["scale", "shift", "residual"] as const;
    const told = Object.fromEntries(names.map((n, i) => [n, uniform(6 + i, n === "residual" ? 48 : 12)]));
    const dTold = Object.fromEntries(names.map((n, i) => [n, uniform(16 + i, told[n].length)]));
    const gains = { weight: uniform(7, 6), bias: uniform(8, 6) };
    const options = { ...gains, groups: 2, epsilon: 1e-2, activation: "silu" as const };
    near(
      channelGroupNormTangentReference(x, [2, 4, 6], { ...options, ...told }, { x: dx, ...dTold }),
      difference(
        ({ x: at, ...more }) => channelGroupNormReference(at, [2, 4, 6], { ...options, ...more }),
        { x, ...told },
        { x: dx, ...dTold },
      ),
    );
  });

  it("attention", () => {
    const names = ["q", "k", "v", "gate"] as const;
    const lengths = { q: 320, k: 224, v: 224, gate: 40 };
    const values = Object.fromEntries(names.map((n, i) => [n, uniform(20 + i, lengths[n])]));
    const d = Object.fromEntries(names.map((n, i) => [n, uniform(30 + i, lengths[n])]));
    const { q, k, v, gate } = values;
    near(
      attentionTangentReference([q, k, v], d, { ...separate, mask, gate }),
      difference(
        (at) => attentionReference(at.q, at.k, at.v, { ...separate, mask, gate: at.gate }),
        values,
        d,
      ),
    );
  });

  it("modulate", () => {
    const values = { x: uniform(1, 24), table: uniform(2, 18) };
    const d = { x: uniform(3, 24), table: uniform(4, 18) };
    const told = { scale: 3, shift: 1 };
    near(
      modulateTangentReference(values.x, [2, 3, 4], { table: values.table, ...told }, d),
      difference(({ x, table }) => modulateReference(x, [2, 3, 4], { table, ...told }), values, d),
    );
  });
});
