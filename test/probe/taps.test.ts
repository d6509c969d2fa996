/** How alike taps are, on the GPU, against closed forms and against the definitions in float64. */
import { describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { TapComparison, type TapsCompared } from "../../src/probe/experiment/tap-comparison.ts";
import { VelocityChange } from "../../src/probe/experiment/velocity-change.ts";
import { sampledRows, shuffles } from "../../src/probe/taps/sample.ts";
import { releaseTensor, writeTensor } from "../../src/tensor/tensor.ts";
import { release, testGpu, upload } from "../support/gpu.ts";
import { uniform } from "../support/numbers.ts";
import { ckaOf, cosineOf, rowsOf } from "./taps-reference.ts";

/** Values (V, N, C) of each tensor of the tap at a step. */
type Step = readonly Float32Array<ArrayBuffer>[];

async function compare(
  gpu: Gpu,
  shapes: readonly (readonly [V: number, N: number, C: number])[],
  steps: readonly Step[],
  most = shapes[0][0],
): Promise<TapsCompared | undefined> {
  const before = gpu.memory.usage.inUse;
  const tap = shapes.map((shape, i) => upload(gpu, shape, steps[0][i]));
  const comparison = await TapComparison.create(gpu, tap, steps.length, most);
  const found = comparison && (await runTwice(comparison));
  comparison?.release();
  release(gpu, ...tap);
  expect(gpu.memory.usage.inUse).toBe(before);
  return found;

  /** A second trajectory finds nothing of the first. */
  async function runTwice(on: TapComparison): Promise<TapsCompared> {
    const once = async (): Promise<TapsCompared> => {
      for (const [k, step] of steps.entries()) {
        tap.forEach((x, i) => writeTensor(gpu, x, step[i]));
        on.take(k, tap);
      }
      return on.finish();
    };
    const first = await once();
    const second = await once();
    expect(second).toEqual(first);
    return second;
  }
}

/** (N, C) by token and channel. */
const matrix = (N: number, C: number, value: (t: number, c: number) => number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: N * C }, (_, i) => value(Math.floor(i / C), i % C));

/** The m-th wave over N tokens: waves are orthogonal to one another and to what is constant. */
const wave = (N: number, m: number) => (t: number) => Math.cos((Math.PI * m * (t + 0.5)) / N);

