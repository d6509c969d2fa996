/**
 * GPU memory before anything is read: an item is walked through encoding, denoising and reading on a device that only counts, so the
 * plan has the buffers of the run itself. Where the card's memory is said, the decoder's keys and values are kept so that it fits.
 *
 * Axes: V trajectories in one batch, N video tokens of width D.
 */
import { AdapterError } from "../../errors.ts";
import { countingLike } from "../../gpu/counting.ts";
import { widthOf } from "../../networks/cosmos/config.ts";
import type { ContextStorage } from "../../networks/world2action/decoder.ts";
import { sample } from "../../sampling/sample.ts";
import { createTensor, releaseTensor } from "../../tensor/tensor.ts";
import { formatBytes } from "../../weights/listing.ts";
import type { Plan } from "../system.ts";
import { CONTEXT_FRAMES, CONTEXT_LATENTS } from "./clip.ts";
import type { ReleaseModel } from "./model.ts";
import { readOut } from "./read-out.ts";
import { MOST_TEXT_ROWS } from "./text-file.ts";
import { VideoDenoiser, videoScheduler } from "./video-denoiser.ts";

export interface MemoryPlan extends Plan {
  /** how the decoder keeps its keys and values of the video */
  readonly contextStorage: ContextStorage;
  /** V */
  readonly mostCopies: number;
  /** bytes for held taps and their reading */
  readonly readBudget: number;
}

/** Tokens that one dispatch of a batch should have; more copies bring nothing then. */
const TOKENS_AT_ONCE = 4096;

/** Held taps and their reading may take so much where nobody says how much there is. */
const READ_BUDGET = 2 ** 30;

/** More taps in one batch of readings bring nothing. */
const MOST_HELD = 8;

/**
 * Taps that the probe keeps besides the one that stands: a control's, the last of two episodes, and as much for tokens of all of them that are compared,
 * states and velocities.
 */
const KEPT_TAPS = 4;

const KEPT: Readonly<Record<ContextStorage, string>> = {
  float32: "kept from step to step",
  half: "kept in half precision, as they do not fit in float32",
  recompute: "made again in every step, as all of them do not fit",
};

/** bytes taken at most, up to each phase */
export interface Walked {
  readonly weights: number;
  readonly encoding: number;
  readonly denoising: number;
  readonly reading: number;
}

/** Bytes of a tap and of reading it, for V copies. */
export function readingBytes(
  { decoder, tokens, transformer }: ReleaseModel,
  copies: number,
  storage: ContextStorage,
): { tap: number; readRow: number } {
  const tap = 4 * copies * tokens * widthOf(transformer.config);
  // A copy of the tap, its norm, keys and values.
  return { tap, readRow: 2 * tap + decoder.contextBytes(tokens, storage, copies) };
}

/**
 * @param gpuMemory bytes of the card, where they are known
 * @param oracle whether all frames of a recording are encoded
 * @param trajectories of an item that will be asked for
 * @throws AdapterError when the clip does not fit, with the numbers and what to change
 */
export async function planMemory(
  model: ReleaseModel,
  gpuMemory: number | undefined,
  oracle: boolean,
  trajectories = 1,
): Promise<MemoryPlan> {
  const mostCopies = Math.max(1, Math.min(trajectories, Math.floor(TOKENS_AT_ONCE / model.tokens)));
  const fits = (bytes: number): boolean => gpuMemory === undefined || bytes <= gpuMemory;
  const ways = (["float32", "half", "recompute"] as const).flatMap((storage) =>
    [...new Set([mostCopies, 1])].map((copies) => ({ storage, copies })),
  );
  let walked: Walked | undefined;
  for (const { storage, copies } of ways) {
    walked = await walkMemory(model, copies, storage, oracle);
    const peak = Math.max(walked.encoding, walked.reading);
    if (!fits(peak)) continue;
    const { tap, readRow } = readingBytes(model, copies, storage);
    const room = gpuMemory === undefined ? READ_BUDGET : gpuMemory - peak;
    const held = Math.max(1, Math.min(MOST_HELD, Math.floor(Math.min(READ_BUDGET, room) / (tap + readRow))));
    const readBudget = held * (tap + readRow);
    // Taps that are held and read together with the first.
    const more = readBudget - (tap + readRow);
    const lines = linesOf(model, walked, storage, gpuMemory, copies);
    const { weights } = walked;
    return { lines, weights, peak: peak + more, contextStorage: storage, mostCopies: copies, readBudget };
  }
  throw new AdapterError(
    `${linesOf(model, walked!, "recompute", gpuMemory, 1).join("\n")}\nThat does not fit. ` +
      "Use a card with more memory, --dtype bf16, or fewer or smaller frames (clip.json).",
  );
}

