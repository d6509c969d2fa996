/**
 * Which variant is fastest on this adapter: every candidate is first checked against a float64 reference, then the right ones
 * are timed in turns. The choice is made once per adapter, driver and version of this package and then read from a store, so
 * that two runs give the same bits; on a software adapter nothing is timed and the order of the kernel's variants.ts holds.
 */
import { GpuValidationError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { record, type Replay } from "../gpu/recording.ts";
import { readTensor, type Tensor } from "../tensor/tensor.ts";
import { attentionTrials } from "./attention/trials.ts";
import { linearTrials } from "./linear/trials.ts";
import type { Sample, Trials } from "./trial.ts";
import { lacks } from "./variants.ts";

/** Where choices are kept between runs, by kernel and shape class: `linear many` → `shared128`. */
export interface AutotuneStore {
  readonly read: (key: string) => Promise<Readonly<Record<string, unknown>> | undefined>;
  readonly write: (key: string, choices: Readonly<Record<string, string>>) => Promise<void>;
}

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
// Browsers round their clocks to 0.1 ms.
const BATCH_SECONDS = 0.02;
// Closer than this counts as equal, and the likelier one is taken.
const EQUAL = 1.03;
// No turn is spent on what is so much slower when first timed.
const HOPELESS = 4;
// A GPU that idled is slow at first: a product ran at a quarter of its speed for some tenths of a second after half a second of idling
// (NVIDIA H100, driver 580.159.04, 2026-11-26), which would favour whoever is timed last.
const WARM_UP_SECONDS = 0.3;

/** Checks the candidates against samples of the right result, then times those that pass. */
export async function select(
  gpu: Gpu,
  candidates: ReadonlyMap<string, () => Tensor>,
  truth: readonly Sample[],
): Promise<Selected> {
  const rejected = new Map<string, string>();
  const first = new Map<string, number>();
  for (const [name, body] of candidates) {
    let replay: Replay<Tensor> | undefined;
    try {
      replay = await record(gpu, `autotune: ${name}`, body);
      await replay.run();
      const error = distance(await readTensor(gpu, replay.outputs), truth);
      if (error < TOLERANCE) first.set(name, await seconds(gpu, replay, 1));
      else rejected.set(name, `relative error ${error.toExponential(1)}`);
    } catch (error) {
      gpu.assertAlive("the next candidate");
      rejected.set(name, error instanceof Error ? error.message : String(error));
    } finally {
      replay?.dispose();
    }
  }
  const best = await takeTurns(gpu, candidates, first);
  const least = Math.min(...best.values());
  const winner = [...best.keys()].find((name) => best.get(name)! <= least * EQUAL);
  return { winner, rejected, seconds: best };
}

/** The best time of each candidate, in seconds a run. */
async function takeTurns(
  gpu: Gpu,
  candidates: ReadonlyMap<string, () => Tensor>,
  first: ReadonlyMap<string, number>,
): Promise<Map<string, number>> {
  const best = new Map<string, number>();
  const least = Math.min(...first.values());
  const names = [...first.keys()].filter((name) => first.get(name)! <= least * HOPELESS);
  // Many runs a submission, so that the device is timed and not the way to it; many submissions, so that the clock is fine enough.
  const runs = Math.max(1, Math.min(64, Math.floor(BATCH_SECONDS / least)));
  const replays = new Map<string, Replay<Tensor>>();
  try {
    for (const name of names) {
      const body = candidates.get(name)!;
      const many = (): Tensor => Array.from({ length: runs }, body).at(-1)!;
      const replay = await record(gpu, `autotune: ${name} × ${runs}`, many);
      replays.set(name, replay);
      best.set(name, await seconds(gpu, replay, 1));
    }
    const [likeliest] = replays.values();
    const warm = performance.now() + 1e3 * WARM_UP_SECONDS;
    while (replays.size > 1 && performance.now() < warm) await seconds(gpu, likeliest, 1);
    const submissions = Math.max(1, Math.ceil(BATCH_SECONDS / Math.min(...best.values())));
    best.clear();
    for (let turn = 0; turn < TURNS; turn++) {
      for (const [name, replay] of replays) {
        const spent = (await seconds(gpu, replay, submissions)) / runs;
        best.set(name, Math.min(spent, best.get(name) ?? Number.POSITIVE_INFINITY));
      }
    }
  } finally {
    for (const replay of replays.values()) replay.dispose();
  }
  return best;
}

/** Seconds a submission. */
async function seconds(gpu: Gpu, replay: Replay, submissions: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < submissions; i++) await replay.run();
  await gpu.idle();
  return (performance.now() - start) / 1e3 / submissions;
}

