/** A run of the bench: every wanted case, then every wanted step, in one process on one adapter. */
import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism, loadavg } from "node:os";
import { UsageError } from "../src/errors.ts";
import { type Arithmetic, Gpu } from "../src/gpu/gpu.ts";
import { findAdapter } from "../src/gpu/open.node.ts";
import { autotuneHere } from "../src/kernels/autotune.node.ts";
import { record } from "../src/gpu/recording.ts";
import { duration } from "../src/commands/probe/progress.node.ts";
import { readTensor } from "../src/tensor/tensor.ts";
import { relativeError } from "../test/support/numbers.ts";
import { type Case, CASES, type Truth } from "./cases.ts";
import { type Contender, measure, replaying, turn, warmUpOf } from "./measure.ts";
import { openPeers, type Peer, shareAdapter, versionOf } from "./peers/peer.ts";
import { compareRuns, describeRow, describeStep, head, readRun, type Row, type Run, tail } from "./report.ts";
import { measureRoof, type Roof } from "./roof.ts";
import { STEPS } from "./steps.ts";
import type { StepContext } from "./steps/step.ts";

export interface BenchOptions {
  /** parts of names of cases and steps; none means all */
  readonly filters: readonly string[];
  /** batches of each contender, at most */
  readonly rounds: number;
  /** seconds for the batches of one case, at most; a case needs them twice where one job takes longer */
  readonly budget: number;
  /** seconds that a step may take at the measured roof, unless it is asked for by its whole name */
  readonly stepBudget: number;
  /** names of the peers to compare with; default all that start */
  readonly peers?: readonly string[];
  readonly python?: string;
  readonly adapter?: string;
  /** kernels forced to a variant, by name */
  readonly variants: Readonly<Record<string, string>>;
  readonly arithmetic: Arithmetic;
  readonly json?: string;
  readonly compare?: string;
}

/** Where lines go: the table, and how far the run is. */
export interface Output {
  readonly line: (text: string) => void;
  readonly progress: (text: string) => void;
}

/** What a right result may differ by, at most; the tests of the kernels are far stricter. */
const TOLERANCE = { f32: 1e-4, f16: 3e-3 } as const satisfies Record<Arithmetic, number>;

/** Beyond this many operations the naive kernel is left out: it takes minutes on a software adapter. */
const NAIVE_FLOP = 1.5e8;

const HAS_NAIVE: Readonly<Record<Case["kernel"], boolean>> = {
  ...{ linear: true, attention: true, conv3d: true, gru: true },
  // One program only.
  ...{ norm: false, filteredResample: false, modulate: false },
};

/** Names as they are typed: without capitals, × as x. */
const plain = (name: string): string => name.toLowerCase().replaceAll("×", "x");

export const matches = (name: string, filters: readonly string[]): boolean =>
  filters.length === 0 || filters.some((filter) => plain(name).includes(plain(filter)));

/** Why a result is not to be timed; undefined when it is right. */
export function fault(
  ours: Float32Array,
  truth: readonly Truth[],
  arithmetic: Arithmetic = "f32",
): string | undefined {
  const finite = ours.reduce((n, v) => n + Number(Number.isFinite(v)), 0);
  const nonZero = ours.reduce((n, v) => n + Number(v !== 0), 0);
  if (finite < ours.length) return `${ours.length - finite} of ${ours.length} values are not finite`;
  if (nonZero < ours.length / 2) return `only ${nonZero} of ${ours.length} values are not zero`;
  for (const { at, values } of truth) {
    const error = relativeError(ours.subarray(at, at + values.length), values);
    if (!(error < TOLERANCE[arithmetic]))
      return `relative error ${error.toExponential(1)} from element ${at} on`;
  }
  return undefined;
}

/** Jobs that would take longer than so many budgets are left out. */
const PATIENCE = 3;

/** Seconds; nobody reaches the roof, so such a job takes some seconds more than its compiling. */
const LONG_AT_ROOF = 0.5;

/** What contenders did a second so far, to know beforehand which ones would keep everybody waiting. */
export class Rates {
  readonly #best = new Map<string, number>();

  note({ kernel, flop, measures }: Pick<Row, "kernel" | "flop" | "measures">): void {
    for (const { name, lowest } of measures) {
      const key = `${kernel} ${name}`;
      this.#best.set(key, Math.max(flop / lowest, this.#best.get(key) ?? 0));
    }
  }

