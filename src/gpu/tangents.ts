/**
 * Which storage holds the tangent of which, while a derivative is recorded (kernels/jvp.ts). A tangent lies in its storage as the primal lies in its
 * own, so that a view of the one (a reshape, some rows, the slice of a head) has the same view of the other.
 *
 * An operation accounts for the operands that its rule knows. A dispatch that touches any other storage with a tangent is refused, so that an
 * operation without a rule, or with one that forgets an operand, never passes for a zero.
 */
import { UsageError } from "../errors.ts";
import type { Storage, View } from "./memory.ts";

/** Where the tangent of a storage lies: its first byte stands `shift` bytes further on than that of the primal. */
export interface TangentPlace {
  readonly storage: Storage;
  readonly shift: number;
}

export class Tangents {
  readonly #places = new Map<Storage, TangentPlace>();
  /** storages of tangents, and those that belong to somebody else too, which are therefore not written in place */
  readonly #given = new Set<Storage>();
  readonly #shared = new Set<Storage>();
  /** the operands of the operation that is being recorded, or nothing between operations */
  #accounted: ReadonlySet<Storage> | undefined;

  /** Whether what is recorded now is the inside of an operation, whose rule gives the tangent of its result. */
  get inside(): boolean {
    return this.#accounted !== undefined;
  }

  /** undefined: there is none, which is a known zero */
  of(primal: Storage): TangentPlace | undefined {
    return this.#places.get(primal);
  }

  set(primal: Storage, place: TangentPlace): void {
    if (this.#given.has(place.storage)) this.#shared.add(place.storage);
    this.#given.add(place.storage);
    this.#places.set(primal, place);
  }

  /** From here on it is never written in place. */
  share(tangent: Storage): void {
    this.#shared.add(tangent);
  }

  isShared(tangent: Storage): boolean {
    return this.#shared.has(tangent);
  }

  /** Records the inside of an operation whose rule knows these operands. */
  accounting<T>(operands: readonly Storage[], body: () => T): T {
    const outer = this.#accounted;
    this.#accounted = new Set(operands);
    try {
      return body();
    } finally {
      this.#accounted = outer;
    }
  }

  /** @throws UsageError when a dispatch touches a tangent's primal that no rule accounts for */
  check(views: readonly View[], place: string): void {
    const lost = views.find(({ storage }) => this.#places.has(storage) && !this.#accounted?.has(storage));
    if (!lost) return;
    throw new UsageError(
      `${place}: "${lost.storage.label}" carries a tangent, and this operation has no rule for it; ` +
        "take the derivative with respect to something that does not reach it, or state its rule beside the kernel (kernels/jvp.ts)",
    );
  }
}
