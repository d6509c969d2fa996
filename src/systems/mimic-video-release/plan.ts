/**
 * GPU memory before anything is read, from the sizes of the networks and of the clip: what is held at once in each phase, and how the
 * decoder's keys and values are used so that it fits.
 *
 * Axes: V trajectories in one batch, N video tokens of width D, F feed-forward width.
 */
import { AdapterError } from "../../errors.ts";
import { widthOf } from "../../networks/cosmos/config.ts";
import { formatBytes } from "../../weights/listing.ts";
import type { Plan } from "../system.ts";
import { CONTEXT_FRAMES } from "./clip.ts";
import type { ReleaseModel } from "./model.ts";
import type { ContextUse } from "./read-out.ts";
import { MOST_TEXT_ROWS } from "./text-file.ts";

export interface MemoryPlan extends Plan {
  readonly contextUse: ContextUse;
  /** V */
  readonly mostCopies: number;
  /** bytes for held taps and their reading */
  readonly readBudget: number;
}

/** Tokens that one dispatch of a batch should have; more copies bring nothing then. */
const TOKENS_AT_ONCE = 4096;

/** Held taps and their reading may take so much where nobody says how much there is. */
const READ_BUDGET = 2 ** 30;

/**
 * @param gpuMemory bytes of the card, where they are known
 * @throws AdapterError when the clip does not fit, with the numbers and what to change
 */
export function planMemory(model: ReleaseModel, gpuMemory: number | undefined): MemoryPlan {
  const { tokens: N, transformer, decoder, vae, clip } = model;
  const D = widthOf(transformer.config);
  const F = D * transformer.config.mlpRatio;
  const { layers, width } = decoder.config;
  const mostCopies = Math.max(1, Math.floor(TOKENS_AT_ONCE / N));
  const hidden = 4 * N * D;
  const parts = {
    weights: model.weightBytes,
    // What the convolutions at full resolution keep and make, by the pixels of a frame.
    tokenizer: 4 * clip.frameSize[0] * clip.frameSize[1] * vae.config.encoderWidths[0] * TOKENIZER_FRAMES,
    text: 8 * transformer.config.layers * MOST_TEXT_ROWS * D,
    // Residual stream, tap, norm, queries, keys, values, context; or the feed-forward in place of the last four.
    step: 4 * N * Math.max(3 * D + F + D, 8 * D),
    tap: hidden,
    context: 2 * hidden + 4 * N * 2 * width * layers,
    oneBlock: 2 * hidden + 4 * N * 2 * width,
  };
  const walking = parts.text + parts.step;
  const peakWith = (reading: number): number =>
    parts.weights + Math.max(parts.tokenizer, walking + parts.tap + reading);
  const fits = (bytes: number): boolean => gpuMemory === undefined || bytes <= gpuMemory;
  const contextUse: ContextUse = fits(peakWith(parts.context)) ? "kept" : "recomputed";
  const reading = contextUse === "kept" ? parts.context : parts.oneBlock;
  const peak = peakWith(reading);
  const frames = `${CONTEXT_FRAMES + clip.futureFrames} frames of ${clip.frameSize.join("×")}, ${N} tokens`;
  const lines = [
    `${model.policy.name}: ${frames}; GPU memory:`,
    `  weights ${formatBytes(parts.weights)}, text ${formatBytes(parts.text)}, a video step ${formatBytes(parts.step)}, ` +
      `a tap ${formatBytes(parts.tap)}, encoding frames ${formatBytes(parts.tokenizer)}`,
    `  the decoder's keys and values ${formatBytes(reading)}, ` +
      (contextUse === "kept"
        ? "kept while a tap is read"
        : "made again in every action step, as all of them would not fit"),
    `  at most ${formatBytes(peak)} at once` +
      (gpuMemory === undefined
        ? "; how much the card has is unknown (--gpu-memory says it)"
        : ` of ${formatBytes(gpuMemory)}`),
  ];
  if (!fits(peak)) {
    throw new AdapterError(
      `${lines.join("\n")}\nThat does not fit. Use a card with more memory, --dtype bf16, or fewer or smaller frames (clip.json).`,
    );
  }
  const room = gpuMemory === undefined ? READ_BUDGET : Math.max(0, gpuMemory - peak + reading + parts.tap);
  return {
    lines,
    weights: parts.weights,
    peak,
    contextUse,
    mostCopies,
    readBudget: Math.min(READ_BUDGET, room),
  };
}

/** Frames of the first level's width that encoding holds at once: measured, see `plan.test.ts`. */
const TOKENIZER_FRAMES = 30;
