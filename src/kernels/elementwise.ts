/**
 * y[i] = f(a[i], b[i mod |b|], c[i mod |c|])
 *
 * One invocation an element. Operands shorter than the first repeat, so that a vector over the last axis applies to
 * every row. The body is one WGSL expression in a, b, c (and the scalars s, t), which names the operation; its derivatives by a, b and c stand
 * beside it, and make its rule: ẏ = ∂f/∂a·ȧ + ∂f/∂b·ḃ + ∂f/∂c·ċ.
 */
import { UsageError } from "../errors.ts";
import { result, type Tensor } from "../tensor/tensor.ts";
import { ACTIVATIONS, type Activation, SLOPES } from "./activations.ts";
import { dual } from "./jvp.ts";
import { type Form, kernel } from "./kernel.ts";
import { EXP, GELU, GELU_SLOPE, SIGMOID } from "./math.ts";
import { BOUNDS } from "./nan.ts";
import { inRows } from "./rows.ts";

/** The operands by name, in the order of the equation; not all of them where an expression needs fewer. */
const OPERANDS = ["a", "b", "c"] as const;

type Name = (typeof OPERANDS)[number];

/** Derivatives of the expression by its operands, in the same letters. */
type Partials = { readonly a: string } & Readonly<Partial<Record<Name, string>>>;

/** Which operands carry tangents: "ac". */
interface Moves extends Form {
  readonly moved: string;
}

/**
 * An operation on as many tensors as it has derivatives: an expression in a, b, c and the scalars p.s and p.t.
 * @param functions what the expression uses; @param slopes what the derivatives use besides
 */
function elementwise(name: string, expression: string, partials: Partials, functions = "", slopes = "") {
  const names = OPERANDS.filter((n) => partials[n] !== undefined);
  const read = Object.fromEntries(names.map((n) => [n.toUpperCase(), "f32" as const]));
  const params = {
    size: "u32",
    sizeA: "u32",
    sizeB: "u32",
    sizeC: "u32",
    firstA: "u32",
    firstB: "u32",
    firstC: "u32",
    s: "f32",
    t: "f32",
  } as const;
  const at = (n: Name): string => `(p.first${n.toUpperCase()} + index) % p.size${n.toUpperCase()}`;
  const lets = names.map((n) => `  let ${n} = ${n.toUpperCase()}[${at(n)}];`).join("\n");
  const apply = kernel({
    ...{ name, params, read, functions, over: "size" as const },
    write: { y: "f32" },
    main: /* wgsl */ `
${lets}
  y[index] = ${expression};`,
  });
  // ẏ = Σ ∂f/∂x · ẋ over the operands that move.
  const applyBoth = kernel({
    ...{ name: `${name} and tangent`, params, functions: functions + slopes, over: "size" },
    read: ({ moved }: Moves) => ({
      ...read,
      ...Object.fromEntries([...moved].map((n) => [`d${n}`, "f32" as const])),
    }),
    write: { y: "f32", dy: "f32" },
    main: ({ moved }) => /* wgsl */ `
${lets}
  y[index] = ${expression};
  dy[index] = ${[...moved].map((n) => `(${partials[n as Name]}) * d${n}[${at(n as Name)}]`).join(" + ")};`,
  });
  /** The result, and its tangent where an operand moves. */
  const record = (given: readonly Tensor[], dots: readonly (Tensor | undefined)[], s = 0, t = 0) => {
    const [a, b = a, c = a] = given;
    for (const { size } of given) {
      if (a.size % size !== 0)
        throw new UsageError(`${name}: ${size} elements do not repeat evenly over ${a.size}`);
    }
    const like = <T extends Tensor | undefined>(x: T): T =>
      x?.size === a.size ? (x.reshape(...a.shape) as T) : x;
    const whole = [a, b, c].map(like);
    const moved = names.filter((_, i) => dots[i]);
    const y = result(a.shape, name);
    const dy = moved.length > 0 ? result(a.shape, `tangent of ${name}`) : undefined;
    const full = [...whole, ...dots.map(like)].filter((x) => x?.size === a.size);
    inRows(a.rows, { tensors: [...full, y, dy] }, (part, { from }) => {
      // What repeats is bound as a whole, and asked from the block's first element on.
      const some = <T extends Tensor | undefined>(x: T): T => (x?.size === a.size ? part(like(x)) : x);
      const parts = whole.map(some);
      const [firstA, firstB, firstC] = whole.map((x) =>
        x.size === a.size ? 0 : (from * a.dim(-1)) % x.size,
      );
      const [sizeA, sizeB, sizeC] = parts.map((x) => x.size);
      const values = { size: part(y).size, sizeA, sizeB, sizeC, firstA, firstB, firstC, s, t };
      const operands = Object.fromEntries(names.map((n, i) => [n.toUpperCase(), parts[i]]));
      if (!dy) return apply({ params: values, read: operands, write: { y: part(y) } });
      const tangents = Object.fromEntries(moved.map((n) => [`d${n}`, some(dots[OPERANDS.indexOf(n)]!)]));
      applyBoth({
        form: { moved: moved.join("") },
        params: values,
        read: { ...operands, ...tangents },
        write: { y: part(y), dy: part(dy) },
      });
    });
    return { y, dy };
  };
  const both = (given: readonly Tensor[], dots: readonly (Tensor | undefined)[], s = 0, t = 0) => {
    const moved = names.filter((_, i) => dots[i]);
    const only = moved.length === 1 ? dots[OPERANDS.indexOf(moved[0])]! : undefined;
    // What is only added passes its tangent on.
    if (only?.size === given[0].size && partials[moved[0]] === "1.0")
      return { y: record(given, [], s, t).y, dy: only.reshape(...given[0].shape) };
    const { y, dy } = record(given, dots, s, t);
    return { y, dy: dy! };
  };
  const operation = (given: readonly Tensor[], s = 0, t = 0): Tensor =>
    dual(
      given,
      () => record(given, [], s, t).y,
      (dots) => both(given, dots, s, t),
    );
  return Object.assign(operation, { both });
}

