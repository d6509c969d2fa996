/** Timing that survives a busy machine: contenders take turns, and ratios are taken within a turn. */
import type { Gpu } from "../src/gpu/gpu.ts";

/** One way to do a job. */
export interface Contender {
  readonly name: string;
  /** does the job `times` times, waits for the device, and returns processor seconds spent in another process, if any */
  readonly run: (times: number) => Promise<number | void>;
  /** what its first job took, when it was checked; given where that serves as the first turn */
  readonly checked?: Turn;
}

/** Seconds a job, wall and processor. */
export interface Turn {
  readonly wall: number;
  readonly cpu: number;
}

export interface Measure {
  readonly name: string;
  /** jobs in one batch, and batches */
  readonly times: number;
  readonly rounds: number;
  /** wall seconds a job: median over the batches, and its lowest and highest */
  readonly seconds: number;
  readonly lowest: number;
  readonly highest: number;
  /** processor seconds a job, of all threads: what a software adapter costs, whoever else is running */
  readonly cpuSeconds: number;
  /** median over the rounds of this contender's time over the first one's, wall and processor */
  readonly ratio: number;
  readonly cpuRatio: number;
}

export interface MeasureOptions {
  /** batches of each contender, at most */
  readonly rounds: number;
  /** seconds that all batches together should take, at most */
  readonly budget: number;
  /** seconds that the first contender runs before anything is timed: a GPU that idled is slow at first (autotune.ts); default 0 */
  readonly warmUp?: number;
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/** Seconds for `warmUp`: what a real GPU wants, a processor does not. */
export const warmUpOf = (gpu: Gpu): number => (gpu.adapter.software ? 0 : 0.3);

// Timers and submissions cost about a millisecond, so a batch must be much longer.
const BATCH_SECONDS = 0.04;

/** Times `times` jobs. */
export async function turn(run: Contender["run"], times: number): Promise<Turn> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const elsewhere = (await run(times)) ?? 0;
  const wall = (performance.now() - start) / 1e3 / times;
  const { user, system } = process.cpuUsage(cpu);
  return { wall, cpu: ((user + system) / 1e6 + elsewhere) / times };
}

/** Batches long enough to be timed, and as many rounds of them as the budget allows. */
export function plan(
  first: readonly number[],
  { rounds, budget }: MeasureOptions,
): { readonly times: readonly number[]; readonly rounds: number } {
  const times = first.map((seconds) => Math.max(1, Math.ceil(BATCH_SECONDS / seconds)));
  const round = first.reduce((sum, seconds, i) => sum + seconds * times[i], 0);
  // The first turns are spent already. Where they used up the budget they are the measurement; else two rounds at least.
  const left = budget - first.reduce((a, b) => a + b, 0);
  return { times, rounds: left <= 0 ? 0 : Math.min(rounds, Math.max(2, Math.floor(left / round))) };
}

/**
 * Times the contenders in turns; the first is the one that ratios are over. Each must have run before, so that nothing is
 * compiled here.
 */
export async function measure(contenders: readonly Contender[], options: MeasureOptions): Promise<Measure[]> {
  if (contenders.length === 0) return [];
  const first: Turn[] = [];
  for (const { run, checked } of contenders) first.push(checked ?? (await turn(run, 1)));
  const planned = plan(
    first.map(({ wall }) => wall),
    options,
  );
  const turns: Turn[][] = contenders.map(() => []);
  for (const end = performance.now() + 1e3 * (options.warmUp ?? 0); performance.now() < end;)
    await contenders[0].run(planned.times[0]);
  for (let round = 0; round < planned.rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      turns[i].push(await turn(contender.run, planned.times[i]));
    }
  }
  if (planned.rounds === 0) first.forEach((t, i) => turns[i].push(t));
  return contenders.map(({ name }, i) => {
    const wall = turns[i].map((t) => t.wall);
    const over = (key: keyof Turn): number => median(turns[i].map((t, r) => t[key] / turns[0][r][key]));
    return {
      name,
      times: planned.rounds === 0 ? 1 : planned.times[i],
      rounds: turns[i].length,
      seconds: median(wall),
      lowest: Math.min(...wall),
      highest: Math.max(...wall),
      cpuSeconds: median(turns[i].map((t) => t.cpu)),
      ratio: over("wall"),
      cpuRatio: over("cpu"),
    };
  });
}

/** A contender that replays a recording. */
export const replaying = (
  name: string,
  gpu: Gpu,
  replay: { readonly run: () => Promise<void> },
  checked?: Turn,
): Contender => ({
  ...{ name, checked },
  run: async (times) => {
    for (let i = 0; i < times; i++) await replay.run();
    await gpu.idle();
  },
});
