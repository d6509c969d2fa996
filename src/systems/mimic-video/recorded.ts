/**
 * Episodes of a LeRobot data set as this model sees them: context frames as far apart as the model's, a state, a chunk of actions from the
 * present one on. Pictures are resized to the model's frame; states and actions are taken as they are, and must have its sizes.
 */
import { UsageError } from "../../errors.ts";
import { type FloatPicture, resize } from "../../data/lerobot/pixels.ts";
import { labelsOf, positionsOf, type Recordings } from "../../data/lerobot/recordings.ts";
import { type Offsets, Windows } from "../../data/lerobot/windows.ts";
import type { ModelDescription } from "./description.ts";
import type { Episode, EpisodeShape } from "./episodes.ts";
import type { Episodes } from "./subject.ts";

const upTo = (count: number, step: number, last: number): number[] =>
  Array.from({ length: count }, (_, i) => last - (count - 1 - i) * step);

/**
 * Moments of context and actions. A model whose model.json names no `frame_rate` counts in recorded frames, an action each.
 */
function moments(model: ModelDescription, chunk: number): { context: Offsets; actions: Offsets } {
  const { contextFrames, frameRate } = model;
  const { perFrame } = model.action;
  if (frameRate === undefined)
    return {
      context: { frames: upTo(contextFrames, perFrame, 0) },
      actions: { frames: upTo(chunk, 1, chunk - 1) },
    };
  const step = 1 / frameRate;
  return {
    context: { seconds: upTo(contextFrames, step, 0) },
    actions: { seconds: upTo(chunk, step / perFrame, ((chunk - 1) * step) / perFrame) },
  };
}

/** @throws UsageError when cameras, sizes or rates do not fit the model, saying what the set has */
export async function recordedEpisodes(
  data: Recordings,
  model: ModelDescription,
  shape: EpisodeShape,
  onNote: (line: string) => void = () => {},
): Promise<Episodes> {
  if (data.choices.embodiment !== undefined)
    throw new UsageError(`--embodiment does not apply to a model of the kind "mimic-video"; leave it out.`);
  const { context, actions } = moments(model, shape.chunk);
  const [camera] = data.cameras(1);
  const windows = await Windows.plan(
    data.set,
    {
      pictures: { context: { key: camera.key, at: context } },
      vectors: {
        state: { key: data.vectorOf("state", shape.jointState).key, at: { frames: [0] } },
        actions: { key: data.vectorOf("action", shape.action).key, at: actions },
      },
      before: "left out",
    },
    data.choices,
  );
  onNote(windows.note);
  return {
    count: windows.count,
    close: () => data.close(),
    read: async (index): Promise<Episode> => {
      const { id, episode, task, pictures, vectors, recorded } = await windows.read(index);
      return {
        ...{ index, id, prompt: task, labels: labelsOf(data, episode) },
        context: contextOf(pictures.context, model.frameSize),
        jointState: Float32Array.from(vectors.state.values),
        truth: Float32Array.from(vectors.actions.values),
        ...positionsOf(recorded.actions),
      };
    },
  };
}

/** Frames of (3, height, width) in 0 … 255 → (3, frames, rows, columns) in 0 … 1. */
function contextOf(
  frames: readonly FloatPicture[],
  [rows, columns]: readonly [number, number],
): Float32Array<ArrayBuffer> {
  const area = rows * columns;
  const out = new Float32Array(3 * frames.length * area);
  frames.forEach((frame, f) => {
    const { rgb } = resize(frame, rows, columns);
    for (let c = 0; c < 3; c++)
      for (let i = 0; i < area; i++) out[(c * frames.length + f) * area + i] = rgb[c * area + i] / 255;
  });
  return out;
}
