/**
 * y[m, n] = act(Σ_k x[m, k] · W[n, k] + bias[n]) · σ(M[rowOf[m], at + n] + shift) + residual[m, n]
 *
 * A rule of tangents goes through the same programs: ẏ = act′(h) ⊙ W·ẋ, W read once more. (To read it once, x and ẋ would have to lie together, and pays for
 * fewer than four rows only, where a quad of rows is not full: 1.5 % of a SiT's derivative at two pictures of 64 tokens, by counting.)
 *
 * Layout: x (…, K), y (…, N) and W (N, K padded to 8) row-major, see matrix.ts. The programs, and why they are as they
 * are, stand in linear/, a file a variant.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import type { Matrix } from "../tensor/matrix.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import type { Activation } from "./activations.ts";
import type { LinearGate } from "./linear/program.ts";
import { activationWithTangent, add } from "./elementwise.ts";
import { dual, writeWithTangent, zeros } from "./jvp.ts";
import { kernel } from "./kernel.ts";
import { IN_F16, type LinearVariantName, ON_CPU, ON_GPU, shapeClass, VARIANTS } from "./linear/variants.ts";
import { SIGMOID } from "./math.ts";
import { around, asColumn, inRows } from "./rows.ts";
import { chooseForClass } from "./variants.ts";

export type { LinearGate } from "./linear/program.ts";

export interface LinearOptions {
  /** (N) */
  readonly bias?: Tensor;
  readonly activation?: Activation;
  /** same shape as the result; added after the activation */
  readonly residual?: Tensor;
  /** a gate a channel, by a row of a modulation table; not together with a residual */
  readonly gate?: LinearGate;
  /** where the rows of the result go, when not to a tensor of their own */
  readonly into?: RowsOf;
  /** a program by name, for autotune; default: the device's */
  readonly variant?: LinearVariantName;
}

/** Consecutive rows of a larger tensor, written in place. */
export interface RowsOf {
  readonly tensor: Tensor;
  readonly firstRow: number;
}

/**
 * A linear map over the last axis: (…, K) → (…, N).
 * @throws UsageError when K, the bias, the residual, the gate or the place for the result do not fit
 */
export function linear(x: Tensor, w: Matrix, options: LinearOptions = {}): Tensor {
  const { bias, residual, gate, into, activation = "identity" } = options;
  const shape = [...x.shape.slice(0, -1), w.out];
  if (x.dim(-1) !== w.in) {
    throw new UsageError(
      `linear: input ${showShape(x.shape)} does not end in ${w.in}, the weight's input size`,
    );
  }
  if (bias && bias.size !== w.out)
    throw new UsageError(`linear: bias has ${bias.size} elements, expected ${w.out}`);
  if (residual && residual.size !== x.rows * w.out) {
    throw new UsageError(`linear: residual is ${showShape(residual.shape)}, expected ${showShape(shape)}`);
  }
  if (gate && (residual || activation !== "identity" || gate.rowOf.size !== x.rows)) {
    throw new UsageError(
      `linear: a gate needs a row number for each of ${x.rows} rows (it has ${gate.rowOf.size}), no residual, no activation`,
    );
  }
  if (into && (into.tensor.dim(-1) !== w.out || into.firstRow + x.rows > into.tensor.rows)) {
    throw new UsageError(
      `linear: ${x.rows} rows of ${w.out} from row ${into.firstRow} do not fit into ${showShape(into.tensor.shape)}`,
    );
  }
  const operands = [x, bias, residual, gate?.table] as const;
  if (into) {
    const { tensor: y, firstRow } = into;
    writeWithTangent(
      activation === "identity" ? operands : [],
      y,
      () => product(x, w, options),
      (dots, tensor) => tangentOfProduct(x, w, options, dots, y, { tensor, firstRow }),
    );
    return y;
  }
  return dual(
    operands,
    () => product(x, w, options),
    ([dx, dBias, dResidual, dTable]) => {
      if (activation === "identity") {
        const y = product(x, w, options);
        if (!dx && !dBias && !dTable) return { y, dy: dResidual!.reshape(...shape) };
        return { y, dy: tangentOfProduct(x, w, options, [dx, dBias, dResidual, dTable], y) };
      }
      const h = product(x, w, { ...options, activation: "identity", residual: undefined });
      const dh = product(dx ?? zeros(x.shape), w, { bias: dBias });
      const { y, dy } = activationWithTangent(h, dh, activation);
      const sum = (a: Tensor, b?: Tensor): Tensor => (b ? add(a, b) : a);
      return { y: sum(y, residual), dy: sum(dy, dResidual) };
    },
  );
}