  /** Why a contender is to be left out of a case; undefined when it is quick enough or not known. */
  tooSlow(name: string, { kernel, flop }: Pick<Case, "kernel" | "flop">, budget: number): string | undefined {
    const rate = this.#best.get(`${kernel} ${name}`);
    const seconds = rate ? flop / rate : 0;
    return seconds > PATIENCE * budget
      ? `would take ${duration(seconds)} at its best rate so far; a --budget of ${Math.ceil(seconds / PATIENCE)} lets it`
      : undefined;
  }
}

interface Bench {
  readonly gpu: Gpu;
  /** what `gpu` was told to force; changed while a variant is recorded */
  readonly forced: Record<string, string>;
  readonly peers: readonly Peer[];
  readonly roof: Roof;
  readonly rates: Rates;
  readonly options: BenchOptions;
}

/** Times one case; the first contender is ours as the engine would run it. */
async function measureCase({ gpu, forced, peers, roof, rates, options }: Bench, c: Case): Promise<Row> {
  const truth = c.truth();
  const contenders: Contender[] = [];
  const rejected: string[] = [];
  const cleanUp: (() => void | Promise<void>)[] = [];
  const prepared = c.prepare(gpu);
  cleanUp.push(prepared.release);
  // A job that is long even at the roof need not be repeated for its compiling, which takes a few seconds at most.
  const long = c.flop / roof.flopPerSecond > LONG_AT_ROOF;
  let variant = "";
  let dispatches = 0;

  /** Our own recording, with the kernel forced where a variant is named. */
  const ours = async (name: string, force?: string): Promise<void> => {
    const before = forced[c.kernel];
    if (force) forced[c.kernel] = force;
    const replay = await record(gpu, c.name, prepared.compute).finally(() => {
      if (before === undefined) delete forced[c.kernel];
      else forced[c.kernel] = before;
    });
    cleanUp.push(() => replay.dispose());
    const checked = await turn(async () => {
      await replay.run();
      await gpu.idle();
    }, 1);
    const wrong = fault(await readTensor(gpu, replay.outputs), truth, options.arithmetic);
    if (wrong) return void rejected.push(`${name}: ${wrong}`);
    if (name === "ours") {
      const { program } = replay.dispatches[0];
      variant = `${program.name.replace(`${c.kernel} `, "")} ${program.form}`.trim();
      dispatches = replay.dispatches.length;
    }
    contenders.push(replaying(name, gpu, replay, long ? checked : undefined));
  };
  const theirs = async (peer: Peer): Promise<void> => {
    const slow = rates.tooSlow(peer.name, c, options.budget);
    if (slow) return void rejected.push(`${peer.name}: ${slow}`);
    try {
      const job = await c.peer(peer);
      if (!job) return;
      cleanUp.push(job.dispose);
      let values = new Float32Array(0);
      const checked = await turn(async () => {
        values = (await job.read()) as Float32Array<ArrayBuffer>;
      }, 1);
      const wrong = fault(values, truth);
      if (wrong) rejected.push(`${peer.name}: ${wrong}`);
      else contenders.push({ name: peer.name, run: job.run, checked: long ? checked : undefined });
    } catch (error) {
      rejected.push(`${peer.name}: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`);
    }
  };

  try {
    await ours("ours");
    // Without ours there is nothing to compare with.
    if (contenders.length > 0) {
      if (HAS_NAIVE[c.kernel] && c.flop < NAIVE_FLOP && forced[c.kernel] !== "naive")
        await ours("naive", "naive");
      for (const peer of peers) await theirs(peer);
    }
    const measures = await measure(contenders, { ...options, warmUp: warmUpOf(gpu) });
    const { name, kernel, flop, bytes, boundBy } = c;
    return { name, kernel, flop, bytes, boundBy, variant, dispatches, rejected, measures };
  } finally {
    for (const clean of cleanUp.reverse()) await clean();
  }
}

/** How far a run is: cases that are done, and what their work says of the rest. */
class Progress {
  readonly #output: Output;
  readonly #work: ReadonlyMap<string, number>;
  readonly #started = performance.now();
  #done = 0;
  #worked = 0;

  /** @param work of each case, in any unit */
  constructor(output: Output, work: ReadonlyMap<string, number>) {
    this.#output = output;
    this.#work = work;
  }

