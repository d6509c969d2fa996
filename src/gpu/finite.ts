/**
 * Finding where a value stopped being finite. A run in which a result is not finite is repeated with `gpu.checkFinite`
 * set: every dispatch then runs alone and what it read and wrote is looked at, so that the first bad tensor is named.
 * Slow, and only for that.
 */
import { NonFiniteError } from "../errors.ts";
import type { Gpu } from "./gpu.ts";
import type { Storage } from "./memory.ts";

/** A planned list of dispatches that can be submitted in parts: a `Replay`. */
interface Steppable {
  readonly gpu: Gpu;
  readonly label: string;
  readonly dispatches: readonly {
    readonly kernel: { readonly name: string };
    readonly inputs: readonly Storage[];
    readonly outputs: readonly Storage[];
  }[];
  submit(from: number, to: number): void;
}

/** Index of the first float32 in `words` that is infinite or not a number, or −1; judged by bits, exponent all ones. */
export function firstNonFinite(words: Uint32Array): number {
  return words.findIndex((w) => (w & 0x7f800000) === 0x7f800000);
}

/** Runs a replay dispatch by dispatch. @throws NonFiniteError naming the first tensor with a value that is not finite */
export async function runChecked(replay: Steppable): Promise<void> {
  const seen = new Set<Storage>();
  const check = async (storage: Storage, role: string): Promise<void> => {
    const words = new Uint32Array(
      await replay.gpu.readBytes(storage.buffer!, storage.bytes - (storage.bytes % 4), storage.label),
    );
    const at = firstNonFinite(words);
    if (at < 0) return;
    const value = new Float32Array(words.buffer)[at];
    throw new NonFiniteError(
      `"${storage.label}" is the first tensor that is not finite: element ${at} of ${words.length} is ${value} (${role}, in "${replay.label}"). ` +
        "Check the weights and inputs it is made from.",
    );
  };
  for (const [i, dispatch] of replay.dispatches.entries()) {
    for (const storage of dispatch.inputs) {
      if (!seen.has(storage)) await check(storage, "an input or weight");
      seen.add(storage);
    }
    replay.submit(i, i + 1);
    for (const storage of dispatch.outputs) {
      await check(storage, `result of ${dispatch.kernel.name}`);
      seen.add(storage);
    }
  }
}
