/**
 * Keys and values that calls leave behind, a pair of tensors a block. A call always writes its own behind the tokens that are held, and sees
 * both; whether they stay is the ledger's word (ledger.ts), so that a tap of every call costs nothing. Keys are turned by their positions
 * before they are kept. Memory is taken as it is needed: a first chunk alone needs a fifteenth of what the published policy's cache may hold.
 *
 * Axes: B items (of a guided network its branches), at most C tokens, D width.
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
  readonly #gpu: Gpu;
  readonly #sizes: CacheSizes;
  readonly #ledger: TokenLedger;
  #keys: readonly Tensor[] = [];
  #values: readonly Tensor[] = [];
  /** tokens of an item that there is memory for */
  #room = 0;

  constructor(gpu: Gpu, sizes: CacheSizes) {
    this.#gpu = gpu;
    this.#sizes = sizes;
    this.#ledger = new TokenLedger(sizes.capacity);
  }

  /** A block each, (B, room, D); others after `makeRoom`, so that what is recorded before it is not run after it. */
  get keys(): readonly Tensor[] {
    return this.#keys;
  }

  get values(): readonly Tensor[] {
    return this.#values;
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
    this.#keep(this.#ledger.makeRoom(count));
    if (this.at + count > this.#room)
      this.#grow(Math.min(this.#sizes.capacity, Math.max(this.at + count, 2 * this.#room)));
  }

  /** After a call that leaves something: its tokens stay. */
  append(count: number, predicted: boolean): void {
    this.#ledger.append(count, predicted);
  }

  clearPredicted(): void {
    this.#keep(this.#ledger.clearPredicted());
  }

  /** A new episode. */
  clear(): void {
    this.#ledger.clear();
  }

  /** Tokens of one item in every block, keys before values of each, as views (1, count, D) of the cache: they are as long valid as they stay. */
  tokens(item: number, { from, to }: TokenRange): Tensor[] {
    const { width } = this.#sizes;
    const view = ({ storage, offset }: Tensor): Tensor =>
      new Tensor([1, to - from, width], "f32", storage, offset + 4 * (item * this.#room + from) * width);
    return this.#keys.flatMap((keys, i) => [view(keys), view(this.#values[i])]);
  }

  dispose(): void {
    for (const tensor of [...this.#keys, ...this.#values]) releaseTensor(this.#gpu, tensor);
    this.#keys = this.#values = [];
    this.#room = 0;
  }

  /** Memory for more tokens; those that are held move. */
  #grow(room: number): void {
    const { blocks, items, width } = this.#sizes;
    const [before, held] = [this.#room, this.at];
    const moved = (label: string, old: readonly Tensor[]): Tensor[] =>
      Array.from({ length: blocks }, (_, i) => {
        const tensor = createTensor(this.#gpu, [items, room, width], undefined, `${label} of block ${i}`);
        for (let item = 0; held > 0 && item < items; item++)
          copyTensor(this.#gpu, old[i], tensor, {
            ...{ from: item * before * width, to: item * room * width, count: held * width },
          });
        if (old.length > 0) releaseTensor(this.#gpu, old[i]);
        return tensor;
      });
    this.#keys = moved("keys", this.#keys);
    this.#values = moved("values", this.#values);
    this.#room = room;
  }

  /** Moves what stays to the front. A buffer cannot be copied into itself, so it goes by way of another. */
  #keep(ranges: readonly TokenRange[]): void {
    const { items, width } = this.#sizes;
    const kept = ranges.reduce((n, { from, to }) => n + to - from, 0);
    // What is cleared at the end leaves the rest where it is.
    if (kept === 0 || (ranges.length === 1 && ranges[0].from === 0)) return;
    const aside = createTensor(this.#gpu, [kept, width], undefined, "tokens that move");
    for (const tensor of [...this.#keys, ...this.#values]) {
      for (let item = 0; item < items; item++) {
        const first = item * this.#room;
        let at = 0;
        for (const { from, to } of ranges) {
          const count = (to - from) * width;
          copyTensor(this.#gpu, tensor, aside, { from: (first + from) * width, to: at * width, count });
          at += to - from;
        }
        copyTensor(this.#gpu, aside, tensor, { to: first * width, count: at * width });
      }
    }
    releaseTensor(this.#gpu, aside);
  }
}