/** ‖ours − truth‖ / ‖truth‖ over the samples; infinite where any of ours is not finite. */
function distance(ours: Float32Array, truth: readonly Sample[]): number {
  let difference = 0;
  let total = 0;
  for (const { at, values } of truth) {
    if (at + values.length > ours.length) return Number.POSITIVE_INFINITY;
    for (let i = 0; i < values.length; i++) {
      difference += (ours[at + i] - values[i]) ** 2;
      total += values[i] ** 2;
    }
  }
  return ours.every(Number.isFinite) ? Math.sqrt(difference / total) : Number.POSITIVE_INFINITY;
}

/** What a stored choice depends on. */
export function autotuneKey({ adapter }: Gpu, version: string): string {
  const { vendor, architecture, device, description } = adapter;
  return [version, vendor, architecture, device, description].join("|");
}

/** Every kernel whose variant depends on the adapter. */
const KERNELS: readonly Trials[] = [linearTrials, attentionTrials];

export interface AutotuneOptions {
  /** of this package: other kernels, other choices */
  readonly version: string;
  readonly store: AutotuneStore;
  /** whether anything is timed; default: on a real GPU with float32 arithmetic only, as the fixed order of a software adapter gives the same bits everywhere */
  readonly timed?: boolean;
  readonly kernels?: readonly Trials[];
}

/**
 * Fills `gpu.tuned` from the store, or by checking and timing what the store does not know. Kernels that are forced by name are
 * left alone.
 * @returns a line for each candidate that was refused
 * @throws GpuValidationError when a kernel computes nothing right on this adapter, the naive variant included
 */
export async function autotune(gpu: Gpu, options: AutotuneOptions): Promise<string[]> {
  const {
    version,
    store,
    timed = !gpu.adapter.software && gpu.arithmetic === "f32",
    kernels = KERNELS,
  } = options;
  const notes: string[] = [];
  if (!timed) return notes;
  const key = autotuneKey(gpu, version);
  const stored = await store.read(key);
  const choices: Record<string, string> = {};
  let isNew = false;
  for (const trials of kernels) {
    if (gpu.variants[trials.kernel] !== undefined) continue;
    for (const [kind, names] of Object.entries(trials.candidates)) {
      const what = `${trials.kernel} ${kind}`;
      const able = names.filter((name) => !lacks(gpu, trials.variants[name as never]));
      const known = able.find((name) => name === stored?.[what]);
      choices[what] = known ?? (await tune(gpu, trials, kind, able, notes));
      isNew ||= known === undefined;
    }
  }
  if (isNew) await store.write(key, choices);
  for (const [what, name] of Object.entries(choices)) gpu.tuned.set(what, name);
  return notes;
}

/** The winner of one class; the naive variant when every candidate is wrong. */
async function tune(
  gpu: Gpu,
  { kernel, prepare }: Trials,
  kind: string,
  names: readonly string[],
  notes: string[],
): Promise<string> {
  const trial = prepare(gpu, kind);
  try {
    for (const group of [names, ["naive"]]) {
      const candidates = new Map(group.map((name) => [name, () => trial.run(name)]));
      const { winner, rejected } = await select(gpu, candidates, trial.truth);
      for (const [name, why] of rejected)
        notes.push(`variant "${name}" of kernel "${kernel}" is not used on ${gpu.name}: ${why}`);
      if (winner) return winner;
    }
  } finally {
    trial.release();
  }
  throw new GpuValidationError(
    `no variant of kernel "${kernel}" computes the right result on ${gpu.name}:\n${notes.join("\n")}\nUpdate the graphics driver, or use another adapter.`,
  );
}
