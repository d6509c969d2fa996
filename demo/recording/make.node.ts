/**
 * Makes recording.safetensors.gz anew:
 *
 *     npx tsc -p tsconfig.bench.json && node dist/.bench/demo/recording/make.node.js [PROBE_JSON]
 *
 * @param PROBE_JSON result of a larger run, beside its run.json: its verdict is said below the recorded one. Default: the verdict of the
 * recording that is there.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { readResultFile } from "../../src/probe/result/read-result.node.ts";
import { UsageError } from "../../src/errors.ts";
import { listOf, short } from "../../src/probe/result/sentences.ts";
import type { VerdictResult } from "../../src/probe/result/verdict.ts";
import { toFloat16 } from "../../src/weights/convert.ts";
import { encodeSafetensors, type TensorToWrite } from "../../src/weights/safetensors.ts";
import type { Computed } from "./compute.node.ts";
import { computeRecording, SETTINGS } from "./compute.node.ts";
import {
  readRecording,
  type RecordedSettings,
  type RecordedText,
  type RecordedVerdict,
  TEXT,
  toChanges,
  withoutAlpha,
} from "./recording.ts";

/** The command line's run with the numbers of a recording. */
const commandOf = ({ episode, videoSteps, probeSteps, videoSeeds, actionSeeds }: RecordedSettings): string =>
  [
    "npm run probe -- --data weights/toy/episodes",
    `--episodes ${episode},`,
    `--video-steps ${videoSteps}`,
    `--probe-steps ${probeSteps.join(",")}`,
    `--video-seeds ${videoSeeds.join(",")}`,
    `--action-seeds ${actionSeeds.join(",")},`,
  ].join(" ");

/** @returns a safetensors file */
export function encodeRecording(
  { model, states, provenance }: Computed,
  settings: RecordedSettings,
  verdict: RecordedVerdict,
): Promise<Uint8Array> {
  const { episodes, datasetMean, ...about } = model;
  const [rows, columns] = model.frameSize;
  const pixels = (frames: readonly Uint8ClampedArray[]): TensorToWrite["data"] =>
    Buffer.concat(frames.map(withoutAlpha));
  const floats = (values: readonly Float32Array[]): Uint8Array =>
    Buffer.concat(
      values.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength)),
    );
  const [E, K, T] = [episodes.length, states.length, model.chunkLength];
  const D = model.actionNames.length;
  const { videoSeeds, actionSeeds } = settings;
  const G = states[0].frames.length / (4 * rows * columns);
  const tensors: TensorToWrite[] = [
    {
      ...{ name: "context", dtype: "U8", shape: [E, model.contextFrames, rows, columns, 3] },
      data: pixels(episodes.map(({ context }) => context)),
    },
    {
      ...{ name: "frame_changes", dtype: "U8", shape: [K, G, rows, columns, 3] },
      data: Buffer.concat(states.map(({ frames }) => toChanges(withoutAlpha(frames), G))),
    },
    {
      ...{ name: "iterates", dtype: "F16" },
      shape: [K, videoSeeds.length, actionSeeds.length, model.actionSteps + 1, T, D],
      data: toFloat16(floats(states.map(({ iterates }) => iterates)), "F32").bytes,
    },
    {
      ...{ name: "joint_state", dtype: "F32", shape: [E, episodes[0].jointState.length] },
      data: floats(episodes.map(({ jointState }) => jointState)),
    },
    { name: "truth", dtype: "F32", shape: [E, T, D], data: floats(episodes.map(({ truth }) => truth!)) },
    {
      ...{ name: "hold_still", dtype: "F32", shape: [E, T, D] },
      data: floats(episodes.map(({ holdStill }) => holdStill!)),
    },
    { name: "dataset_mean", dtype: "F32", shape: [T, D], data: floats([datasetMean!]) },
  ];
  const text: RecordedText = {
    settings,
    command: commandOf(settings),
    model: about,
    episodes: episodes.map(({ index, id, prompt }) => ({ index, id, prompt })),
    taus: states.map(({ tau }) => tau),
    pictureErrors: states.map(({ pictureError }) => pictureError!),
    madeBy: {
      weightsSha256: provenance.model.weightsSha256,
      dataSha256: provenance.data.sha256,
      device: provenance.device.name,
    },
    verdict,
  };
  return encodeSafetensors(tensors, { [TEXT]: JSON.stringify(text) });
}

/**
 * The verdict of a result of the same weights, in a sentence.
 * @throws FormatError for a file that is no result; UsageError for one of other weights, or without a verdict
 */
export async function verdictOf(file: string, weightsSha256: string): Promise<RecordedVerdict> {
  const result = await readResultFile(file);
  const { probe_steps: steps, video_steps: N, video_axis, verdict, floors, episodes, model } = result;
  if (model.weights_sha256 !== weightsSha256)
    throw new UsageError(
      `${file} was measured on weights ${model.weights_sha256.slice(0, 12)}, the recording on ${weightsSha256.slice(0, 12)}. ` +
        "Measure the toy of this checkout.",
    );
  const errors = video_axis.mse_to_truth;
  if (verdict.step === null || !errors) throw new UsageError(`${file} has no verdict: ${verdict.reason}`);
  const run = JSON.parse(await readFile(path.join(path.dirname(file), "run.json"), "utf8")) as {
    command: string;
  };
  return {
    sentence: sentenceOf(N, steps, verdict, episodes.length),
    numbers: numbersOf(steps, errors, verdict.step, floors.hold_still_to_truth, episodes.length),
    // Where it was written to is nobody's business.
    command: run.command.replace(/^\S+/, "npm run probe --").replace(/ --out \S+/, ""),
  };
}

function sentenceOf(
  N: number,
  steps: readonly number[],
  { step, better_steps: better }: Pick<VerdictResult, "step" | "better_steps">,
  episodes: number,
): string {
  if (step === steps.at(-1))
    return `Over ${episodes} episodes no probed step before the last, ${step}, is as good as it.`;
  const head = `Over ${episodes} episodes the action is as good after ${step} of ${N} steps as after all of them`;
  return better.length > 0 ? `${head}, and better at ${listOf(better)}.` : `${head}.`;
}

function numbersOf(
  steps: readonly number[],
  errors: readonly number[],
  step: number,
  still: number | null,
  episodes: number,
): string {
  const last = steps.at(-1)!;
  const at = [...new Set([step, last])].map((k) => `${short(errors[steps.indexOf(k)])} at step ${k}`);
  const standing = still === null ? "" : `; standing still scores ${short(still)}`;
  return `Mean squared error to the true actions over ${episodes} episodes: ${at.join(", ")}${standing}.`;
}

if (process.argv[1] === import.meta.filename) {
  const file = "demo/recording/recording.safetensors.gz";
  const computed = await computeRecording("weights/toy", SETTINGS, "software");
  const [result] = process.argv.slice(2);
  const { weightsSha256 } = computed.provenance.model;
  const verdict = result
    ? await verdictOf(result, weightsSha256)
    : (await readRecording(gunzipSync(await readFile(file)))).verdict;
  const bytes = gzipSync(await encodeRecording(computed, SETTINGS, verdict), { level: 9 });
  await writeFile(`${file}.part`, bytes);
  await rename(`${file}.part`, file);
  console.log(`${file}: ${bytes.length} bytes`);
}
