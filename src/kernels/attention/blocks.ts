/**
 * One call of attention as one dispatch where it can be, else as several: an item at a time, so many queries at a time that no
 * binding is too large and no dispatch takes too long, and parts of the keys, whose results are combined, where an item's keys are larger than a
 * binding or where a variant shares them out.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { recording } from "../../gpu/recording.ts";
import { BYTES_PER_ELEMENT, result, rowStep, type Tensor } from "../../tensor/tensor.ts";
import { around, ranges, type RowRange } from "../rows.ts";
import { combineParts } from "./combine.ts";
import { type AttentionCall, type AttentionVariant, memoryOf, viewOf } from "./program.ts";

/** Floats of a part's row besides its channels: the highest logit and the sum of weights. */
const STATISTICS = 2;

/** Records a call. */
export function inBlocks(variant: AttentionVariant, call: AttentionCall): void {
  const { q, k, v, heads, headDim, memory, out } = call;
  const { gpu } = recording();
  const [batch, queries] = q.tensor.shape;
  const keys = memoryOf(call) + call.keys;
  const flops = 4 * heads * headDim; // of a query and a key
  const fits =
    [q.tensor, k.tensor, v.tensor, out].every(({ bytes }) => bytes <= gpu.maxBindingBytes) &&
    flops * batch * queries * keys <= gpu.dispatchFlops;
  const wanted = variant.keysPerPart?.({ batch, queries, heads, headDim, keys }) ?? keys;
  const all = { from: 0, to: batch };
  const everything = { from: 0, to: queries };
  // A memory is bound as a whole, items and all.
  if ((fits && wanted >= keys) || (memory && batch > 1)) {
    variant.run(call, {
      ...{ items: all, queries: everything, keys: { from: 0, to: keys } },
      into: { tensor: out, at: 0 },
    });
    return;
  }
  const most = memory ? keys : Math.min(itemRows(gpu, k.tensor), itemRows(gpu, v.tensor));
  const blocks = ranges(keys, most);
  const perPart = Math.min(wanted, blocks[0].to);
  const inParts = perPart < keys;
  const parts = blocks.map(({ from, to }) => Math.ceil((to - from) / perPart));
  const count = parts.reduce((a, b) => a + b);
  const pitch = heads * (headDim + STATISTICS);
  const rows = Math.min(
    itemRows(gpu, q.tensor),
    itemRows(gpu, out),
    Math.floor(gpu.dispatchFlops / (flops * blocks[0].to)),
    inParts ? Math.floor(gpu.maxBindingBytes / (BYTES_PER_ELEMENT.f32 * pitch * count)) : queries,
  );
  const together = fits && batch * queries <= rows;
  const items = together ? [all] : Array.from({ length: batch }, (_, b) => ({ from: b, to: b + 1 }));
  for (const item of items) {
    for (const some of together ? [everything] : ranges(queries, Math.max(1, rows))) {
      const asked: RowRange = {
        from: item.from * queries + some.from,
        to: (item.to - 1) * queries + some.to,
      };
      const { view: tensor, at } = around(gpu, out, asked);
      const whole = { items: item, queries: some };
      if (!inParts) {
        variant.run(call, { ...whole, keys: blocks[0], into: { tensor, at } });
        continue;
      }
      const partial = result([count, asked.to - asked.from, pitch], "attention parts");
      let done = 0;
      for (const [i, block] of blocks.entries()) {
        const into = { tensor: partial, at: done * (asked.to - asked.from) * pitch };
        variant.run(call, { ...whole, keys: block, keysPerPart: perPart, into });
        done += parts[i];
      }
      combineParts(partial, call, { tensor, at }, gateOf(gpu, call, asked));
    }
  }
}

/** The gates of the heads of some rows. */
function gateOf(gpu: Gpu, { q, gateAt }: AttentionCall, rows: RowRange) {
  if (gateAt === undefined) return undefined;
  const { view, at } = viewOf(gpu, { tensor: q.tensor, offset: gateAt }, rows);
  return { tensor: view, at };
}

/** Rows in a row that can be bound wherever they begin. */
function itemRows(gpu: Gpu, tensor: Tensor): number {
  if (tensor.bytes <= gpu.maxBindingBytes) return tensor.rows;
  const row = tensor.dim(-1) * BYTES_PER_ELEMENT[tensor.dtype];
  return Math.floor(gpu.maxBindingBytes / row) - (rowStep(tensor) - 1);
}
