/** Opening everything a run needs in Node: model, device, items, noise, and where they come from. */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import path from "node:path";
import { createRequire } from "node:module";
import { AdapterError } from "../../errors.ts";
import { Recordings } from "../../data/lerobot/recordings.ts";
import { openGpu } from "../../gpu/open.node.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { autotuneHere } from "../../kernels/autotune.node.ts";
import type {
  ProbeMeasurement,
  ProbeProvenance,
  ProbeSettings,
  RunProbe,
} from "../../probe/experiment/measurement.ts";
import { runProbe } from "../../probe/experiment/run.ts";
import { checkSettings, DEFAULTS } from "../../probe/experiment/settings.ts";
import { otherModels } from "../other-models.node.ts";
import { folderCache } from "../../systems/cache.node.ts";
import { recognise } from "../../systems/registry.ts";
import type { BoundSubject, Opened, SystemOptions } from "../../systems/system.ts";
import { SMALLER_WEIGHTS } from "../../tensor/matrix.ts";
import { formatBytes } from "../../weights/listing.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import type { TensorSource } from "../../weights/source.ts";
import { openModelFolder } from "../../weights/model-files.node.ts";
import { openData } from "./data.node.ts";
import { resolveModel } from "../../weights/hub/resolve-model.node.ts";
import { openArrays } from "../../weights/open-arrays.node.ts";
import { openWeights } from "../../weights/open.node.ts";

/** Runs the probe on a folder or Hub checkpoint, on the adapter that is asked for. */
export const runProbeHere: RunProbe = async (settings, hooks): Promise<ProbeMeasurement> => {
  const { onProgress, onNote, signal } = hooks;
  const clock = phases();
  const openModel = otherModels(settings.modelDir, settings.frozen, ({ bytes, totalBytes }) =>
    onProgress?.({ phase: "downloading", done: bytes, total: totalBytes, unit: "bytes" }),
  );
  const options = { ...systemOptions(settings), openModel, onNote };
  const { adapter, variants, arithmetic } = settings;
  let gpu: Gpu | undefined;
  const device = async (): Promise<Gpu> => (gpu ??= await openGpu({ adapter, variants, arithmetic }));
  let opened: Opened | undefined;
  let noise: TensorSource | undefined;
  let subject: BoundSubject | undefined;
  try {
    const folder = await resolveModel(settings.modelDir, {
      choose: async (remote) => (await recognise(remote)).needed(remote, options),
      beforeDownload: async (remote) => {
        const system = await recognise(remote);
        const planned = await system.open(await device(), remote, options);
        await planned.release();
        onNote?.(checkMemory(planned, await device()));
      },
      onProgress: ({ bytes, totalBytes }) =>
        onProgress?.({ phase: "downloading", done: bytes, total: totalBytes, unit: "bytes" }),
    });
    // The Hub's cache keeps each commit in a folder of its own.
    const revision = /snapshots[\\/]([0-9a-f]{40})/.exec(folder)?.[1];
    const { verify, nonFinite } = settings;
    const files = await openModelFolder(folder, revision, { verify });
    // A folder of the wrong kind is refused before a device is opened.
    const system = await recognise(files);
    opened = await system.open(await device(), files, options);
    onNote?.(checkMemory(opened, await device()));
    clock.lap("open");
    // Data and noise that do not fit are refused before minutes go into weights.
    const own = revision === undefined ? undefined : await system.dataSet?.(files);
    const data = await openData(settings, own ?? path.join(folder, await system.items(files)), onNote);
    noise = settings.noiseFile === undefined ? undefined : await openWeights(settings.noiseFile);
    subject = await opened.subject(data, noise);
    await checkSettings(settings, subject);
    for (const note of await autotuneHere(gpu!)) onNote?.(note);
    clock.lap("select");
    await opened.load({
      signal,
      nonFinite,
      onProgress: (done, total) => onProgress?.({ phase: "loading weights", done, total, unit: "bytes" }),
      onSaturated: (key, count) => onNote?.(`${key}: ${count} values beyond float16's ±65504 became ±65504`),
    });
    const { dataFiles } = subject;
    const provenance = await provenanceOf(gpu!, settings, opened, system.name, files, data, dataFiles);
    clock.lap("load");
    const measurement = await runProbe({ subject, provenance }, settings, hooks);
    return {
      ...measurement,
      timing: { ...measurement.timing, phases: [...clock.laps, ...measurement.timing.phases] },
    };
  } finally {
    // Whatever ended the run: what is left open is closed by the garbage collector, with a warning.
    await subject?.close();
    await noise?.close();
    await opened?.release();
    gpu?.destroy();
  }
};

