/**
 * The same noise led to samples in several ways at once, state by state as they are computed: what a page draws beside one another. Runs in a browser as
 * in Node.
 *
 * Axes: B samples.
 */
import { UsageError } from "../errors.ts";
import { joined } from "./arrays.ts";
import type { Drawn, Sampler } from "./sampler.ts";

export interface SideBySideRequest {
  /** undefined: no class */
  readonly label: number | undefined;
  /** sample i starts from the noise of seed + i */
  readonly seed: number;
  /** B, at most the sampler's `mostTogether` */
  readonly count: number;
  /** N, calls of the network a sample */
  readonly calls: number;
  /** default: all that the sampler has */
  readonly rules?: readonly string[];
  readonly guidance?: number;
  readonly signal?: AbortSignal;
}

/** Samples of one rule after `step` of `steps` calls. */
export interface SideBySideState {
  readonly rule: string;
  readonly step: number;
  readonly steps: number;
  /** 1 noise, 0 data */
  readonly noiseLevel: number;
  /** (B, …shape) */
  readonly samples: Float32Array;
  /** (B, C, H, W) 0 to 255; only of pictures */
  readonly pixels?: Uint8Array<ArrayBuffer>;
}

/**
 * Yields the noise of every rule, then the rules in turn after each call, as each is computed. Leaving the loop ends it.
 * @throws UsageError for what the network cannot do, or more samples than one batch holds; the signal's reason when it is aborted
 */
export async function* sideBySide(
  sampler: Sampler,
  request: SideBySideRequest,
): AsyncGenerator<SideBySideState, void, void> {
  const { label, seed, count, calls, rules = sampler.rules, guidance, signal } = request;
  if (!Number.isInteger(count) || count < 1 || count > sampler.mostTogether)
    throw new UsageError(`${count} samples at once; 1 to ${sampler.mostTogether} can be drawn together.`);
  for (const rule of rules) sampler.checkRule(rule);
  const noise = joined(Array.from({ length: count }, (_, i) => sampler.noise(label, seed + i)));
  const labels = label === undefined ? undefined : new Array<number>(count).fill(label);
  const ways = rules.map((rule) => ({
    rule,
    states: sampler.draw({ labels, noise, calls, rule, guidance, signal }),
  }));
  try {
    for (let step = 0; step <= calls; step++)
      for (const { rule, states } of ways) {
        const { value } = await states.next();
        if (value) yield await stateOf(sampler, rule, value);
      }
  } finally {
    for (const { states } of ways) await states.return();
  }
}

async function stateOf(sampler: Sampler, rule: string, drawn: Drawn): Promise<SideBySideState> {
  const { step, steps, noiseLevel } = drawn;
  const samples = await drawn.read();
  return {
    rule,
    step,
    steps,
    noiseLevel,
    samples,
    ...(sampler.toBytes && { pixels: sampler.toBytes(samples) }),
  };
}
