/**
 * npm run bench -- [FILTER…] [--rounds N] [--json FILE] [--compare FILE] [--adapter NAME] [--no-peers] [--list]
 *
 * Times every kernel against the roof of the adapter, against its own naive version and against peers on the same adapter. A
 * contender is checked before it is timed; a wrong one is reported and left out. A filter is a part of a case's name.
 */
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { Gpu } from "../src/gpu/gpu.ts";
import { findAdapter } from "../src/gpu/open.node.ts";
import { record } from "../src/gpu/recording.ts";
import { readTensor } from "../src/tensor/tensor.ts";
import { relativeError } from "../test/support/numbers.ts";
import { type Case, CASES } from "./cases.ts";
import { type Contender, measure, replaying } from "./measure.ts";
import { openPeers, type Peer, shareAdapter } from "./peers.ts";
import { compareRuns, describeRow, type Row, type Run, type Step, summarise } from "./report.ts";
import { measureRoof } from "./roof.ts";
import { measureSteps } from "./steps.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    json: { type: "string" },
    compare: { type: "string" },
    adapter: { type: "string" },
    "no-peers": { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  },
});

/** What a right float32 result may differ by, at most; the tests of the kernels are far stricter. */
const TOLERANCE = 1e-4;

/** Beyond this many operations the naive kernel is left out: it takes minutes on a software adapter. */
const NAIVE_FLOP = 1.5e8;

const VARIANTS: Readonly<Record<Case["kernel"], readonly string[]>> = {
  linear: ["naive"],
  attention: ["naive"],
  norm: [],
  conv3d: ["naive"],
  gru: ["naive"],
};

/** Why a result is not to be timed; undefined when it is right. */
function fault(ours: Float32Array, truth: Float64Array): string | undefined {
  const finite = ours.reduce((n, v) => n + Number(Number.isFinite(v)), 0);
  const nonZero = ours.reduce((n, v) => n + Number(v !== 0), 0);
  if (finite < ours.length) return `${ours.length - finite} of ${ours.length} values are not finite`;
  if (nonZero < ours.length / 2) return `only ${nonZero} of ${ours.length} values are not zero`;
  const error = relativeError(ours.subarray(0, truth.length), truth);
  return error < TOLERANCE ? undefined : `relative error ${error.toExponential(1)}`;
}

/** Times one case; the first contender is ours as the engine would run it. */
async function measureCase(gpu: Gpu, forced: Record<string, string>, c: Case, peers: Peer[]): Promise<Row> {
  const truth = c.truth();
  const contenders: Contender[] = [];
  const rejected: string[] = [];
  const cleanUp: (() => void)[] = [];
  const prepared = c.prepare(gpu);
  cleanUp.push(prepared.release);
  let variant = "only one";
  let dispatches = 0;
  for (const name of ["ours", ...(c.flop < NAIVE_FLOP ? VARIANTS[c.kernel] : [])]) {
    if (name !== "ours") forced[c.kernel] = name;
    const replay = await record(gpu, c.name, prepared.compute).finally(() => delete forced[c.kernel]);
    cleanUp.push(() => replay.dispose());
    await replay.run();
    const wrong = fault(await readTensor(gpu, replay.outputs), truth);
    if (wrong) {
      rejected.push(`${name}: ${wrong}`);
      continue;
    }
    if (name === "ours") {
      variant = replay.dispatches[0].kernel.key;
      dispatches = replay.dispatches.length;
    }
    contenders.push(replaying(name, gpu, replay));
  }
  for (const peer of c.peer ? peers : []) {
    const job = c.peer!(peer);
    cleanUp.push(job.dispose);
    const wrong = fault(await job.read(), truth);
    if (wrong) rejected.push(`${peer.name}: ${wrong}`);
    else contenders.push({ name: peer.name, run: job.run });
  }
  const measures = await measure(contenders, Number(values.rounds));
  for (const clean of cleanUp.reverse()) clean();
  const { name, kernel, flop, bytes, boundBy } = c;
  return { name, kernel, flop, bytes, boundBy, variant, dispatches, rejected, measures };
}

async function main(): Promise<void> {
  const wanted = (name: string): boolean =>
    positionals.length === 0 || positionals.some((filter) => name.includes(filter));
  if (values.list) {
    for (const make of CASES) console.log(make().name);
    return;
  }
  const found = await findAdapter({ adapter: values.adapter });
  shareAdapter(found);
  const forced: Record<string, string> = {};
  const gpu = await Gpu.request(found.adapter, found.origin, found.software, { variants: forced });
  const peers = values["no-peers"] ? [] : await openPeers();
  const roof = await measureRoof(gpu, Number(values.rounds));
  const rows: Row[] = [];
  const describe = (steps: readonly Step[]): Run => ({
    adapter: gpu.adapter,
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
    command: `npm run bench -- ${process.argv.slice(2).join(" ")}`.trim(),
    roof,
    rows,
    steps,
  });
  // After every case, so that an interrupted run keeps what it measured.
  const save = async (run: Run): Promise<void> => {
    if (values.json) await writeFile(values.json, `${JSON.stringify(run, undefined, 1)}\n`);
  };
  console.log(summarise.head(gpu.adapter, roof));
  for (const make of CASES) {
    const c = make();
    if (!wanted(c.name)) continue;
    const row = await measureCase(gpu, forced, c, peers);
    rows.push(row);
    console.log(describeRow(row, roof));
    await save(describe([]));
  }
  const run = describe(await measureSteps(gpu, wanted, Number(values.rounds)));

  console.log(summarise.tail(run));
  if (values.compare) {
    console.log(compareRuns(JSON.parse(await readFile(values.compare, "utf8")) as Run, run));
  }
  await save(run);
  gpu.destroy();
}

await main();
// The peers hold devices and timers that nothing can close.
process.exit(0);