/** σ of a gate that moves: ẏ += y · (1 − σ(g)) · ġ, for y = h · σ(g). */
const gateMoves = kernel({
  name: "linear, gate's tangent",
  params: { size: "u32", width: "u32", start: "u32", gateWidth: "u32", gateAt: "u32", gateShift: "f32" },
  read: { y: "f32", table: "f32", dTable: "f32", rowOf: "u32" },
  write: { dy: "f32" },
  over: "size",
  functions: SIGMOID,
  main: /* wgsl */ `
  let gate = rowOf[index / p.width] * p.gateWidth + p.gateAt + index % p.width;
  let at = p.start + index;
  dy[at] += y[at] * (1.0 - sigmoid(table[gate] + p.gateShift)) * dTable[gate];`,
});

/** ẏ = (W·ẋ + the bias's) · σ(g) + y · (1 − σ(g)) · ġ + the residual's, without an activation; written to `into` where that is given. */
function tangentOfProduct(
  x: Tensor,
  w: Matrix,
  { gate, variant }: LinearOptions,
  [dx, bias, residual, dTable]: readonly (Tensor | undefined)[],
  y: Tensor,
  into?: RowsOf,
): Tensor {
  const dy = product(dx ?? zeros(x.shape), w, { bias, residual, gate, into, variant });
  if (gate && dTable)
    gateMoves({
      params: {
        ...{ size: x.rows * w.out, width: w.out, start: (into?.firstRow ?? 0) * w.out },
        ...{ gateWidth: gate.table.dim(-1), gateAt: gate.at, gateShift: gate.shift },
      },
      read: { y, table: gate.table, dTable, rowOf: gate.rowOf },
      write: { dy },
    });
  return dy;
}

/** The operands fit together. */
function product(x: Tensor, w: Matrix, options: LinearOptions): Tensor {
  const { bias, residual, gate, into, activation = "identity" } = options;
  const shape = [...x.shape.slice(0, -1), w.out];
  const y = into?.tensor ?? result(shape, "linear");
  recording().flops += 2 * x.rows * w.in * w.out;
  const { gpu, arithmetic } = recording();
  const order = arithmetic === "f16" ? IN_F16 : { ON_CPU, ON_GPU };
  const name = options.variant ?? chooseForClass(gpu, "linear", shapeClass(x.rows, w.out), VARIANTS, order);
  const { in: inner, padded, dtype } = w;
  const rowOf = gate && asColumn(gate.rowOf);
  const firstRow = into?.firstRow ?? 0;
  for (const block of w.blocks) {
    // Of a result that is part of a larger tensor only the width counts here: its rows begin elsewhere.
    const cost = { tensors: [x, y, residual?.reshape(-1, w.out), rowOf], flops: 2 * inner * block.columns };
    inRows(x.rows, cost, (part, { from, to }) => {
      const out = around(gpu, y, { from: firstRow + from, to: firstRow + to });
      VARIANTS[name].run({
        ...{ x: part(x), inner, padded, dtype, block, activation, bias },
        residual: part(residual?.reshape(-1, w.out)),
        gate: gate && { ...gate, rowOf: part(rowOf!) },
        ...{ y: out.view, start: out.at },
      });
    });
  }
  return y;
}
