/**
 * y[m, n] = act(Σ_k x[m, k] · W[n, k] + bias[n]) · σ(M[rowOf[m], at + n] + shift) + residual[m, n]
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
import { IN_F16, type LinearVariantName, ON_CPU, ON_GPU, shapeClass, VARIANTS } from "./linear/variants.ts";
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
  const y = into?.tensor ?? result(shape, "linear");
  recording().flops += 2 * x.rows * w.in * w.out;
  const { gpu } = recording();
  const order = gpu.arithmetic === "f16" ? IN_F16 : { ON_CPU, ON_GPU };
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
