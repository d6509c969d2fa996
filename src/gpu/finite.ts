/**
 * Finding where a value stopped being finite. A run in which a result is not finite is repeated with `gpu.checkFinite`
 * set: every dispatch then runs alone and what it read and wrote is looked at, so that the first bad tensor is named.
 * Slow, and only for that.
 */
import { NonFiniteError } from "../errors.ts";
import type { Gpu } from "./gpu.ts";
import { bufferOf, type Storage, type View } from "./memory.ts";

/** A planned list of dispatches that can be submitted in parts: a `Replay`. */
interface Steppable {
  readonly gpu: Gpu;
  readonly label: string;
  readonly dispatches: readonly {
    readonly program: { readonly name: string };
    readonly inputs: readonly View[];
    readonly outputs: readonly View[];
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
  const check = async (view: View, role: string): Promise<void> => {
    const { storage, offset, bytes } = view;
    const buffer = bufferOf(view, replay.label);
    const raw = await replay.gpu.readBytes(buffer, bytes - (bytes % 4), storage.label, offset);
    const words = new Uint32Array(raw);
    const at = firstNonFinite(words);
    if (at < 0) return;
    const value = new Float32Array(words.buffer)[at];
    throw new NonFiniteError(
      `"${storage.label}" is the first tensor that is not finite: element ${at} of ${words.length} is ${value} (${role}, in "${replay.label}"). ` +
        "Check the weights and inputs it is made from.",
    );
  };
  for (const [i, { program, inputs, outputs }] of replay.dispatches.entries()) {
    for (const view of inputs) {
      // Of a storage that is read in parts, every part is looked at.
      const whole = view.bytes === view.storage.bytes;
      if (!seen.has(view.storage)) await check(view, "an input or weight");
      if (whole) seen.add(view.storage);
    }
    replay.submit(i, i + 1);
    for (const view of outputs) {
      await check(view, `result of ${program.name}`);
      seen.add(view.storage);
    }
  }
}
