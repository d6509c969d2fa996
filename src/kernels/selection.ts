/**
 * Which variant is fastest on this adapter: every candidate is first checked against a float64 reference, then the right ones
 * are timed in turns. The choice is made once per adapter, driver and version of this package and then read from a store, so
 * that two runs give the same bits; on a software adapter nothing is timed and the order of linear/variants.ts holds.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { record } from "../gpu/recording.ts";
import { PackedWeight } from "../tensor/packed-weight.ts";
import { createTensor, readTensor, releaseTensor, type Tensor } from "../tensor/tensor.ts";
import { linear } from "./linear.ts";
import { linearReference } from "./linear.reference.ts";
import { ON_GPU, SHAPE_CLASSES, VARIANTS } from "./linear/variants.ts";
import { lacks } from "./variants.ts";

/** Where choices are kept between runs. */
export interface SelectionStore {
  readonly read: (key: string) => Promise<Readonly<Record<string, string>> | undefined>;
  readonly write: (key: string, choices: Readonly<Record<string, string>>) => Promise<void>;
}

/** A way of computing one thing; called inside `record`. */
export type Candidate = () => Tensor;

export interface Selected {
  /** undefined when every candidate was wrong */
  readonly winner: string | undefined;
  /** names of those refused or wrong, and why */
  readonly rejected: ReadonlyMap<string, string>;
  /** seconds a run, the best of the turns */
  readonly seconds: ReadonlyMap<string, number>;
}

// A float32 sum of thousands of products; a wrong index is off by far more.
const TOLERANCE = 1e-5;
const TURNS = 5;
const RUNS = 8;

/** Checks the candidates against `truth`, the first elements of the right result, then times those that pass. */
export async function select(
  gpu: Gpu,
  candidates: ReadonlyMap<string, Candidate>,
  truth: ArrayLike<number>,
): Promise<Selected> {
  const rejected = new Map<string, string>();
  const seconds = new Map<string, number>();
  const right: { name: string; run: () => Promise<void>; dispose: () => void }[] = [];
  for (const [name, body] of candidates) {
    try {
      const replay = await record(gpu, `selection: ${name}`, body);
      await replay.run();
      const error = distance(await readTensor(gpu, replay.outputs), truth);
      if (error < TOLERANCE) right.push({ name, run: () => replay.run(), dispose: () => replay.dispose() });
      else {
        rejected.set(name, `relative error ${error.toExponential(1)}`);
        replay.dispose();
      }
    } catch (error) {
      gpu.assertAlive("the next candidate");
      rejected.set(name, error instanceof Error ? error.message : String(error));
    }
  }
  for (let turn = 0; turn < TURNS; turn++) {
    for (const { name, run } of right) {
      const start = performance.now();
      for (let i = 0; i < RUNS; i++) await run();
      await gpu.idle();
      const spent = (performance.now() - start) / 1e3 / RUNS;
      seconds.set(name, Math.min(spent, seconds.get(name) ?? Number.POSITIVE_INFINITY));
    }
  }
  for (const { dispose } of right) dispose();
  const [winner] = [...seconds].sort((a, b) => a[1] - b[1]).map(([name]) => name);
  return { winner, rejected, seconds };
}

/** ‖ours − truth‖ / ‖truth‖ over the elements of `truth`; infinite where any of ours is not finite. */
function distance(ours: Float32Array, truth: ArrayLike<number>): number {
  if (!ours.every(Number.isFinite) || ours.length < truth.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let total = 0;
  for (let i = 0; i < truth.length; i++) {
    difference += (ours[i] - truth[i]) ** 2;
    total += truth[i] ** 2;
  }
  return Math.sqrt(difference / total);
}

/** What a stored choice depends on. */
export function selectionKey({ adapter }: Gpu, version: string): string {
  const { vendor, architecture, device, description } = adapter;
  return [version, vendor, architecture, device, description].join("|");
}

/**
 * Fills `gpu.selected` from the store, or by checking and timing. Does nothing on a software adapter.
 * @param version of this package: other kernels, other choices
 */
export async function selectVariants(gpu: Gpu, version: string, store: SelectionStore): Promise<void> {
  if (gpu.adapter.software) return;
  const key = selectionKey(gpu, version);
  const stored = await store.read(key);
  const choices: Record<string, string> = { ...stored };
  if (!stored) {
    for (const kind of Object.keys(SHAPE_CLASSES) as (keyof typeof SHAPE_CLASSES)[]) {
      const { winner } = await selectLinear(gpu, kind);
      if (winner) choices[`linear ${kind}`] = winner;
    }
    await store.write(key, choices);
  }
  for (const [what, name] of Object.entries(choices)) gpu.selected.set(what, name);
}

// A fixed pattern without symmetries, so that exchanged rows, columns or terms are noticed.
const pattern = (length: number, step: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length }, (_, i) => ((i * step) % 1009) / 504.5 - 1);

/** Checks and times the candidates of linear for one shape class. */
export async function selectLinear(gpu: Gpu, kind: keyof typeof SHAPE_CLASSES): Promise<Selected> {
  const { rows, inner, columns } = SHAPE_CLASSES[kind];
  const x = pattern(rows * inner, 271);
  const w = pattern(columns * inner, 619);
  const weight = new PackedWeight(gpu, columns, inner, "f32", "selection");
  weight.upload(gpu, w);
  const tx = createTensor(gpu, [rows, inner], x, "selection");
  const names = ON_GPU[kind].filter((name) => !lacks(gpu, VARIANTS[name]));
  const candidates = new Map<string, Candidate>(
    names.map((variant) => [variant, () => linear(tx, weight, { variant })]),
  );
  try {
    return await select(gpu, candidates, linearReference(x, w, Math.min(rows, 4), inner, columns));
  } finally {
    releaseTensor(gpu, tx);
    weight.release(gpu);
  }
}
