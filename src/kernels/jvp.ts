/**
 * Forward-mode derivatives of what is recorded: beside y = f(x) the tangent ẏ = ∂f/∂x · ẋ, for every operation between them.
 *
 * `jvp(body, tangents)` records `body` as it stands. Every operation of this room with an operand that carries a tangent records its result's as
 * well, by the rule that stands beside its kernel; an operand without one is constant, a known zero. An operation without a rule is refused
 * (gpu/tangents.ts). Outside of `jvp` nothing is recorded that would not be without it.
 *
 * A rule is stated by `withTangent`, where the tangent is made of other operations, or by `dual`, where one kernel makes both. Arithmetic is float32
 * throughout, values included (`Recording.arithmetic`).
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { Tangents } from "../gpu/tangents.ts";
import { result, showShape, Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { inRows } from "./rows.ts";

type Operand = Tensor | undefined;

/** Tangents of operands, in their order; undefined where there is none. */
export type Dots<T extends readonly Operand[]> = { readonly [K in keyof T]: Operand };

/** The tangent of a tensor, a view of the same shape; undefined: none, which is a known zero. */
export function tangentOf(x: Tensor): Tensor | undefined {
  const place = recording().tangents?.of(x.storage);
  return place && new Tensor(x.shape, x.dtype, place.storage, x.offset + place.shift);
}

/** Whether a derivative is being recorded, and one of these operands moves along its direction. */
export function moves(...operands: readonly Operand[]): boolean {
  const { tangents } = recording();
  return tangents !== undefined && !tangents.inside && operands.some((x) => x && tangents.of(x.storage));
}

/**
 * An operation with a rule. @param operands all that may carry a tangent
 * @param value records the result, one tensor or several, where no tangent is asked for
 * @param both records the result and its tangent, of equal shapes; the tangents of the operands are given, at least one of them
 */
export function dual<const T extends readonly Operand[], const Y extends Tensor | readonly Tensor[]>(
  operands: T,
  value: () => Y,
  both: (dots: Dots<T>) => { readonly y: Y; readonly dy: Y },
): Y {
  const { tangents } = recording();
  if (!tangents || !moves(...operands)) return value();
  const dots = operands.map((x) => x && tangentOf(x));
  const known = operands.flatMap((x) => (x ? [x.storage] : []));
  return tangents.accounting(known, () => {
    const { y, dy } = both(dots as Dots<T>);
    const moved = [dy].flat() as readonly Tensor[];
    for (const [i, { storage, offset }] of ([y].flat() as readonly Tensor[]).entries())
      tangents.set(storage, { storage: moved[i].storage, shift: moved[i].offset - offset });
    return y;
  });
}

/** The same where the tangent is made of operations of its own, as for everything linear. */
export function withTangent<const T extends readonly Operand[]>(
  operands: T,
  value: () => Tensor,
  tangent: (dots: Dots<T>) => Tensor,
): Tensor {
  return dual(operands, value, (dots) => ({ y: value(), dy: tangent(dots) }));
}

/** The same where the tangent is the same operation on the operand's. */
export const likewise = (x: Tensor, operation: (x: Tensor) => Tensor): Tensor =>
  withTangent(
    [x],
    () => operation(x),
    ([dx]) => operation(dx!),
  );

/**
 * An operation that writes into part of a tensor which others wrote before, or will: `write` does so. Its tangent is written into the same part
 * of the target's, which is zero elsewhere until somebody writes there.
 * @param tangent writes the tangent; the operands' tangents may all be absent where the target has one, and zeros are written then
 */
export function writeWithTangent<const T extends readonly Operand[]>(
  operands: T,
  target: Tensor,
  write: () => void,
  tangent: (dots: Dots<T>, into: Tensor) => void,
): void {
  const { tangents } = recording();
  if (!tangents || tangents.inside) return write();
  const dots = operands.map((x) => x && tangentOf(x));
  if (dots.every((dot) => !dot) && !tangentOf(target)) return write();
  const known = [target, ...operands].flatMap((x) => (x ? [x.storage] : []));
  tangents.accounting(known, () => {
    write();
    tangent(dots as Dots<T>, ownTangent(target, tangents));
  });
}

