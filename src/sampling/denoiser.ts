/**
 * What a sampler follows: a network at a state and a time. Guidance and windows are values that make one denoiser of several, so that
 * neither the loop nor a network knows them.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { combine } from "../kernels/combine.ts";
import { concat, slice } from "../kernels/copy.ts";
import { createTensor, releaseTensor, type Tensor, writeTensor } from "../tensor/tensor.ts";
import { add, affine } from "../kernels/elementwise.ts";
import type { Call } from "./scheduler.ts";

export interface Evaluation {
  /** what the network says, shaped as its input; absent where only taps were wanted */
  readonly output?: Tensor;
  readonly tapped: readonly Tensor[];
}

export interface Denoiser {
  /** Records one evaluation. `want` "taps" leaves out what only the output needs. */
  evaluate(input: Tensor, want: "all" | "taps"): Evaluation;
  /** Writes what depends on the call; between replays. */
  setCall(call: Call): void;
  /** Frees what is held for calls. */
  dispose?(): void;
}

/** How much each branch of a guided network counts at a time; the weights of a time add up to 1. */
export interface Guidance {
  /** names, such as "text" and "nothing"; the first is the one that is tapped */
  readonly branches: readonly string[];
  weights(time: number): readonly number[];
}

/** Classifier-free guidance: nothing + scale · (text − nothing). */
export const classifierFree = (scale: number): Guidance => ({
  branches: ["conditional", "unconditional"],
  weights: () => [scale, 1 - scale],
});

/**
 * The weighted sum of several branches at the same state.
 * @throws UsageError unless there is a denoiser for each branch
 */
export function guided(gpu: Gpu, branches: readonly Denoiser[], guidance: Guidance): Denoiser {
  const { length } = guidance.branches;
  if (branches.length !== length)
    throw new UsageError(
      `guidance of ${length} branches (${guidance.branches.join(", ")}) for ${branches.length} denoisers`,
    );
  const weights = createTensor(gpu, [length], undefined, "guidance weights");
  return {
    evaluate: (input, want) => {
      const [first, ...others] = branches.map((branch, i) =>
        want === "all" || i === 0 ? branch.evaluate(input, want) : undefined,
      );
      if (want === "taps") return first!;
      return {
        tapped: first!.tapped,
        output: combine(
          [first!, ...others].map((e) => e!.output!),
          weights,
        ),
      };
    },
    setCall: (call) => {
      for (const branch of branches) branch.setCall(call);
      writeTensor(gpu, weights, Float32Array.from(guidance.weights(call.at)));
    },
    dispose: () => {
      for (const branch of branches) branch.dispose?.();
      releaseTensor(gpu, weights);
    },
  };
}

/** Consecutive frames that a network sees at once. */
export interface Window {
  /** inclusive, exclusive */
  readonly from: number;
  readonly to: number;
}

/**
 * A long clip through windows along `axis`: where several windows see a frame, their outputs count equally. Nothing is tapped.
 * @param at the denoiser of window w, conditioned on what belongs there
 * @throws UsageError when the windows do not cover 0 to the length without gaps, in order
 */
export function windowed(windows: readonly Window[], axis: number, at: (w: number) => Denoiser): Denoiser {
  const gap = windows.findIndex(({ from, to }, w) => {
    const before = w === 0 ? { from: 0, to: 0 } : windows[w - 1];
    return from > before.to || from < before.from || to <= before.to;
  });
  if (gap >= 0 || windows.length === 0)
    throw new UsageError(
      `windows ${windows.map(({ from, to }) => `${from}–${to}`).join(", ")} do not cover a clip in order`,
    );
  const denoisers = windows.map((_, w) => at(w));
  return {
    evaluate: (input) => {
      const outputs = windows.map(
        ({ from, to }, w) => denoisers[w].evaluate(slice(input, axis, from, to), "all").output!,
      );
      return { tapped: [], output: joined(outputs, windows, axis) };
    },
    setCall: (call) => {
      for (const d of denoisers) d.setCall(call);
    },
    dispose: () => {
      for (const d of denoisers) d.dispose?.();
    },
  };
}

/** Frames between two neighbouring ends of windows are seen by the same windows: their mean, run by run. */
function joined(outputs: readonly Tensor[], windows: readonly Window[], axis: number): Tensor {
  const ends = [...new Set(windows.flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b);
  const runs = ends.slice(1).map((to, r) => {
    const from = ends[r];
    const seen = windows.flatMap((w, i) =>
      w.from <= from && to <= w.to ? [slice(outputs[i], axis, from - w.from, to - w.from)] : [],
    );
    const sum = seen.slice(1).reduce((a, b) => add(a, b), seen[0]);
    return seen.length === 1 ? sum : affine(sum, 1 / seen.length);
  });
  return concat(runs, axis);
}
