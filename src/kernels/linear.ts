/**
 * y[m, n] = act(Σ_k x[m, k] · W[n, k] + bias[n]) · σ(M[rowOf[m], at + n] + shift) + residual[m, n]
 *
 * Layout: x (…, K), y (…, N) and W (N, K padded to 8) row-major, see packed-weight.ts. The programs, and why they are as they
 * are, stand in linear/, a file a variant.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import type { PackedWeight } from "../tensor/packed-weight.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import type { Activation } from "./activations.ts";
import { HEADER, type LinearVariant } from "./linear/program.ts";
import { type LinearVariantName, ON_CPU, ON_GPU, shapeClass, VARIANTS } from "./linear/variants.ts";
import { chooseForClass, invocations } from "./variants.ts";

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
  /** a program by name, for the selection of variants; default: the device's */
  readonly variant?: LinearVariantName;
}

/** σ(table[rowOf[m], at + n] + shift) */
export interface LinearGate {
  /** (R, width) */
  readonly table: Tensor;
  /** (rows of x), u32 */
  readonly rowOf: Tensor;
  readonly at: number;
  readonly shift: number;
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
export function linear(x: Tensor, w: PackedWeight, options: LinearOptions = {}): Tensor {
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
  const list = recording();
  const y = into?.tensor ?? result(shape, "linear");
  const kind = gate ? "gated" : "open";
  const light = !gate && (activation === "identity" || activation === "relu");
  const { program, needs }: LinearVariant =
    VARIANTS[
      options.variant ?? chooseForClass(list.gpu, "linear", shapeClass(x.rows), VARIANTS, { ON_CPU, ON_GPU })
    ];
  for (const block of w.blocks) {
    const plan = program({ rows: x.rows, inner: w.in, columns: block.columns });
    const workgroup = plan.workgroup ?? invocations(list.gpu);
    list.dispatch({
      kernel: {
        name: "linear",
        key: `${plan.key} ${w.dtype} ${activation} ${kind}`,
        wgsl: () => (needs?.enable ?? "") + HEADER(plan.x, activation, kind) + plan.body(w.dtype, light),
        inputs: 5,
        outputs: 1,
        constants: { WORKGROUP: workgroup, BIAS: bias ? 1 : 0, RESIDUAL: residual ? 1 : 0 },
      },
      params: {
        u32: [
          ...[x.rows, w.in, w.padded, block.columns, block.first, w.out],
          ...[(into?.firstRow ?? 0) * w.out, gate?.table.dim(-1) ?? 0, gate?.at ?? 0],
        ],
        f32: [gate?.shift ?? 0],
      },
      inputs: [
        x.storage,
        block.data.storage,
        (bias ?? x).storage,
        (gate?.table ?? residual ?? x).storage,
        (gate?.rowOf ?? x).storage,
      ],
      outputs: [y.storage],
      workgroups: Math.ceil(plan.invocations / workgroup),
    });
  }
  return y;
}