/** The tangent of a tensor that is written in place: its own, of zeros where it had none. */
function ownTangent(target: Tensor, tangents: Tangents): Tensor {
  const { storage: primal } = target;
  const place = tangents.of(primal);
  if (place && !tangents.isShared(place.storage)) return tangentOf(target)!;
  const elements = Math.ceil(primal.bytes / 4);
  const before = place && new Tensor([elements], "f32", place.storage, place.shift);
  const own = before ? copied(before) : zeros([elements]);
  tangents.set(primal, { storage: own.storage, shift: 0 });
  return tangentOf(target)!;
}

const fill = kernel({
  name: "fill",
  params: { size: "u32" },
  read: { "x?": "f32" },
  write: { y: "f32" },
  over: "size",
  main: /* wgsl */ `
  y[index] = 0.0;
  if (HAS_X) { y[index] = x[index]; }`,
});

function filled(y: Tensor, x?: Tensor): Tensor {
  const rows = (tensor: Tensor): Tensor => tensor.reshape(-1, 1);
  inRows(y.size, { tensors: [rows(y), x && rows(x)] }, (part) => {
    const some = part(rows(y));
    fill({ params: { size: some.size }, read: { x: x && part(rows(x)) }, write: { y: some } });
  });
  return y;
}

/** Zeros, made anew in every replay. */
export const zeros = (shape: readonly number[]): Tensor => filled(result(shape, "zeros"));

const copied = (x: Tensor): Tensor => filled(result(x.shape, "tangent"), x);

/** A tensor and the direction it is moved in: of one shape, float32. */
export type Moved = readonly [Tensor, Tensor];

/** What tensors become, at any depth of arrays and plain objects; all else stays. */
function everyTensor(value: unknown, become: (x: Tensor) => Tensor): unknown {
  if (value instanceof Tensor) return become(value);
  if (Array.isArray(value)) return value.map((inner) => everyTensor(inner, become));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, everyTensor(inner, become)]));
}

/**
 * Records `body`, and with it the derivative of its result along the direction in which the given tensors move: value f(x), tangent
 * d/dε f(x + ε·ẋ) at ε = 0, which has the form of the value (a tensor or, at any depth of arrays and plain objects, several). What does not depend
 * on them has zeros for a tangent.
 * @throws UsageError inside another derivative; for a tensor that is not a whole storage of float32 or a direction of another shape; from an
 * operation that has no rule
 */
export function jvp<T>(body: () => T, moved: readonly Moved[]): { readonly value: T; readonly tangent: T } {
  const list = recording();
  if (list.tangents)
    throw new UsageError("a derivative inside of another one: second derivatives have no rules");
  const tangents = new Tangents();
  for (const [x, dx] of moved) {
    const { storage, shape, dtype } = x;
    if (x.offset !== 0 || x.bytes !== storage.bytes || dtype !== "f32" || tangents.of(storage))
      throw new UsageError(
        `the tangent of ${showShape(shape)} (${storage.label}): it is given once, and for a whole tensor of float32; this is ${dtype}, ${x.bytes} of ${storage.bytes} bytes`,
      );
    if (showShape(dx.shape) !== showShape(shape) || dx.dtype !== "f32")
      throw new UsageError(
        `${storage.label} is ${showShape(shape)}, its tangent ${showShape(dx.shape)} of ${dx.dtype}; it is float32 of the same shape`,
      );
    tangents.set(storage, { storage: dx.storage, shift: dx.offset });
    tangents.share(dx.storage);
  }
  list.tangents = tangents;
  try {
    const value = body();
    const tangent = everyTensor(value, (y) => tangentOf(y) ?? zeros(y.shape)) as T;
    return { value, tangent };
  } finally {
    list.tangents = undefined;
  }
}