  next(name: string): void {
    const total = [...this.#work.values()].reduce((a, b) => a + b, 0);
    const seconds = (performance.now() - this.#started) / 1e3;
    const left =
      this.#worked > 0
        ? `, ${((60 * this.#done) / seconds).toFixed(1)} a minute, about ${duration((seconds * (total - this.#worked)) / this.#worked)} left`
        : "";
    this.#output.progress(`${this.#done} of ${this.#work.size}${left}: ${name}`);
    this.#done++;
    this.#worked += this.#work.get(name) ?? 0;
  }
}

/**
 * Runs and prints.
 * @throws UsageError for a filter that fits nothing or a stored run that cannot be read, AdapterError without a device
 */
export async function runBench(options: BenchOptions, output: Output): Promise<Run> {
  const { filters } = options;
  const names = [...CASES.map(({ name }) => name), ...STEPS.map(({ name }) => name)];
  for (const filter of filters) {
    if (!names.some((name) => matches(name, [filter])))
      throw new UsageError(`no case has "${filter}" in its name; --list shows them all`);
  }
  // Before anything is measured: a mistake in a name should not cost ten minutes.
  const before = options.compare === undefined ? undefined : readRun(await readFile(options.compare, "utf8"));
  const found = await findAdapter({ adapter: options.adapter });
  shareAdapter(found);
  const forced: Record<string, string> = { ...options.variants };
  const gpu = await Gpu.request(found.adapter, found.origin, found.software, {
    ...{ variants: forced, arithmetic: options.arithmetic },
  });
  for (const note of await autotuneHere(gpu)) output.line(note);
  const peers = await openPeers({ names: options.peers, python: options.python }, output.line);
  try {
    const roof = await measureRoof(gpu, { rounds: options.rounds, budget: 5 });
    const run: Run = {
      format: 2,
      adapter: gpu.adapter,
      cores: availableParallelism(),
      load: loadavg()[0],
      versions: {
        node: process.version,
        webgpu: await versionOf("webgpu"),
        ...Object.fromEntries(peers.map(({ name, version }) => [name, version])),
      },
      notes: peers.flatMap(({ name, note }) => (note ? [`${name}: ${note}`] : [])),
      sameAdapter: peers.filter(({ sameAdapter }) => sameAdapter).map(({ name }) => name),
      date: new Date().toISOString().slice(0, 10),
      command: ["npm run bench --", ...process.argv.slice(2).map(quoted)].join(" "),
      roof,
      rows: [],
      steps: [],
      skipped: [],
    };
    await measureAll({ gpu, forced, peers, roof, rates: new Rates(), options }, run, output);
    output.line(tail(run));
    if (before) output.line(compareRuns(before, run));
    return run;
  } finally {
    for (const { close } of peers) close?.();
    gpu.destroy();
  }
}

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `"${word}"`);

async function measureAll(bench: Bench, run: Run, output: Output): Promise<void> {
  const { gpu, options } = bench;
  const cases = CASES.filter(({ name }) => matches(name, options.filters));
  const steps = STEPS.filter(({ name }) => matches(name, options.filters));
  // What a case takes besides its batches grows with its operations; that of a GPU is nothing beside the compiling.
  const seconds = (flop: number): number => 2 + 10 * Math.min(options.budget, flop / run.roof.flopPerSecond);
  const progress = new Progress(
    output,
    new Map([
      ...cases.map(({ name, flop }) => [name, seconds(flop)] as const),
      ...steps.map(({ name }) => [name, 4] as const),
    ]),
  );
  // After every case, so that an interrupted run keeps what it measured.
  const save = async (): Promise<void> => {
    if (options.json) await writeFile(options.json, `${JSON.stringify(run, undefined, 1)}\n`);
  };
  output.line(head(run));
  for (const c of cases) {
    progress.next(c.name);
    const atRoof = c.flop / run.roof.flopPerSecond;
    if (atRoof > options.stepBudget && !options.filters.some((filter) => plain(filter) === plain(c.name))) {
      const reason = `would take ${duration(atRoof)} at the measured roof, more than --step-budget ${options.stepBudget}`;
      run.skipped.push({ name: c.name, reason });
      output.line(`${c.name}: ${reason}`);
      continue;
    }
    const row = await measureCase(bench, c);
    run.rows.push(row);
    bench.rates.note(row);
    output.line(describeRow(row, run.roof));
    await save();
  }
  for (const step of steps) {
    progress.next(step.name);
    const asked = options.filters.some((filter) => plain(filter) === plain(step.name));
    const context: StepContext = {
      ...{ gpu, roof: run.roof, rounds: options.rounds, budget: options.budget },
      limit: asked ? Number.POSITIVE_INFINITY : options.stepBudget,
      note: output.line,
    };
    const measured = await step.measure(step.name, context);
    if ("reason" in measured) run.skipped.push(measured);
    else run.steps.push(measured);
    output.line(describeStep(measured, run.roof));
    await save();
  }
}
