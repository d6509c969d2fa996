/** What the chosen kernels bring to the whole: one small probe of the toy, with them and with naive kernels only. */
import { readFile, writeFile } from "node:fs/promises";
import { cpuUsage } from "node:process";
import { UsageError } from "../src/errors.ts";
import { openGpu } from "../src/gpu/open.node.ts";
import { MimicVideo } from "../src/systems/mimic-video/model.ts";
import { EpisodeData } from "../src/systems/mimic-video/episodes.ts";
import { MimicVideoSubject } from "../src/systems/mimic-video/subject.ts";
import type { ProbeProvenance, ProbeSettings } from "../src/probe/experiment/measurement.ts";
import { runProbe } from "../src/probe/experiment/run.ts";
import { openModelFolder } from "../src/weights/model-files.node.ts";
import { relativeError } from "../test/support/numbers.ts";
import { describeProbes, type ProbeComparison, readRun, time } from "./report.ts";
import type { Output } from "./run.ts";

const TOY = "weights/toy";

/** Every kernel that has a naive version. */
export const NAIVE: Readonly<Record<string, string>> = {
  ...{ linear: "naive", attention: "naive", wideAttention: "naive", conv3d: "naive", gru: "naive" },
  historyPool: "naive",
};

/**
 * Two episodes, as one is the control of the other, and few steps, since naive kernels need minutes for more. Loading and
 * compiling, 15 s of processor time with either (SwiftShader 5.0.0, 2026-11-22), weigh more than in a real probe, so the
 * ratio flatters the naive ones.
 */
const SETTINGS = {
  ...{ modelDir: TOY, episodes: [0, 1], videoSteps: 4, probeSteps: [2, 4], actionSteps: 4 },
  ...{ videoSeeds: [0], actionSeeds: [0], dtype: "f32" },
} satisfies ProbeSettings;

// Nothing is stored, so nothing has to be told apart.
const PROVENANCE: ProbeProvenance = {
  model: { name: "toy", revision: "", weightsSha256: "", trainedOn: "toy", system: "mimic-video", stamp: {} },
  data: { name: "toy", sha256: "" },
  noiseSha256: null,
  device: { name: "", driver: "", adapter: "", software: true },
  dtype: "f32",
  versions: {},
};

interface ProbeRun {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly actions: Float32Array;
  readonly adapter: string;
}

/** Opening the device, loading, building the pipelines, and the probe: what a user waits for, but for Node's own start. */
async function run(
  adapter: string | undefined,
  variants: Readonly<Record<string, string>>,
  settings: ProbeSettings,
): Promise<ProbeRun> {
  const [start, cpu] = [performance.now(), cpuUsage()];
  const gpu = await openGpu({ adapter, variants });
  try {
    const files = await openModelFolder(TOY);
    const model = await MimicVideo.load(gpu, files);
    const folder = await openModelFolder(`${TOY}/episodes`);
    const data = await EpisodeData.open(folder, "", model.description, model.episodeShape);
    const subject = await MimicVideoSubject.bind(model, data);
    const { episodes } = await runProbe({ subject, provenance: PROVENANCE }, settings, {});
    await subject.close();
    model.release();
    const { user, system } = cpuUsage(cpu);
    return {
      seconds: (performance.now() - start) / 1e3,
      cpuSeconds: (user + system) / 1e6,
      actions: Float32Array.from(episodes.flatMap(({ actions }) => [...actions])),
      adapter: gpu.name,
    };
  } finally {
    gpu.destroy();
  }
}

/** float32 sums in another order, through every step: far below what any curve shows, far above a wrong kernel. */
const TOLERANCE = 1e-3;

/**
 * Runs both and prints their times and the ratio.
 * @throws UsageError when the two decode different actions
 */
export async function compareProbes(
  adapter: string | undefined,
  output: Output,
  settings: typeof SETTINGS = SETTINGS,
): Promise<ProbeComparison> {
  output.progress("the chosen kernels");
  const chosen = await run(adapter, {}, settings);
  const line = (name: string, { seconds, cpuSeconds }: ProbeRun): void =>
    output.line(`${name.padEnd(20)} ${time(seconds)}, ${time(cpuSeconds)} of processor time`);
  const { videoSteps, actionSteps, probeSteps } = settings;
  output.line(
    `toy probe on ${chosen.adapter}: ${settings.episodes.length} episodes, ${videoSteps} video steps, ` +
      `decoded at ${probeSteps.join(" and ")} in ${actionSteps} steps; device, loading and pipelines included`,
  );
  line("chosen kernels", chosen);
  output.progress("naive kernels only; these need some minutes");
  const naive = await run(adapter, NAIVE, settings);
  line("naive kernels only", naive);
  const difference = relativeError(chosen.actions, naive.actions);
  if (!(difference < TOLERANCE))
    throw new UsageError(`the decoded actions differ by ${difference.toExponential(1)}: a kernel is wrong`);
  const measured: ProbeComparison = {
    ...{ adapter: chosen.adapter, difference },
    ...{ seconds: chosen.seconds, cpuSeconds: chosen.cpuSeconds },
    ...{ naiveSeconds: naive.seconds, naiveCpuSeconds: naive.cpuSeconds },
  };
  output.line(describeProbes(measured));
  return measured;
}

/** `bench -- probe`: compares, and adds the result to the kept run that `json` names. */
export async function runProbes(
  { adapter, json }: { readonly adapter?: string; readonly json?: string },
  output: Output,
): Promise<void> {
  // Before minutes are spent.
  const run = json === undefined ? undefined : readRun(await readFile(json, "utf8"));
  const probe = await compareProbes(adapter, output);
  if (run) await writeFile(json!, `${JSON.stringify({ ...run, probe }, undefined, 1)}\n`);
}