describe("similarity of two taps", () => {
  const [N, C] = [12, 5];
  const random = uniform(7, N * C);
  const of = (t: number, c: number): number => random[t * C + c];
  // A rotation of the first two channels by 0.7, and a mirror of the third.
  const turned = matrix(N, C, (t, c) => {
    const [cos, sin] = [Math.cos(0.7), Math.sin(0.7)];
    if (c === 0) return cos * of(t, 0) - sin * of(t, 1);
    if (c === 1) return sin * of(t, 0) + cos * of(t, 1);
    return c === 2 ? -of(t, 2) : of(t, c);
  });

  const two = async (x: Float32Array<ArrayBuffer>, y: Float32Array<ArrayBuffer>, n = N, channels = C) => {
    const { cosine, cka, drift } = (await compare(await testGpu(), [[1, n, channels]], [[x], [y]]))!;
    expect([cosine[0], cosine[3], cka[0], cka[3]].every((one) => Math.abs(one - 1) < 1e-6)).toBe(true);
    expect([cosine[1], cka[1]]).toEqual([cosine[2], cka[2]]);
    return { cosine: cosine[1], cka: cka[1], drift: drift[1] };
  };

  it("the same: 1 and 1, and nothing has changed", async () => {
    expect(await two(random, random)).toEqual({ cosine: 1, cka: 1, drift: 0 });
  });

  it("scaled, turned about, and moved from its place", async () => {
    const scaled = await two(
      random,
      random.map((x) => -4 * x),
    );
    expect(scaled.cosine).toBeCloseTo(-1, 6);
    expect(scaled.cka).toBeCloseTo(1, 6);
    expect(scaled.drift).toBeCloseTo(5 / 4, 6);
    // Means over tokens, a channel's each, are none of its business.
    const moved = await two(
      random,
      matrix(N, C, (t, c) => of(t, c) + 100 * (c + 1)),
    );
    expect(moved.cosine).toBeCloseTo(1, 4);
    expect(moved.cka).toBeCloseTo(1, 4);
  });

  it("with channels rotated and mirrored: another cosine, the same CKA", async () => {
    const { cosine, cka } = await two(
      random,
      turned.map((x) => 3 * x),
    );
    expect(cka).toBeCloseTo(1, 5);
    expect(cosine).toBeLessThan(0.9);
    expect(cosine).toBeCloseTo(cosineOf(rowsOf(random, N, C), rowsOf(turned, N, C)), 5);
  });

  it("orthogonal over the tokens: 0 and 0", async () => {
    const { cosine, cka } = await two(
      matrix(N, C, (t, c) => wave(N, c + 1)(t)),
      matrix(N, C, (t, c) => wave(N, c + 1 + C)(t)),
    );
    expect(cosine).toBeCloseTo(0, 6);
    expect(cka).toBeCloseTo(0, 6);
  });

  it("of rank one: products of the cosines of what they are made of", async () => {
    // Tokens (1, 0) and (0.6, 0.8) in two waves, channels (1, 0, …) and (0.28, 0.96, 0, …).
    const { cosine, cka } = await two(
      matrix(N, C, (t, c) => wave(N, 1)(t) * [1, 0, 0, 0, 0][c]),
      matrix(N, C, (t, c) => (0.6 * wave(N, 1)(t) + 0.8 * wave(N, 2)(t)) * [0.28, 0.96, 0, 0, 0][c]),
    );
    expect(cosine).toBeCloseTo(0.6 * 0.28, 6);
    expect(cka).toBeCloseTo(0.6 ** 2, 6);
  });

  it("that do not vary over tokens are like nothing", async () => {
    const { cosine, cka, cosineNull, ckaNull } = (await compare(
      await testGpu(),
      [[1, N, C]],
      [[random], [new Float32Array(N * C).fill(2)]],
    ))!;
    expect([cosine[1], cosine[3], cka[1], cka[3], cosineNull[3], ckaNull[3]]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it.each([
    [2, 3, 40, 70],
    [1, 2, 700, 24],
    [1, 4, 2, 1],
  ])(
    "%i copies, %i steps, %i tokens of %i channels: as defined, and so are the nulls",
    async (V, K, n, c) => {
      const steps = Array.from({ length: K }, (_, k) => [uniform(k + 1, V * n * c).map((x) => x + 3)]);
      const found = (await compare(await testGpu(), [[V, n, c]], steps))!;
      const rows = sampledRows(n, 512);
      expect(found.sample).toEqual({ rows: [Math.min(n, 512)], tokens: [n] });
      for (let v = 0; v < V; v++) {
        const taps = steps.map(([x]) => {
          const all = rowsOf(x.subarray(v * n * c, (v + 1) * n * c), n, c);
          return rows.map((row) => all[row]);
        });
        for (let i = 0; i < K; i++)
          for (let j = i; j < K; j++) {
            const at = (v * K + i) * K + j;
            expect(found.cosine[at]).toBeCloseTo(cosineOf(taps[i], taps[j]), 5);
            expect(found.cka[at]).toBeCloseTo(ckaOf(taps[i], taps[j]), 4);
            const orders = shuffles(rows.length);
            const mean = (of: typeof cosineOf): number =>
              orders.reduce(
                (sum, order) =>
                  sum +
                  of(
                    taps[i],
                    order.map((p) => taps[j][p]),
                  ) /
                    orders.length,
                0,
              );
            expect(found.cosineNull[at]).toBeCloseTo(mean(cosineOf), 5);
            expect(found.ckaNull[at]).toBeCloseTo(mean(ckaOf), 4);
          }
        for (let k = 1; k < K; k++) {
          const [own, before] = [taps[k].flat(), taps[k - 1].flat()];
          const expected = Math.hypot(...own.map((x, i) => x - before[i])) / Math.hypot(...own);
          expect(found.drift[v * K + k]).toBeCloseTo(expected, 5);
        }
        expect(found.drift[v * K]).toBe(Infinity);
      }
    },
  );

  it("of several tensors: the mean over them, and one drift of all", async () => {
    const [a, b] = [uniform(1, 20), uniform(2, 18)];
    const steps = [
      [a, b],
      [a.map((x) => -x), b],
    ];
    const found = (await compare(
      await testGpu(),
      [
        [1, 10, 2],
        [1, 6, 3],
      ],
      steps,
    ))!;
    expect(found.sample).toEqual({ rows: [10, 6], tokens: [10, 6] });
    expect(found.cosine[1]).toBeCloseTo(0, 6);
    expect(found.cka[1]).toBeCloseTo(1, 6);
    const [ours, still] = [Math.hypot(...a), Math.hypot(...b)];
    expect(found.drift[1]).toBeCloseTo((2 * ours) / Math.hypot(ours, still), 6);
  });

  it("takes no more tokens than its budget holds, of every batch the same", async () => {
    const gpu = await testGpu({ maxBindingBytes: 4096 });
    const steps = [[uniform(1, 64 * 4)], [uniform(2, 64 * 4)]];
    const few = (await compare(gpu, [[1, 64, 4]], steps))!;
    // 4·K·(P·C + P²) ≤ 4096
    expect(few.sample.rows).toEqual([20]);
    const fewer = (await compare(gpu, [[1, 64, 4]], steps, 4))!;
    expect(fewer.sample.rows).toEqual([9]);
    expect(await compare(gpu, [[1, 64, 4]], steps, 4000)).toBeUndefined();
  });

  it("is of tensors of tokens only", async () => {
    const gpu = await testGpu();
    const wrong = [[4], [1, 1, 4], [2, 3, 4], [1, 2, 2, 2]].map((shape) =>
      upload(
        gpu,
        shape,
        uniform(
          1,
          shape.reduce((a, b) => a * b),
        ),
      ),
    );
    for (const x of wrong) expect(TapComparison.canCompare([x], 1)).toBe(false);
    expect(TapComparison.canCompare([wrong[2]], 2)).toBe(true);
    expect(TapComparison.canCompare([], 1)).toBe(false);
    release(gpu, ...wrong);
  });
});

describe("sampled rows", () => {
  it("are distinct, ascending, the same every time, and all where they fit", () => {
    for (const [tokens, rows] of [
      [1000, 512],
      [600, 2],
      [5, 9],
    ]) {
      const found = sampledRows(tokens, rows);
      expect(found).toHaveLength(Math.min(tokens, rows));
      expect(new Set(found).size).toBe(found.length);
      expect([...found].sort((a, b) => a - b)).toEqual(found);
      expect(found.every((row) => row >= 0 && row < tokens)).toBe(true);
      expect(sampledRows(tokens, rows)).toEqual(found);
    }
    // A half of the tokens does not come from one half of the clip.
    const early = sampledRows(1000, 500).filter((row) => row < 500).length;
    expect(Math.abs(early - 250)).toBeLessThan(50);
  });
});

describe("the turn of a trajectory", () => {
  const times = [1, 0.7, 0.35, 0.1];

  async function turns(at: (time: number, v: number, i: number) => number, scale?: (time: number) => number) {
    const gpu = await testGpu();
    const [V, n] = [2, 6];
    const before = gpu.memory.usage.inUse;
    const latents = upload(gpu, [V, 3, 2], new Float32Array(V * n));
    const change = await VelocityChange.create(gpu, latents, times.length);
    // Twice, so that a second trajectory knows nothing of the first.
    let found = new Float32Array();
    for (let run = 0; run < 2; run++) {
      for (const [k, time] of times.entries()) {
        const values = Array.from(
          { length: V * n },
          (_, i) => at(time, Math.floor(i / n), i % n) / (scale?.(time) ?? 1),
        );
        writeTensor(gpu, latents, Float32Array.from(values));
        await change.take(k, { latents, time, scale: scale?.(time) });
      }
      found = (await change.finish()) as Float32Array<ArrayBuffer>;
    }
    change.release();
    releaseTensor(gpu, latents);
    expect(gpu.memory.usage.inUse).toBe(before);
    return [0, 1].map((v) => [...found.subarray(v * times.length, (v + 1) * times.length)]);
  }

  it("is nothing on a straight way, however it is scaled and wherever it stops", async () => {
    for (const scale of [undefined, (time: number) => 1 / (1 + 5 * time)])
      for (const [first, second, third, fourth] of await turns(
        (time, v, i) => 3 + time * (i + 1 + v),
        scale,
      )) {
        expect([first, second]).toEqual([Infinity, Infinity]);
        expect(third).toBeLessThan(1e-5);
        expect(fourth).toBeLessThan(1e-5);
      }
  });

  it("is the difference of mean velocities on a bent one", async () => {
    // x = τ² of copy 0 and 5·τ² of copy 1: the mean velocity between two times is their sum.
    for (const [, , third, fourth] of await turns((time, v) => (v === 0 ? 1 : 5) * time ** 2)) {
      expect(third).toBeCloseTo((1 + 0.7 - (0.7 + 0.35)) / (0.7 + 0.35), 5);
      expect(fourth).toBeCloseTo((0.7 + 0.35 - (0.35 + 0.1)) / (0.35 + 0.1), 5);
    }
  });
});
