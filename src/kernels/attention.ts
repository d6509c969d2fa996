/**
 * out[b, i, h] = Σ_j softmax_j(scale · q[b, i, h]·k[b, j, g] + bias[h, j − i]) · v[b, j, g] · σ(gate[b, i, h]),   g = h mod G
 *
 * b batch, i query, j key, h query head, g key-value head (G of them), d head width.
 * Layout: q (B, N, H·d), k and v (B, S, G·d), head-major; each may be a slice of a wider row (rowWidth, offset), so a
 * packed qkv projection needs no copies. An item may have room for more keys than it has (`keys`), as a cache that grows does.
 *
 * Online softmax: running maximum and sum in float32, the logits are never stored. WGSL may assume that infinities do not
 * occur, so masked logits are −max float32, as in the reference: a row whose keys are all masked averages them all. The programs
 * stand in attention/, a file a variant, the rule of tangents in attention/tangent.ts. Where a tensor is larger than a binding, a dispatch would take too long, or few queries meet many
 * keys, a call is several dispatches: attention/blocks.ts.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { inBlocks } from "./attention/blocks.ts";
import type { HeadSlice } from "./attention/program.ts";
import { attendWithTangent } from "./attention/tangent.ts";
import {
  type AttentionVariantName,
  IN_F16,
  ON_CPU,
  ON_GPU,
  shapeClass,
  VARIANTS,
} from "./attention/variants.ts";
import { dual } from "./jvp.ts";
import { chooseForClass } from "./variants.ts";

export type { HeadSlice } from "./attention/program.ts";

export interface AttentionOptions {
  readonly heads: number;
  /** key-value heads; query head h uses key-value head h mod this; default: `heads` */
  readonly keyValueHeads?: number;
  /** width of one head */
  readonly headDim: number;
  /** factor on q·k; default headDim^−½ */
  readonly scale?: number;
  /** S where the keys' and values' tensors have room for more rows an item: the first S of them; default: all */
  readonly keys?: number;
  /** (B, rows of the keys' tensor) u32, 0 = hide this key */
  readonly mask?: Tensor;
  /** (N + S − 1, H): added to the logit of query i and key j at row j − i + N − 1 */
  readonly relativeBias?: Tensor;
  /** hide keys after the query's own position */
  readonly causal?: boolean;
  /** column of H gate logits in the rows of the queries' tensor: each head's output is multiplied by their σ */
  readonly gateAt?: number;
  /** (B, S′, width), laid out as the tensor that holds both keys and values: S′ keys seen before them */
  readonly memory?: Tensor;
  /** a program by name, for autotune; default: the device's */
  readonly variant?: AttentionVariantName;
}

/**
 * Scaled dot-product attention: q (B, N, …), k and v (B, S or more, …) → (B, N, H·d).
 * @throws UsageError when the shapes do not fit together
 */
export function attention(q: HeadSlice, k: HeadSlice, v: HeadSlice, options: AttentionOptions): Tensor {
  const {
    heads,
    headDim,
    keyValueHeads = heads,
    scale = headDim ** -0.5,
    mask,
    relativeBias,
    causal = false,
    gateAt,
    memory,
  } = options;
  const [batch, queries] = q.tensor.shape;
  const rows = k.tensor.dim(1);
  const { keys = rows } = options;
  checkSlice("queries", q, batch, queries, heads * headDim);
  checkSlice("keys", k, batch, rows, keyValueHeads * headDim);
  checkSlice("values", v, batch, rows, keyValueHeads * headDim);
  if (!Number.isInteger(keys) || keys < 1 || keys > rows || (keys < rows && memory))
    throw new UsageError(
      `attention: ${keys} keys of ${showShape(k.tensor.shape)}${memory ? " with a memory, beside which all rows count" : ""}`,
    );
  if (mask && mask.size !== batch * rows) {
    throw new UsageError(`attention: mask ${showShape(mask.shape)} is not (${batch}, ${rows})`);
  }
  if (relativeBias && relativeBias.size !== (queries + keys - 1) * heads) {
    throw new UsageError(
      `attention: bias ${showShape(relativeBias.shape)} is not (${queries + keys - 1}, ${heads})`,
    );
  }
  if (
    memory &&
    (mask || relativeBias || causal || k.tensor !== v.tensor || memory.dim(-1) !== k.tensor.dim(-1))
  ) {
    throw new UsageError(
      `attention: a memory ${showShape(memory.shape)} must be laid out as ${showShape(k.tensor.shape)}, which holds both keys and values, without mask, bias or causality`,
    );
  }
  if (memory && memory.dim(0) !== batch)
    throw new UsageError(`attention: memory ${showShape(memory.shape)} of a batch of ${batch}`);
  if (gateAt !== undefined && gateAt + heads > q.tensor.dim(-1))
    throw new UsageError(`attention: no ${heads} gates at column ${gateAt} of ${showShape(q.tensor.shape)}`);
  if (k.tensor.dtype !== v.tensor.dtype || (k.tensor.dtype === "f16" && memory))
    throw new UsageError(
      `attention: keys are ${k.tensor.dtype}, values ${v.tensor.dtype}; both are the same, and float32 where there is a memory`,
    );
  const call = {
    ...{ q, k, v, keys, heads, keyValueHeads, headDim, scale, mask, bias: relativeBias },
    ...{ causal, gateAt, memory },
  };
  return dual(
    [q.tensor, k.tensor, v.tensor, memory],
    () => {
      const out = result([batch, queries, heads * headDim], "attention");
      // Of a causal mask too, whose hidden half most programs compute.
      recording().flops += 4 * batch * queries * (keys + (memory?.dim(1) ?? 0)) * heads * headDim;
      const kind = shapeClass(queries, keys);
      const { gpu, arithmetic } = recording();
      const order = arithmetic === "f16" ? IN_F16 : { ON_CPU, ON_GPU };
      const name = options.variant ?? chooseForClass(gpu, "attention", kind, VARIANTS, order);
      inBlocks(VARIANTS[name], { ...call, out });
      return out;
    },
    (dots) => attendWithTangent(call, dots),
  );
}

function checkSlice(
  what: string,
  { tensor, offset = 0 }: HeadSlice,
  batch: number,
  rows: number,
  width: number,
): void {
  const { shape } = tensor;
  if (shape.length !== 3 || shape[0] !== batch || shape[1] !== rows || offset + width > shape[2]) {
    throw new UsageError(
      `attention: ${what} ${showShape(shape)} do not hold ${width} columns at ${offset} of ${batch} × ${rows} rows`,
    );
  }
}
