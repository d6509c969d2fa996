/**
 * Which tokens a cache holds. A token has an id, one for all of a call, and may be predicted, to be cleared when what was predicted has been
 * observed. Tokens lie in the order of their calls, so that those which must make room are the first ones: what is left moves to the front.
 */
import { UsageError } from "../../errors.ts";

/** Tokens `from` to `to` (exclusive). */
export interface TokenRange {
  readonly from: number;
  readonly to: number;
}

interface Token {
  readonly id: number;
  readonly predicted: boolean;
}

export class TokenLedger {
  readonly capacity: number;
  #tokens: readonly Token[] = [];

  /** @param capacity most tokens that are held at a time, those of a call in progress included */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get length(): number {
    return this.#tokens.length;
  }

  /** The id of each token, ascending. */
  get ids(): readonly number[] {
    return this.#tokens.map(({ id }) => id);
  }

  /**
   * Makes room for a call of `count` tokens, for good: the oldest go, of one call the first ones.
   * @returns what stays
   * @throws UsageError when even an empty cache is too small
   */
  makeRoom(count: number): readonly TokenRange[] {
    if (count > this.capacity)
      throw new UsageError(`a call of ${count} tokens does not fit into a cache of ${this.capacity}`);
    const from = Math.max(0, this.length + count - this.capacity);
    const to = this.length;
    this.#tokens = this.#tokens.slice(from);
    return from < to ? [{ from, to }] : [];
  }

  /** Keeps the `count` tokens that a call has written behind all others. */
  append(count: number, predicted: boolean): void {
    const id = 1 + (this.#tokens.at(-1)?.id ?? -1);
    this.#tokens = [...this.#tokens, ...Array.from({ length: count }, () => ({ id, predicted }))];
  }

  /** Forgets what was predicted. @returns what stays */
  clearPredicted(): readonly TokenRange[] {
    const kept: TokenRange[] = [];
    for (let at = 0; at < this.length;) {
      let to = at + 1;
      while (to < this.length && this.#tokens[to].predicted === this.#tokens[at].predicted) to++;
      if (!this.#tokens[at].predicted) kept.push({ from: at, to });
      at = to;
    }
    this.#tokens = this.#tokens.filter(({ predicted }) => !predicted);
    return kept;
  }

  clear(): void {
    this.#tokens = [];
  }
}
