/**
 * A rule of tangents checked: the tangent that is recorded against the central difference of a float64 reference along the same direction, with every choice
 * of operands that move. (Steps of 1e-5 leave about 1e-10 of the difference's own error.)
 */
import { afterAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { record } from "../../src/gpu/recording.ts";
import { jvp } from "../../src/kernels/jvp.ts";
import { Matrix } from "../../src/tensor/matrix.ts";
import { readTensor, type Tensor } from "../../src/tensor/tensor.ts";
import { release, testGpu, upload } from "./gpu.ts";
import { relativeError, uniform } from "./numbers.ts";

export type Arrays = Readonly<Record<string, ArrayLike<number>>>;
type Tensors = Readonly<Record<string, Tensor>>;

export interface Rule {
  readonly name: string;
  /** shapes of the operands, or their values too */
  readonly operands: Readonly<Record<string, readonly number[]>>;
  /** which of them move, all together and each alone; default: all */
  readonly moving?: readonly string[];
  readonly shift?: number;
  /** programs to be used, by kernel */
  readonly variants?: Readonly<Record<string, string>>;
  readonly compute: (t: Tensors, gpu: Gpu) => Tensor;
  readonly reference: (v: Arrays) => ArrayLike<number>;
}

const matrices: [Gpu, Matrix][] = [];
afterAll(() => matrices.forEach(([gpu, matrix]) => matrix.release(gpu)));

/** A weight that lives as long as the tests of a file. */
export function matrix(gpu: Gpu, out: number, inner: number, values: Float32Array): Matrix {
  const made = new Matrix(gpu, out, inner, "f32", "weight");
  made.upload(gpu, values);
  matrices.push([gpu, made]);
  return made;
}

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const alongside = (v: ArrayLike<number>, h: number, d?: ArrayLike<number>): Float64Array =>
  Float64Array.from({ length: v.length }, (_, i) => v[i] + h * (d?.[i] ?? 0));

/** (f(x + h·ẋ) − f(x − h·ẋ)) / 2h */
export function difference(reference: Rule["reference"], values: Arrays, directions: Arrays): Float64Array {
  const h = 1e-5;
  const at = (sign: number) =>
    reference(
      Object.fromEntries(
        Object.entries(values).map(([name, v]) => [name, alongside(v, sign * h, directions[name])]),
      ),
    );
  const [after, before] = [at(1), at(-1)];
  return Float64Array.from({ length: after.length }, (_, i) => (after[i] - before[i]) / (2 * h));
}

async function check(rule: Rule, movers: readonly string[]): Promise<void> {
  const gpu = await testGpu({ variants: rule.variants });
  const entries = Object.entries(rule.operands);
  const values = Object.fromEntries(
    entries.map(([name, shape], i) => [
      name,
      uniform(i + 1, size(shape), 1.5).map((v) => v + (name === "x" ? (rule.shift ?? 0) : 0)),
    ]),
  );
  const directions = Object.fromEntries(
    movers.map((name, i) => [name, uniform(i + 50, values[name].length)]),
  );
  const tensors = Object.fromEntries(
    entries.map(([name, shape]) => [name, upload(gpu, shape, values[name])]),
  );
  const dots = Object.fromEntries(
    movers.map((name) => [name, upload(gpu, rule.operands[name], directions[name])]),
  );
  const replay = await record(gpu, rule.name, () =>
    jvp(
      () => rule.compute(tensors, gpu),
      movers.map((name) => [tensors[name], dots[name]] as const),
    ),
  );
  await replay.run();
  const { value, tangent } = replay.outputs;
  const [y, dy] = [await readTensor(gpu, value), await readTensor(gpu, tangent)];
  replay.dispose();
  release(gpu, ...Object.values(tensors), ...Object.values(dots));
  expect(relativeError(y, rule.reference(values)), "value").toBeLessThan(2e-6);
  expect(relativeError(dy, difference(rule.reference, values, directions)), "tangent").toBeLessThan(4e-6);
}

/** All together, and each alone. */
const choices = ({ operands, moving = Object.keys(operands) }: Rule): (readonly string[])[] =>
  moving.length > 1 ? [moving, ...moving.map((name) => [name])] : [moving];

/** An array of what each element is. */
export const each = (length: number, of: (i: number) => number): Float64Array =>
  Float64Array.from({ length }, (_, i) => of(i));

/** Tests of rules, each with all operands that move together and alone. */
export const testRules = (rules: readonly Rule[]): void =>
  describe.each(rules)("$name", (rule) => {
    it.each(choices(rule).map((moved) => [moved.join(" and "), moved] as const))("%s", (_name, moved) =>
      check(rule, moved),
    );
  });
