/**
 * Keys and values that calls leave behind, a pair of tensors a block. A call always writes its own behind the tokens that are held, and sees
 * both; whether they stay is the ledger's word (ledger.ts), so that a tap of every call costs nothing. Keys are turned by their positions
 * before they are kept.
 *
 * Axes: B items (of a guided network its branches), room for C tokens, D width.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { copyTensor, createTensor, releaseTensor, Tensor } from "../../tensor/tensor.ts";
import { TokenLedger, type TokenRange } from "./ledger.ts";

/** What a call sees: of each item the first `at` tokens, and its own, which it writes behind them. */
export interface Workspace {
  /** a block each, (B or more, room, D) */
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
  readonly at: number;
  /** (B, room) u32, 0 on tokens that are hidden */
  readonly mask?: Tensor;
}

/** Sizes of a cache. */
export interface CacheSizes {
  readonly blocks: number;
  /** B */
  readonly items: number;
  /** C */
  readonly capacity: number;
  /** D */
  readonly width: number;
}

export class KeyValueCache implements Workspace {
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
  readonly #gpu: Gpu;
  readonly #sizes: CacheSizes;
  readonly #ledger: TokenLedger;
  #aside: Tensor | undefined;

  constructor(gpu: Gpu, sizes: CacheSizes) {
    const { blocks, items, capacity, width } = sizes;
    const all = (label: string): Tensor[] =>
      Array.from({ length: blocks }, (_, i) =>
        createTensor(gpu, [items, capacity, width], undefined, `${label} of block ${i}`),
      );
    this.#gpu = gpu;
    this.#sizes = sizes;
    this.#ledger = new TokenLedger(capacity);
    this.keys = all("keys");
    this.values = all("values");
  }

  /** Tokens that are held; the next call's stand behind them. */
  get at(): number {
    return this.#ledger.length;
  }

  get ids(): readonly number[] {
    return this.#ledger.ids;
  }

  /** Before every call: what does not fit beside its `count` tokens goes for good. @throws UsageError when they do not fit at all */
  makeRoom(count: number): void {
    const before = this.at;
    this.#keep(this.#ledger.makeRoom(count), before);
  }

  /** After a call that leaves something: its tokens stay. */
  append(count: number, predicted: boolean): void {
    this.#ledger.append(count, predicted);
  }

  clearPredicted(): void {
    const before = this.at;
    this.#keep(this.#ledger.clearPredicted(), before);
  }

  /** A new episode. */
  clear(): void {
    this.#ledger.clear();
  }

  /** Tokens of one item in every block, keys before values of each, as views (1, count, D) of the cache: they are as long valid as they stay. */
  tokens(item: number, { from, to }: TokenRange): Tensor[] {
    const { capacity, width } = this.#sizes;
    const view = ({ storage, offset }: Tensor): Tensor =>
      new Tensor([1, to - from, width], "f32", storage, offset + 4 * (item * capacity + from) * width);
    return this.keys.flatMap((keys, i) => [view(keys), view(this.values[i])]);
  }

  dispose(): void {
    for (const tensor of [...this.keys, ...this.values]) releaseTensor(this.#gpu, tensor);
    if (this.#aside) releaseTensor(this.#gpu, this.#aside);
  }

  /** Moves what stays to the front. A buffer cannot be copied into itself, so it goes by way of another. */
  #keep(ranges: readonly TokenRange[], before: number): void {
    const { items, capacity, width } = this.#sizes;
    const kept = ranges.reduce((n, { from, to }) => n + to - from, 0);
    if (kept === 0 || kept === before || (ranges[0].from === 0 && ranges.length === 1)) return;
    const aside = (this.#aside ??= createTensor(this.#gpu, [capacity, width], undefined, "tokens that move"));
    for (const tensor of [...this.keys, ...this.values]) {
      for (let item = 0; item < items; item++) {
        const first = item * capacity;
        let at = 0;
        for (const { from, to } of ranges) {
          const count = (to - from) * width;
          copyTensor(this.#gpu, tensor, aside, { from: (first + from) * width, to: at * width, count });
          at += to - from;
        }
        copyTensor(this.#gpu, aside, tensor, { to: first * width, count: at * width });
      }
    }
  }
}
