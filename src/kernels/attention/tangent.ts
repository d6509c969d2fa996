/**
 * attention.ts with its tangent in one stream over the keys: with s the logit, ṡ = scale · (q̇·k + q·k̇) and e = exp(s − highest) the sums
 *
 *   ℓ = Σ e,   b = Σ e·ṡ,   A = Σ e·v,   E = Σ e·(ṡ·v + v̇)        all shrunk alike when a higher logit comes
 *   out = A/ℓ · σ(g),   its tangent (E/ℓ − A/ℓ · b/ℓ) · σ(g) + A/ℓ · σ(g)·(1 − σ(g)) · ġ
 *
 * The running maximum needs no tangent. A hidden key's logit is a constant. Mask and bias are constants; queries, keys, values and gates may move.
 * Keys and values that lie in one tensor are bound once, which leaves room for mask and bias among the eight buffers of every device.
 *
 * Programs: tangent-quads.ts where an adapter that is a processor has subgroups, else tangent-tile.ts, which with one query and one four an
 * invocation is the naive one.
 */
import { UsageError } from "../../errors.ts";
import { recording } from "../../gpu/recording.ts";
import { result, type Tensor } from "../../tensor/tensor.ts";
import { ranges } from "../rows.ts";
import { SUBGROUPS } from "../variants.ts";
import type { AttentionCall } from "./program.ts";
import { planQuads, quads as inQuads } from "./tangent-quads.ts";
import { planTile, tile as inTiles } from "./tangent-tile.ts";

/** Programs, what an invocation owns, and how many of them share a piece of work. */
const PROGRAMS = {
  quads: { program: inQuads, plan: planQuads, lanes: 4 },
  tile: { program: inTiles, plan: planTile, lanes: 1 },
  naive: { program: inTiles, plan: () => ({ per: 1, wide: 1 }), lanes: 1 },
} as const;

/** What stands in for the programs of attention that are forced by name (`GpuOptions.variants`). */
const FORCED: Readonly<Record<string, keyof typeof PROGRAMS | undefined>> = { naive: "naive", tile: "tile" };

/**
 * A call and its tangent; those of queries, keys and values where they have any, at least one.
 * @throws UsageError for a memory, halves, or mask and bias where keys and values are not columns of one tensor
 */
export function attendWithTangent(
  call: Omit<AttentionCall, "out">,
  [dq, dk, dv]: readonly (Tensor | undefined)[],
): { readonly y: Tensor; readonly dy: Tensor } {
  const {
    q,
    k,
    v,
    keys,
    heads,
    keyValueHeads,
    headDim: dim,
    scale,
    mask,
    bias,
    causal,
    gateAt,
    memory,
  } = call;
  const packed = k.tensor.storage === v.tensor.storage && k.tensor.offset === v.tensor.offset;
  if (memory || k.tensor.dtype !== "f32" || (!packed && (mask ?? bias)))
    throw new UsageError(
      "attention: there is no rule for the tangent of a call with a memory, keys in half precision, or a mask or bias beside keys and values that are not columns of one tensor",
    );
  const { gpu } = recording();
  const [batch, queries] = q.tensor.shape;
  const places = [q, k, v].flatMap(({ tensor, offset = 0 }) => [tensor.dim(-1), offset]);
  const element = [dim, ...places].every((n) => n % 4 === 0) ? "vec4f" : "f32";
  const quads = Math.ceil(dim / 4);
  const able =
    gpu.adapter.software && SUBGROUPS.features!.every((feature) => gpu.device.features.has(feature));
  const name = FORCED[gpu.variants.attention] ?? (able ? "quads" : "tile");
  const { program, plan, lanes } = PROGRAMS[name];
  const { per, wide } = plan(queries, quads);
  const chunks = Math.ceil(quads / wide);
  const work = batch * heads * chunks * Math.ceil(queries / (lanes * per));
  const made = (name: string): Tensor => result([batch, queries, heads * dim], name);
  const [y, dy] = [made("attention"), made("tangent of attention")];
  recording().flops += 12 * batch * queries * keys * heads * dim;
  const most = Math.floor(gpu.dispatchFlops / (12 * lanes * per * keys * dim));
  for (const { from, to } of ranges(work, Math.max(1, most))) {
    program({
      form: { element, packed, per, quads, wide },
      constants: { CAUSAL: causal, GATED: gateAt !== undefined },
      params: {
        ...{ batch, queries, rows: k.tensor.dim(1), keys, heads, kvHeads: keyValueHeads, dim },
        ...{ qWidth: q.tensor.dim(-1), qAt: q.offset ?? 0, kWidth: k.tensor.dim(-1), kAt: k.offset ?? 0 },
        ...{ vWidth: v.tensor.dim(-1), vAt: v.offset ?? 0, chunks },
        ...{ gateAt: gateAt ?? 0, first: from, end: to, scale },
      },
      read: { q: q.tensor, k: k.tensor, dq, dk, ...(packed ? { mask, bias } : { v: v.tensor, dv }) },
      write: { out: y, dOut: dy },
      invocations: (to - from) * lanes,
    });
  }
  return { y, dy };
}
