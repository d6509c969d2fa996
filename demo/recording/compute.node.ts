/**
 * Computes the run that the page plays when it is opened: one episode of the toy, through the code that the command line and the page
 * run. Axis letters as in ../protocol.ts.
 */
import path from "node:path";
import { readActionConfig } from "../../src/networks/lucidrains-action/config.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/gpu/open.node.ts";
import type { ProbeProvenance } from "../../src/probe/experiment/measurement.ts";
import { runProbe } from "../../src/probe/experiment/run.ts";
import { EpisodeData } from "../../src/systems/mimic-video/episodes.ts";
import { MimicVideo } from "../../src/systems/mimic-video/model.ts";
import { MimicVideoSubject } from "../../src/systems/mimic-video/subject.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import { pictureError } from "../pixels.ts";
import { Preview } from "../preview.ts";
import type { ModelView, StateView } from "../protocol.ts";
import { viewOf } from "../session.ts";
import type { RecordedSettings } from "./recording.ts";

/**
 * Two seeds of the first episode whose words leave nothing open: elsewhere the imagined push and the recorded one may rightly differ.
 * Eight steps are what 300 kB hold: the imagined frames of one take 24.
 */
export const SETTINGS: RecordedSettings = {
  episode: 1,
  videoSteps: 50,
  probeSteps: [0, 5, 10, 15, 20, 30, 40, 50],
  videoSeeds: [0, 1],
  actionSeeds: [0],
};

export interface Computed {
  readonly model: ModelView;
  /** K, in the order of the probed steps */
  readonly states: readonly StateView[];
  readonly provenance: ProbeProvenance;
}

/**
 * @param folder of the toy, which has `episodes/` in it
 * @throws what opening the model, its episodes and a device throws
 */
export async function computeRecording(
  folder: string,
  settings: RecordedSettings,
  adapter?: string,
): Promise<Computed> {
  const gpu = await openGpu({ adapter });
  try {
    return await computeOn(gpu, folder, settings);
  } finally {
    gpu.destroy();
  }
}

async function computeOn(gpu: Gpu, folder: string, settings: RecordedSettings): Promise<Computed> {
  const files = await openModelFolder(folder);
  const model = await MimicVideo.load(gpu, files, { dtype: "f32", vae: "both" });
  const { description } = model;
  const decoder = await files.json(`${description.parts.action_decoder}/config.json`);
  const { chunkLength, actionDim, jointDim } = readActionConfig(decoder, "action decoder", description.body);
  const shape = { jointState: jointDim, chunk: chunkLength, action: actionDim };
  const own = await openModelFolder(path.join(folder, "episodes"));
  const episodes = await EpisodeData.open(own, "", description, shape);
  const subject = await MimicVideoSubject.bind(model, episodes);
  const { name: device, adapter } = gpu;
  const provenance: ProbeProvenance = {
    model: {
      ...{ name: description.name, revision: files.revision, trainedOn: description.trainedOn },
      weightsSha256: await files.sha256(Object.values(description.parts)),
      ...{ system: "mimic-video", stamp: model.stamp },
    },
    data: { name: own.name, sha256: await own.sha256(["episodes.safetensors"]) },
    noiseSha256: null,
    device: {
      name: device,
      driver: adapter.description,
      adapter: adapter.origin,
      software: adapter.software,
    },
    ...{ dtype: "f32", versions: {} },
  };
  const { episode, ...asked } = settings;
  const { signal } = new AbortController();
  const states: StateView[] = [];
  let preview: Preview | undefined;
  try {
    const probe = { modelDir: folder, episodes: [episode], ...asked };
    await runProbe(
      { subject, provenance },
      { ...probe, videoSeeds: [...asked.videoSeeds], actionSeeds: [...asked.actionSeeds] },
      {
        signal,
        onState: async (seen) => {
          preview ??= await Preview.create(model, subject, seen, asked.actionSeeds);
          const shown = await preview.show(seen, description.actionSteps, signal);
          const future = await episodes.future(episode);
          states.push({ ...shown, pictureError: pictureError(shown.frames, future, description.frameSize) });
        },
      },
    );
    return { model: await viewOf(description, shape, { episodes }), states, provenance };
  } finally {
    preview?.dispose();
    await subject.close();
    model.release();
  }
}
