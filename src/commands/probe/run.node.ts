/** Opening everything a run needs in Node: model, device, episodes, noise, and where they come from. */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import path from "node:path";
import { createRequire } from "node:module";
import { AdapterError } from "../../errors.ts";
import { openGpu } from "../../gpu/open.node.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { selectVariantsHere } from "../../kernels/selection.node.ts";
import { MimicVideo, type ModelPlan } from "../../systems/mimic-video/model.ts";
import { readModelDescription } from "../../systems/mimic-video/description.ts";
import { SMALLER_WEIGHTS } from "../../tensor/packed-weight.ts";
import { formatBytes } from "../../weights/listing.ts";
import { openModelFolder } from "../../weights/model-files.node.ts";
import { resolveModel } from "../../weights/hub/resolve-model.node.ts";
import { openWeights } from "../../weights/open.node.ts";
import { EpisodeData, GivenNoise } from "../../systems/mimic-video/episodes.ts";
import type { ProbeMeasurement, ProbeProvenance, RunProbe } from "../../probe/experiment/measurement.ts";
import { runProbe } from "../../probe/experiment/run.ts";

/** Runs the probe on a folder or Hub checkpoint, on the adapter that is asked for. */
export const runProbeHere: RunProbe = async (settings, hooks): Promise<ProbeMeasurement> => {
  const { onProgress, onNote, signal } = hooks;
  const clock = phases();
  let gpu: Gpu | undefined;
  try {
    const folder = await resolveModel(settings.modelDir, {
      beforeDownload: async (remote) => {
        readModelDescription(await remote.json("model.json"), remote.name);
        gpu = await openGpu({ adapter: settings.adapter, variants: settings.variants });
        const plan = await MimicVideo.plan(gpu, remote, {
          dtype: settings.dtype,
          unexpected: settings.unexpected,
        });
        await plan.close();
        onNote?.(checkMemory(plan, gpu));
      },
      onProgress: ({ bytes, totalBytes }) =>
        onProgress?.({ phase: "downloading", done: bytes, total: totalBytes, unit: "bytes" }),
    });
    // The Hub's cache keeps each commit in a folder of its own.
    const revision = /snapshots[\\/]([0-9a-f]{40})/.exec(folder)?.[1];
    const files = await openModelFolder(folder, revision);
    // A folder of the wrong kind is refused before a device is opened.
    const description = readModelDescription(await files.json("model.json"), files.name);
    gpu ??= await openGpu({ adapter: settings.adapter, variants: settings.variants });
    clock.lap("open");
    for (const note of await selectVariantsHere(gpu)) onNote?.(note);
    clock.lap("select");
    const model = await MimicVideo.load(gpu, files, {
      dtype: settings.dtype,
      unexpected: settings.unexpected,
      signal,
      onProgress: (done, total) => onProgress?.({ phase: "loading weights", done, total, unit: "bytes" }),
      onSaturated: (key, count) => onNote?.(`${key}: ${count} values beyond float16's ±65504 became ±65504`),
    });
    const dataFolder = settings.dataDir ?? path.join(folder, "episodes");
    const dataFiles = await openModelFolder(dataFolder);
    const [chunk, action] = model.chunkShape;
    const { jointDim } = model.actionDecoder.config;
    const data = await EpisodeData.open(dataFiles, "", description, { jointState: jointDim, chunk, action });
    const noiseSource = settings.noiseFile === undefined ? undefined : await openWeights(settings.noiseFile);
    const noise =
      noiseSource && (await GivenNoise.read(noiseSource, data.count, model.futureShape, model.chunkShape));
    await noiseSource?.close();
    const { vendor, architecture, device, description: driver, software, origin } = gpu.adapter;
    const provenance: ProbeProvenance = {
      model: {
        name: description.name,
        revision: files.revision,
        weightsSha256: await files.sha256(Object.values(description.parts)),
        trainedOn: description.trainedOn,
      },
      data: { name: dataFiles.name, sha256: await dataFiles.sha256(["episodes.safetensors"]) },
      noiseSha256:
        settings.noiseFile === undefined
          ? null
          : await (
              await openModelFolder(path.dirname(settings.noiseFile))
            ).sha256([path.basename(settings.noiseFile)]),
      device: {
        name: gpu.name,
        driver: driver || origin,
        adapter: [vendor, architecture, device, origin].filter(Boolean).join(", "),
        software,
      },
      dtype: settings.dtype,
      versions: {
        project: version("../../../package.json"),
        node: process.versions.node,
        webgpu: version("webgpu"),
      },
    };
    clock.lap("load");
    const measurement = await runProbe({ model, data, noise, provenance }, settings, hooks);
    await data.close();
    model.release();
    return {
      ...measurement,
      timing: { ...measurement.timing, phases: [...clock.laps, ...measurement.timing.phases] },
    };
  } finally {
    gpu?.destroy();
  }
};

/**
 * What the weights need and what the adapter allows. How much memory a GPU has, WebGPU does not tell; that of a software
 * adapter is the computer's.
 * @throws AdapterError when a software adapter would need more memory than there is
 */
function checkMemory(
  { name, bytes, largest }: ModelPlan,
  { adapter, name: device, maxBindingBytes }: Gpu,
): string {
  const needs = `${name} needs ${formatBytes(bytes)} of GPU memory for its weights`;
  if (adapter.software && bytes > totalmem()) {
    throw new AdapterError(
      `${needs}; ${device} is a software adapter on a computer with ${formatBytes(totalmem())}. ${SMALLER_WEIGHTS}`,
    );
  }
  return `${needs}, the largest ${formatBytes(largest.bytes)} (${largest.label}); ${device} binds at most ${formatBytes(maxBindingBytes)} at once`;
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