const ADD = elementwise("add", "a + b", { a: "1.0", b: "1.0" });
const SUBTRACT = elementwise("subtract", "a - b", { a: "1.0", b: "-1.0" });
const MULTIPLY = elementwise("multiply", "a * b", { a: "b", b: "a" });
const SCALE_SHIFT = elementwise("scaleShift", "a * b + c", { a: "b", b: "a", c: "1.0" });
const AFFINE = elementwise("affine", "a * p.s + p.t", { a: "p.s" });
const AXPY = elementwise("axpy", "a + p.s * b", { a: "1.0", b: "p.s" });
const GATED_GELU = elementwise(
  "gatedGelu",
  "a * gelu(b)",
  { a: "gelu(b)", b: "a * geluSlope(b)" },
  GELU,
  EXP + GELU_SLOPE,
);
const SIGMOID_GATE = elementwise(
  "sigmoidGate",
  "a * sigmoid(b)",
  { a: "sigmoid(b)", b: "a * sigmoid(b) * (1.0 - sigmoid(b))" },
  SIGMOID,
);
const LERP = elementwise("lerp", "select(b - (b - a) * (1.0 - p.s), a + p.s * (b - a), p.s < 0.5)", {
  a: "1.0 - p.s",
  b: "p.s",
});
const GAUSSIAN = elementwise(
  "gaussian",
  "a + exp_(0.5 * b) * c",
  { a: "1.0", b: "0.5 * exp_(0.5 * b) * c", c: "exp_(0.5 * b)" },
  EXP,
);
const STANDARDIZE = elementwise(
  "standardize",
  "(a - b) / atLeast(c, p.s)",
  {
    a: "1.0 / atLeast(c, p.s)",
    b: "-1.0 / atLeast(c, p.s)",
    c: "select(0.0, (b - a) / (c * c), c > p.s)",
  },
  BOUNDS,
);
const CLAMP = elementwise(
  "clamp",
  "atMost(atLeast(a, p.s), p.t)",
  { a: "select(0.0, 1.0, a >= p.s && a <= p.t)" },
  BOUNDS,
);

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
  Object.entries(ACTIVATIONS).map(([name, text]) => [
    name,
    elementwise(name, "activate(a)", { a: "slope(a)" }, text, SLOPES[name as Activation]),
  ]),
);

/** act(a) and act′(a) ⊙ ȧ, for the rules of operations that end in an activation. */
export const activationWithTangent = (a: Tensor, da: Tensor, name: Activation): { y: Tensor; dy: Tensor } =>
  ACTIVATED[name].both([a], [da]);

/** act(a) */
export const activation = (a: Tensor, name: Activation): Tensor => ACTIVATED[name]([a]);
