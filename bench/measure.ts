/** Timing that survives a busy machine: contenders take turns, and ratios are taken within a turn. */
import type { Gpu } from "../src/gpu/gpu.ts";

/** One way to do a job. */
export interface Contender {
  readonly name: string;
  /** does the job `times` times and returns when the device has finished */
  readonly run: (times: number) => Promise<void>;
}

export interface Measure {
  readonly name: string;
  /** jobs in one batch */
  readonly times: number;
  /** wall seconds a job: median over the batches, and its lowest and highest */
  readonly seconds: number;
  readonly lowest: number;
  readonly highest: number;
  /** processor seconds a job, of all threads of this process: what a software adapter costs, whoever else is running */
  readonly cpuSeconds: number;
  /** median over the rounds of this contender's time over the first one's, wall and processor */
  readonly ratio: number;
  readonly cpuRatio: number;
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

// Timers and submissions cost about a millisecond, so a batch must be much longer.
const BATCH_SECONDS = 0.04;

// A job this long is timed once; interruptions of a busy machine are short beside it.
const LONG_SECONDS = 4;

interface Turn {
  readonly wall: number;
  readonly cpu: number;
}

async function turn({ run }: Contender, times: number): Promise<Turn> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run(times);
  const wall = (performance.now() - start) / 1e3 / times;
  const { user, system } = process.cpuUsage(cpu);
  return { wall, cpu: (user + system) / 1e6 / times };
}

/** Times the contenders in turns; the first is the one that ratios are over. */
export async function measure(contenders: readonly Contender[], rounds: number): Promise<Measure[]> {
  // Each has run once already, when it was checked, so that nothing is compiled here.
  const first: Turn[] = [];
  for (const contender of contenders) first.push(await turn(contender, 1));
  const times = first.map(({ wall }) => Math.max(1, Math.ceil(BATCH_SECONDS / wall)));
  const turns: Turn[][] = contenders.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      turns[i].push(first[i].wall > LONG_SECONDS ? first[i] : await turn(contender, times[i]));
    }
  }
  return contenders.map(({ name }, i) => {
    const wall = turns[i].map((t) => t.wall);
    const over = (key: keyof Turn): number => median(turns[i].map((t, r) => t[key] / turns[0][r][key]));
    return {
      name,
      times: times[i],
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
): Contender => ({
  name,
  run: async (times) => {
    for (let i = 0; i < times; i++) await replay.run();
    await gpu.idle();
  },
});
