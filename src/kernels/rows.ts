/**
 * Row blocks: an operation on rows that know nothing of one another runs on some of them at a time where a tensor is larger than one
 * binding (128 MiB on small adapters; 19,200 tokens of 2048 channels are 150 MiB), or where one dispatch would take so long that a
 * watchdog ends it. Blocks are views of the same memory (`rowsOf`), so nothing is copied. Where everything fits there is one block, and
 * it is the whole.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { recording } from "../gpu/recording.ts";
import { BYTES_PER_ELEMENT, rowsOf, rowStep, type Tensor } from "../tensor/tensor.ts";

/** Blocks are multiples of this where they can be: no tile of a matrix product straddles two of them. */
const TILE = 128;

/** Rows `from` to `to`, exclusive. */
export interface RowRange {
  readonly from: number;
  readonly to: number;
}

/** 0 to `rows` in ranges of at most `most`, as equal as multiples of `step` allow. */
export function ranges(rows: number, most: number, step = 1): RowRange[] {
  if (rows <= most) return [{ from: 0, to: rows }];
  const multiple = most >= TILE && TILE % step === 0 ? TILE : step;
  const largest = Math.max(multiple, Math.floor(most / multiple) * multiple);
  const even = Math.ceil(Math.ceil(rows / Math.ceil(rows / largest)) / multiple) * multiple;
  const each = Math.min(largest, even);
  return Array.from({ length: Math.ceil(rows / each) }, (_, i) => ({
    from: i * each,
    to: Math.min(rows, (i + 1) * each),
  }));
}

/** What rows cost: every one of `tensors` is bound, and a dispatch does `flops` operations a row. */
export interface RowCost {
  /** of as many rows each, their axes but the last flattened */
  readonly tensors: readonly (Tensor | undefined)[];
  readonly flops?: number;
  /** bytes of a row of what is made on the way, of which at most `TRANSIENT_BYTES` shall exist at a time */
  readonly transient?: number;
}

/** The least binding of any adapter. */
const TRANSIENT_BYTES = 2 ** 27;

const rowBytes = (tensor: Tensor): number => tensor.dim(-1) * BYTES_PER_ELEMENT[tensor.dtype];

/** Rows of one dispatch by the adapter's limits; at least one. */
export function rowsAtOnce(gpu: Gpu, { tensors, flops = 0, transient = 0 }: RowCost): number {
  const widest = Math.max(0, ...tensors.map((tensor) => (tensor ? rowBytes(tensor) : 0)));
  const bound = widest > 0 ? Math.floor(gpu.maxBindingBytes / widest) : Number.POSITIVE_INFINITY;
  const timely = flops > 0 ? Math.floor(gpu.dispatchFlops / flops) : Number.POSITIVE_INFINITY;
  const held = transient > 0 ? Math.floor(Math.min(TRANSIENT_BYTES, gpu.maxBindingBytes) / transient) : bound;
  return Math.max(1, Math.min(bound, timely, held));
}

/** Those rows of a tensor; nothing of nothing. */
export type Part = <T extends Tensor | undefined>(tensor: T) => T;

/**
 * Calls `body` with each block of `rows` rows, in order. `part` gives a tensor's rows of the block as a view of shape (to − from, width),
 * and the tensor itself where there is one block.
 */
export function inRows(rows: number, cost: RowCost, body: (part: Part, range: RowRange) => void): void {
  const step = Math.max(1, ...cost.tensors.map((tensor) => (tensor ? rowStep(tensor) : 1)));
  const blocks = ranges(rows, rowsAtOnce(recording().gpu, cost), step);
  for (const range of blocks) {
    const part = <T extends Tensor | undefined>(tensor: T): T =>
      tensor && blocks.length > 1 ? (rowsOf(tensor, range.from, range.to) as T) : tensor;
    body(part, range);
  }
}

/** One element a row, as `inRows` wants it: (N) → (N, 1). */
export const asColumn = (tensor: Tensor): Tensor => tensor.reshape(-1, 1);

/**
 * The shortest view that may be bound and holds rows `from` to `to`, which begin in it at element `at`; the tensor itself where it can
 * be bound as a whole.
 */
export function around(gpu: Gpu, tensor: Tensor, { from, to }: RowRange): { view: Tensor; at: number } {
  const width = tensor.dim(-1);
  if (tensor.bytes <= gpu.maxBindingBytes) return { view: tensor, at: from * width };
  const begin = from - (from % rowStep(tensor));
  return { view: rowsOf(tensor, begin, to), at: (from - begin) * width };
}