/** Takes the memory of encoding an item for V copies, two states and their readings, computing nothing. */
export async function walkMemory(
  model: ReleaseModel,
  copies: number,
  storage: ContextStorage,
  oracle: boolean,
): Promise<Walked> {
  const gpu = await countingLike(model.gpu);
  const counted = model.counted(gpu);
  const { clip, transformer, policy, latentShape, chunkShape } = counted;
  const peak = (): number => gpu.memory.usage.peak;
  const weights = peak();
  const frames = CONTEXT_FRAMES + (oracle ? clip.futureFrames : 0);
  const pixels = new Float32Array(3 * frames * clip.frameSize[0] * clip.frameSize[1]);
  const text = new Float32Array(MOST_TEXT_ROWS * counted.textWidth);
  const prepared = await counted.prepare(pixels, text, copies);
  const encoding = peak();
  const shape = [copies, ...latentShape];
  const latents = createTensor(gpu, shape, undefined, "latents in noise");
  const denoiser = new VideoDenoiser(gpu, transformer, {
    ...{ text: prepared.text, given: prepared.latents, givenFrames: CONTEXT_LATENTS, layer: policy.layer },
  });
  const state = new Float32Array(counted.statistics.state.shift.length);
  const noise = [Array.from({ length: copies }, () => new Float32Array(chunkShape[0] * chunkShape[1]))];
  const constrain = denoiser.constrain.bind(denoiser);
  let denoising = 0;
  for await (const at of sample(gpu, denoiser, latents, {
    scheduler: videoScheduler(),
    last: 1,
    constrain,
  })) {
    const tap = await at.tapped();
    denoising ||= peak();
    const kept =
      at.step === 0 ? [] : Array.from({ length: KEPT_TAPS }, () => createTensor(gpu, tap[0].shape));
    await readOut(counted, [{ tap, time: 1 }], state, noise, 2, storage, {});
    for (const x of kept) releaseTensor(gpu, x);
    if (at.step > 0) break;
    // A control's tap stands beside the walk in progress.
    const beside = createTensor(gpu, tap[0].shape);
    await readOut(counted, [{ tap, time: 1 }], state, noise, 2, storage, {});
    releaseTensor(gpu, beside);
  }
  return { weights, encoding, denoising, reading: peak() };
}

function linesOf(
  model: ReleaseModel,
  walked: Walked,
  storage: ContextStorage,
  gpuMemory: number | undefined,
  copies: number,
): string[] {
  const { clip, tokens, policy } = model;
  const frames = CONTEXT_FRAMES + clip.futureFrames;
  const { tap, readRow } = readingBytes(model, copies, storage);
  const card =
    gpuMemory === undefined
      ? "how much the card has is unknown; --gpu-memory says it"
      : `the card has ${formatBytes(gpuMemory)}`;
  return [
    `${policy.name}: ${frames} frames of ${clip.frameSize.join("×")}, ${tokens} tokens. GPU memory for ${copies === 1 ? "one trajectory" : `${copies} trajectories`} at a time:`,
    `  weights ${formatBytes(walked.weights)}; encoding frames up to ${formatBytes(walked.encoding)} in all, ` +
      `video steps up to ${formatBytes(walked.denoising)}, reading actions up to ${formatBytes(walked.reading)}`,
    `  a tap ${formatBytes(tap)}, reading one ${formatBytes(readRow)}: the decoder's keys and values are ${KEPT[storage]}`,
    `  ${card}`,
  ];
}
