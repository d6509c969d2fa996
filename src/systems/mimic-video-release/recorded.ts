/**
 * Episodes of a LeRobot data set as the release sees them: five frames of 5 Hz up to now, a state and a chunk of actions as the embodiment
 * makes them of the set's vectors, and, for the oracle, the frames that followed.
 */
import { type FloatPicture, resize, turned } from "../../data/lerobot/pixels.ts";
import { labelsOf, positionsOf, type Recordings } from "../../data/lerobot/recordings.ts";
import { Windows } from "../../data/lerobot/windows.ts";
import { UsageError } from "../../errors.ts";
import { type Clip, CONTEXT_FRAMES } from "./clip.ts";
import { actionsOf, type Embodiment, embodimentOf, stateOf } from "./embodiment.ts";
import type { Episode, EpisodeSource } from "./episodes.ts";
import type { Family } from "./statistics.ts";

/** Of video, in training as in both evaluations. */
const FRAMES_A_SECOND = 5;

export interface RecordedOptions {
  readonly clip: Clip;
  readonly family: Family;
  /** T */
  readonly chunk: number;
  readonly oracle: boolean;
  readonly onNote?: (line: string) => void;
}

const seconds = (first: number, count: number, rate: number): { seconds: number[] } => ({
  seconds: Array.from({ length: count }, (_, i) => (first + i) / rate),
});

/** @throws UsageError when cameras, vectors or rates do not fit, saying what the set has */
export async function recordedEpisodes(
  data: Recordings,
  { clip, family, chunk, oracle, onNote }: RecordedOptions,
): Promise<EpisodeSource> {
  const [camera] = data.cameras(1);
  const [state, action] = [data.vector("state"), data.vector("action")];
  const embodiment = embodimentOf(data.choices.embodiment, family, state, action);
  const { rate } = embodiment;
  const posed = family === "bridge";
  const windows = await Windows.plan(
    data.set,
    {
      pictures: {
        context: { key: camera.key, at: seconds(1 - CONTEXT_FRAMES, CONTEXT_FRAMES, FRAMES_A_SECOND) },
        ...(oracle && { future: { key: camera.key, at: seconds(1, clip.futureFrames, FRAMES_A_SECOND) } }),
      },
      vectors: {
        states: { key: state.key, at: seconds(0, posed ? chunk + 1 : 1, rate) },
        actions: { key: action.key, at: seconds(0, chunk, rate) },
      },
      // SIMPLER repeats the present frame until there are five; LIBERO the first one.
      before: posed ? "now" : "first",
      least: posed ? 1 : 0,
    },
    data.choices,
  );
  onNote?.(`${windows.note}; states and actions as of ${embodiment.name}`);
  const prompts = new Set<string>();
  for (const index of asked(data, windows.count)) prompts.add(await windows.task(index));
  return {
    count: windows.count,
    hasFuture: oracle,
    prompts: [...prompts],
    close: () => data.close(),
    read: async (index, withFuture = false): Promise<Episode> => {
      if (withFuture && !oracle)
        throw new UsageError("The recorded future was not asked for; --oracle does.");
      const { id, episode, task, pictures, vectors, recorded } = await windows.read(index);
      const frames = withFuture ? [...pictures.context, ...pictures.future] : undefined;
      const { states, actions } = vectors;
      return {
        ...{ index, id, prompt: task, labels: labelsOf(data, episode) },
        context: clipOfFrames(pictures.context, clip, embodiment),
        state: stateOf(states.values.subarray(0, states.size), embodiment),
        actions: actionsOf(states, actions, embodiment),
        // A pose is reached a step behind its action.
        ...positionsOf(posed ? recorded.states.slice(1) : recorded.actions),
        ...(frames && { recorded: clipOfFrames(frames, clip, embodiment) }),
      };
    },
  };
}

/** Windows whose prompts must be encoded before they are read. */
function asked({ choices }: Recordings, count: number): readonly number[] {
  const which = choices.asked ?? count;
  if (typeof which !== "number") return which.filter((index) => index < count);
  return Array.from({ length: Math.min(which, count) }, (_, i) => i);
}

/** Frames of (3, height, width) in 0 … 255 → (3, frames, rows, columns) in −1 … 1; another ratio of sides is stretched, as in training. */
function clipOfFrames(
  frames: readonly FloatPicture[],
  { frameSize: [rows, columns] }: Clip,
  { turn }: Embodiment,
): Float32Array<ArrayBuffer> {
  const area = rows * columns;
  const out = new Float32Array(3 * frames.length * area);
  frames.forEach((frame, f) => {
    const { rgb } = resize(turn ? turned(frame) : frame, rows, columns);
    for (let c = 0; c < 3; c++) {
      const to = (c * frames.length + f) * area;
      for (let i = 0; i < area; i++) out[to + i] = 2 * (rgb[c * area + i] / 255 - 0.5);
    }
  });
  return out;
}
