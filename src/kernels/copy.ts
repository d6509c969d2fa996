/**
 * y[strided] = x[strided]: one kernel for everything that only moves elements. Source and target are walked over the
 * same box of up to eight axes, each with its own strides and start; that is a permutation, a slice, a concatenation,
 * a repetition (stride 0), patching and unpatching.
 */
import { UsageError } from "../errors.ts";
import { result, type Shape, showShape, sizeOf, type Tensor } from "../tensor/tensor.ts";
import { likewise, withTangent, writeWithTangent, zeros } from "./jvp.ts";
import { kernel } from "./kernel.ts";

const AXES = 8;

const copy = kernel({
  name: "copy",
  params: {
    ...{ size: "u32", readAt: "u32", writeAt: "u32", axes: "u32" },
    ...{ box: "array<vec4u, 2>", readStride: "array<vec4u, 2>", writeStride: "array<vec4u, 2>" },
  },
  read: { x: "u32" },
  write: { y: "u32" },
  over: "size",
  main: /* wgsl */ `
  var rest = index;
  var readAt = p.readAt;
  var writeAt = p.writeAt;
  for (var a = p.axes - 1u; a > 0u; a--) {
    let extent = p.box[a / 4u][a % 4u];
    let outer = rest / extent;
    let at = rest - outer * extent;
    rest = outer;
    readAt += at * p.readStride[a / 4u][a % 4u];
    writeAt += at * p.writeStride[a / 4u][a % 4u];
  }
  readAt += rest * p.readStride[0][0];
  writeAt += rest * p.writeStride[0][0];
  y[writeAt] = x[readAt];`,
});

/** Row-major strides of a shape, in elements. */
export function strides(shape: Shape): number[] {
  const s = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) s[i] = s[i + 1] * shape[i + 1];
  return s;
}

interface Walk {
  readonly start?: number;
  readonly strides: readonly number[];
}

interface Axis {
  readonly extent: number;
  readonly from: number;
  readonly to: number;
}

/** The same walk over as few axes as possible: those of one element go, neighbours that lie behind one another become one. */
function merged(box: Shape, from: readonly number[], to: readonly number[]): Axis[] {
  const axes: Axis[] = [];
  for (const [a, extent] of box.entries()) {
    const outer = axes.at(-1);
    if (extent === 1) continue;
    const behind = outer && outer.from === extent * from[a] && outer.to === extent * to[a];
    if (behind) axes.pop();
    axes.push({ extent: behind ? outer.extent * extent : extent, from: from[a], to: to[a] });
  }
  return axes.length > 0 ? axes : [{ extent: 1, from: 0, to: 0 }];
}

/** Copies a box of elements from `x` into `y`, both walked by strides; elements of `y` outside stay. */
export function copyBox(x: Tensor, y: Tensor, box: Shape, from: Walk, to: Walk): void {
  const axes = merged(box, from.strides, to.strides);
  if (axes.length > AXES) throw new UsageError(`copy: ${axes.length} axes, at most ${AXES} are supported`);
  const filled = (part: keyof Axis): number[] => [
    ...axes.map((axis) => axis[part]),
    ...new Array<number>(AXES - axes.length).fill(0),
  ];
  writeWithTangent(
    [x],
    y,
    () =>
      copy({
        params: {
          ...{ size: sizeOf(box), readAt: from.start ?? 0, writeAt: to.start ?? 0, axes: axes.length },
          ...{ box: filled("extent"), readStride: filled("from"), writeStride: filled("to") },
        },
        read: { x },
        write: { y },
      }),
    // What is constant has a tangent of zeros.
    ([dx], dy) => copyBox(dx ?? zeros([1]), dy, box, dx ? from : { strides: box.map(() => 0) }, to),
  );
}

/** Axes reordered: result axis i is input axis `axes[i]`. */
export const permute = (x: Tensor, ...axes: number[]): Tensor =>
  likewise(x, (x) => {
    const from = strides(x.shape);
    const shape = axes.map((a) => x.shape[a]);
    const y = result(shape, "permute", x.dtype);
    copyBox(x, y, shape, { strides: axes.map((a) => from[a]) }, { strides: strides(shape) });
    return y;
  });

/** Elements `start` to `end` (exclusive) of one axis. */
export function slice(x: Tensor, axis: number, start: number, end: number): Tensor {
  if (start < 0 || end > x.shape[axis] || start >= end) {
    throw new UsageError(`slice: ${start} to ${end} of axis ${axis} of ${showShape(x.shape)}`);
  }
  return likewise(x, (x) => {
    const from = strides(x.shape);
    const shape = x.shape.map((n, a) => (a === axis ? end - start : n));
    const y = result(shape, "slice", x.dtype);
    copyBox(x, y, shape, { start: start * from[axis], strides: from }, { strides: strides(shape) });
    return y;
  });
}

/** Tensors joined along one axis; the others must agree. */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  if (tensors.length === 1) return tensors[0];
  return withTangent(
    tensors,
    () => joined(tensors, axis),
    (dots) =>
      joined(
        tensors.map(({ shape }, i) => dots[i] ?? zeros(shape)),
        axis,
      ),
  );
}

function joined(tensors: readonly Tensor[], axis: number): Tensor {
  const [first] = tensors;
  const total = tensors.reduce((n, t) => n + t.shape[axis], 0);
  const shape = first.shape.map((n, a) => (a === axis ? total : n));
  const y = result(shape, "concat", first.dtype);
  const to = strides(shape);
  let start = 0;
  for (const t of tensors) {
    if (t.shape.length !== shape.length || t.shape.some((n, a) => a !== axis && n !== shape[a])) {
      throw new UsageError(
        `concat along axis ${axis}: ${tensors.map((u) => showShape(u.shape)).join(" and ")}`,
      );
    }
    copyBox(t, y, t.shape, { strides: strides(t.shape) }, { start: start * to[axis], strides: to });
    start += t.shape[axis];
  }
  return y;
}

/** Axes of length 1 repeated to `shape`. */
export const expand = (x: Tensor, ...shape: number[]): Tensor =>
  likewise(x, (x) => {
    const from = strides(x.shape).map((s, a) => (x.shape[a] === 1 && shape[a] !== 1 ? 0 : s));
    const y = result(shape, "expand", x.dtype);
    copyBox(x, y, shape, { strides: from }, { strides: strides(shape) });
    return y;
  });

/** Overwrites `target` with the elements of `x`, in order. */
export function assign(target: Tensor, x: Tensor): void {
  if (target.size !== x.size) {
    throw new UsageError(`assign: ${showShape(x.shape)} to ${showShape(target.shape)}`);
  }
  copyBox(x, target, [x.size], { strides: [1] }, { strides: [1] });
}
