/**
 * The run that plays when the page is opened, as it lies in recording.safetensors.gz: what the page knows of the toy before any weight is
 * read, and the states of one run. Written by make.node.ts.
 *
 * Axes: E episodes, F context frames, G imagined frames, H rows, W columns, J state, the rest as in ../protocol.ts.
 */
import { FormatError } from "../../src/errors.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import type { ByteSource } from "../../src/weights/source.ts";
import type { EpisodeView, ModelView, StateView } from "../protocol.ts";
import type { ShownRun } from "../scene.ts";

/** What was run. */
export interface RecordedSettings {
  readonly episode: number;
  readonly videoSteps: number;
  /** K */
  readonly probeSteps: readonly number[];
  /** V */
  readonly videoSeeds: readonly number[];
  /** S */
  readonly actionSeeds: readonly number[];
}

/** What a larger run concluded: from the probe.json of that run. */
export interface RecordedVerdict {
  readonly sentence: string;
  /** the errors behind it, in another */
  readonly numbers: string;
  /** what made that result */
  readonly command: string;
}

/** The text that goes with the tensors, as JSON in the file's metadata. */
export interface RecordedText {
  readonly settings: RecordedSettings;
  /** the command line's run with the same numbers */
  readonly command: string;
  readonly model: Omit<ModelView, "episodes" | "datasetMean">;
  readonly episodes: readonly Pick<EpisodeView, "index" | "id" | "prompt">[];
  /** K */
  readonly taus: readonly number[];
  /** K, see ../pixels.ts */
  readonly pictureErrors: readonly number[];
  readonly madeBy: {
    readonly weightsSha256: string;
    readonly dataSha256: string;
    readonly device: string;
  };
  readonly verdict: RecordedVerdict;
}

export interface Recording extends Pick<RecordedText, "settings" | "command" | "madeBy" | "verdict"> {
  readonly model: ModelView;
  readonly run: ShownRun;
  readonly states: readonly StateView[];
}

/** Name of the text in the metadata. */
export const TEXT = "recording";

/** @throws FormatError when the bytes are no recording */
export async function readRecording(bytes: Uint8Array): Promise<Recording> {
  const source: ByteSource = {
    name: "the recording",
    size: bytes.length,
    // A copy, also of what Node calls a Buffer.
    read: async (at, length) => Uint8Array.from(bytes.subarray(at, at + length)),
  };
  const file = await openSafetensors(source);
  const text = file.metadata.get(TEXT);
  if (text === undefined)
    throw new FormatError(`the recording has no “${TEXT}” in its metadata. Make it anew.`);
  const { model, episodes, settings, taus, pictureErrors, ...rest } = JSON.parse(text) as RecordedText;
  const floats = async (name: string): Promise<Float32Array> =>
    toFloat32(await file.read(name), file.tensors.get(name)!.dtype);
  const context = await file.read("context"); // (E, F, H, W, 3)
  const changes = await file.read("frame_changes"); // (K, G, H, W, 3)
  const [iterates, jointState, truth, holdStill] = await Promise.all(
    ["iterates", "joint_state", "truth", "hold_still"].map(floats),
  );
  const row = <T extends Uint8Array | Float32Array>(values: T, i: number, rows: number): T => {
    const each = values.length / rows;
    return values.slice(i * each, (i + 1) * each) as T;
  };
  const E = episodes.length;
  const K = settings.probeSteps.length;
  const G = file.tensors.get("frame_changes")!.shape[1];
  return {
    ...rest,
    settings,
    model: {
      ...model,
      datasetMean: await floats("dataset_mean"),
      episodes: episodes.map((episode, i) => ({
        ...episode,
        context: opaque(row(context, i, E)),
        jointState: row(jointState, i, E),
        truth: row(truth, i, E),
        holdStill: row(holdStill, i, E),
      })),
    },
    run: { steps: settings.probeSteps, videoSteps: settings.videoSteps, actionSteps: model.actionSteps },
    states: settings.probeSteps.map((step, k) => ({
      ...{ episode: settings.episode, step, tau: taus[k], pictureError: pictureErrors[k] },
      frames: opaque(fromChanges(row(changes, k, K), G)),
      iterates: row(iterates, k, K),
    })),
  };
}

/** RGB → RGBA */
function opaque(rgb: Uint8Array): Uint8ClampedArray<ArrayBuffer> {
  const rgba = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let i = 0, at = 0; at < rgb.length; i += 4, at += 3) {
    rgba[i] = rgb[at];
    rgba[i + 1] = rgb[at + 1];
    rgba[i + 2] = rgb[at + 2];
  }
  return rgba;
}

/** RGBA → RGB */
export function withoutAlpha(rgba: Uint8ClampedArray): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, at = 0; at < rgb.length; i += 4, at += 3) rgb.set(rgba.subarray(i, i + 3), at);
  return rgb;
}

/** Frames → the first of them and what changes from each to the next, modulo 256, which compresses a tenth better. */
export function toChanges(frames: Uint8Array, count: number): Uint8Array {
  const each = frames.length / count;
  return frames.map((value, i) => (i < each ? value : value - frames[i - each]));
}

function fromChanges(changes: Uint8Array, count: number): Uint8Array {
  const frames = changes.slice();
  const each = frames.length / count;
  for (let i = each; i < frames.length; i++) frames[i] += frames[i - each];
  return frames;
}