/** What a system may need of this machine. */
export const HERE = { openFile: openArrays, cache: folderCache() };

function systemOptions(settings: ProbeSettings): SystemOptions {
  const { dtype, unexpected, rename, policy, text, encodeText, oracle, gpuMemory, videoSeeds, stateTime } =
    settings;
  // What is not asked for is the house's habit (experiment/settings.ts).
  const trajectories = videoSeeds?.length ?? DEFAULTS.videoSeeds.length;
  return {
    dtype,
    unexpected,
    rename,
    policy,
    stateTime,
    text,
    encodeText,
    oracle,
    gpuMemory,
    trajectories,
    ...HERE,
  };
}

async function provenanceOf(
  gpu: Gpu,
  settings: ProbeSettings,
  opened: Opened,
  system: string,
  files: ModelFiles,
  data: ModelFiles | Recordings,
  dataFiles: readonly string[] = ["episodes.safetensors"],
): Promise<ProbeProvenance> {
  const { noiseFile } = settings;
  const noiseHash = async (file: string): Promise<string> =>
    (await openModelFolder(path.dirname(file))).sha256([path.basename(file)]);
  return {
    ...(await modelProvenance(gpu, opened, system, files)),
    data: {
      name: data.name,
      sha256: await (data instanceof Recordings ? data.sha256() : data.sha256(dataFiles)),
    },
    noiseSha256: noiseFile === undefined ? null : await noiseHash(noiseFile),
  };
}

/** Which model, on which device, by which versions. */
export async function modelProvenance(
  gpu: Gpu,
  opened: Opened,
  system: string,
  files: ModelFiles,
): Promise<Pick<ProbeProvenance, "model" | "device" | "dtype" | "versions">> {
  const { vendor, architecture, device, description: driver, software, origin } = gpu.adapter;
  return {
    model: {
      name: opened.name,
      revision: files.revision,
      weightsSha256: await files.sha256(opened.weightFiles),
      trainedOn: opened.trainedOn,
      system,
      stamp: opened.stamp,
    },
    device: {
      name: gpu.name,
      driver: driver || origin,
      adapter: [vendor, architecture, device, origin].filter(Boolean).join(", "),
      software,
    },
    dtype: opened.dtype,
    versions: {
      project: version("../../../package.json"),
      node: process.versions.node,
      webgpu: version("webgpu"),
    },
  };
}

/**
 * What the weights need and what the adapter allows. How much memory a GPU has, WebGPU does not tell; that of a software
 * adapter is the computer's.
 * @throws AdapterError when a software adapter would need more memory than there is
 */
export function checkMemory({ name, plan }: Opened, { adapter, name: device, maxBindingBytes }: Gpu): string {
  if (adapter.software && plan.weights > totalmem()) {
    throw new AdapterError(
      `${name} needs ${formatBytes(plan.weights)} of GPU memory for its weights; ${device} is a software adapter on a computer ` +
        `with ${formatBytes(totalmem())}. ${SMALLER_WEIGHTS}`,
    );
  }
  return `${plan.lines.join("\n")}\n${device} binds at most ${formatBytes(maxBindingBytes)} at once`;
}

function phases(): { lap(name: string): void; readonly laps: { name: string; seconds: number }[] } {
  const laps: { name: string; seconds: number }[] = [];
  let last = performance.now();
  return {
    laps,
    lap: (name) => {
      const now = performance.now();
      laps.push({ name, seconds: (now - last) / 1000 });
      last = now;
    },
  };
}

/** Version of this project (a path to its package.json) or of an installed package. */
function version(of: string): string {
  const file = of.startsWith(".")
    ? new URL(of, import.meta.url)
    : createRequire(import.meta.url).resolve(`${of}/package.json`);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
