/**
 * y[i] = f(a[i], b[i mod |b|], c[i mod |c|])
 *
 * One invocation an element. Operands shorter than the first repeat, so that a vector over the last axis applies to
 * every row. The body is one WGSL expression in a, b, c (and the scalars s, t), which names the operation.
 */
import { UsageError } from "../errors.ts";
import { result, type Tensor } from "../tensor/tensor.ts";
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { EXP, GELU, SIGMOID } from "./math.ts";
import { BOUNDS } from "./nan.ts";
import { kernel } from "./kernel.ts";
import { inRows } from "./rows.ts";

/** The operands by name, in the order of the equation; not all of them where an expression needs fewer. */
const OPERANDS = ["A", "B", "C"] as const;

/** An operation on `operands` tensors: an expression in a, b, c and the scalars p.s and p.t. */
function elementwise(name: string, operands: 1 | 2 | 3, expression: string, functions = "") {
  const names = OPERANDS.slice(0, operands);
  const apply = kernel({
    name,
    params: {
      ...{
        size: "u32",
        sizeA: "u32",
        sizeB: "u32",
        sizeC: "u32",
        firstA: "u32",
        firstB: "u32",
        firstC: "u32",
      },
      ...{ s: "f32", t: "f32" },
    },
    read: Object.fromEntries(names.map((n) => [n, "f32" as const])),
    write: { y: "f32" },
    over: "size",
    functions,
    main: /* wgsl */ `
${names.map((n) => `  let ${n.toLowerCase()} = ${n}[(p.first${n} + index) % p.size${n}];`).join("\n")}
  y[index] = ${expression};`,
  });
  return (given: readonly Tensor[], s = 0, t = 0): Tensor => {
    const [a, b = a, c = a] = given;
    for (const { size } of given) {
      if (a.size % size !== 0)
        throw new UsageError(`${name}: ${size} elements do not repeat evenly over ${a.size}`);
    }
    const y = result(a.shape, name);
    const like = (x: Tensor): Tensor => (x.size === a.size ? x.reshape(...a.shape) : x);
    const whole = [a, b, c].map(like);
    inRows(a.rows, { tensors: [...whole.filter((x) => x.size === a.size), y] }, (part, { from }) => {
      // What repeats is bound as a whole, and asked from the block's first element on.
      const parts = whole.map((x) => (x.size === a.size ? part(x) : x));
      const [firstA, firstB, firstC] = parts.map((x, i) =>
        x === whole[i] ? (from * a.dim(-1)) % x.size : 0,
      );
      const [sizeA, sizeB, sizeC] = parts.map((x) => x.size);
      apply({
        params: { size: part(y).size, sizeA, sizeB, sizeC, firstA, firstB, firstC, s, t },
        read: Object.fromEntries(names.map((n, i) => [n, parts[i]])),
        write: { y: part(y) },
      });
    });
    return y;
  };
}

const ADD = elementwise("add", 2, "a + b");
const SUBTRACT = elementwise("subtract", 2, "a - b");
const MULTIPLY = elementwise("multiply", 2, "a * b");
const SCALE_SHIFT = elementwise("scaleShift", 3, "a * b + c");
const AFFINE = elementwise("affine", 1, "a * p.s + p.t");
const AXPY = elementwise("axpy", 2, "a + p.s * b");
const GATED_GELU = elementwise("gatedGelu", 2, "a * gelu(b)", GELU);
const SIGMOID_GATE = elementwise("sigmoidGate", 2, "a * sigmoid(b)", SIGMOID);
const LERP = elementwise("lerp", 2, "select(b - (b - a) * (1.0 - p.s), a + p.s * (b - a), p.s < 0.5)");
const GAUSSIAN = elementwise("gaussian", 3, "a + exp_(0.5 * b) * c", EXP);
const STANDARDIZE = elementwise("standardize", 3, "(a - b) / atLeast(c, p.s)", BOUNDS);
const CLAMP = elementwise("clamp", 1, "atMost(atLeast(a, p.s), p.t)", BOUNDS);

/** a + b; b repeats over the leading axes of a */
export const add = (a: Tensor, b: Tensor): Tensor => ADD([a, b]);

/** a − b */
export const subtract = (a: Tensor, b: Tensor): Tensor => SUBTRACT([a, b]);

/** a ⊙ b */
export const multiply = (a: Tensor, b: Tensor): Tensor => MULTIPLY([a, b]);

/** a ⊙ b + c */
export const scaleShift = (a: Tensor, b: Tensor, c: Tensor): Tensor => SCALE_SHIFT([a, b, c]);

/** scale · a + shift with two numbers */
export const affine = (a: Tensor, scale: number, shift = 0): Tensor => AFFINE([a], scale, shift);

/** a + s · b with one number */
export const axpy = (a: Tensor, s: number, b: Tensor): Tensor => AXPY([a, b], s);

/** a ⊙ gelu(b) */
export const gatedGelu = (a: Tensor, b: Tensor): Tensor => GATED_GELU([a, b]);

/** a ⊙ σ(b) */
export const sigmoidGate = (a: Tensor, b: Tensor): Tensor => SIGMOID_GATE([a, b]);

/** a + s · (b − a), from the nearer end, as torch.lerp does */
export const lerp = (a: Tensor, b: Tensor, s: number): Tensor => LERP([a, b], s);

/** mean + e^(½·logVariance) · draw: a sample of a Gaussian from one of the standard Gaussian */
export const gaussian = (mean: Tensor, logVariance: Tensor, draw: Tensor): Tensor =>
  GAUSSIAN([mean, logVariance, draw]);

/** (a − mean) / max(std, floor) */
export const standardize = (a: Tensor, mean: Tensor, std: Tensor, floor: number): Tensor =>
  STANDARDIZE([a, mean, std], floor);

/** a limited to [low, high] */
export const clamp = (a: Tensor, low: number, high: number): Tensor => CLAMP([a], low, high);

const ACTIVATED = Object.fromEntries(
  Object.entries(ACTIVATIONS).map(([name, text]) => [name, elementwise(name, 1, "activate(a)", text)]),
);

/** act(a) */
export const activation = (a: Tensor, name: Activation): Tensor => ACTIVATED[name]([a]);
