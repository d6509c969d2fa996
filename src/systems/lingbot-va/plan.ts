/**
 * GPU memory before anything is read: an item is walked through encoding, imagining and reading on a device that only counts, so the plan has
 * the buffers of the run itself.
 */
import { AdapterError } from "../../errors.ts";
import { countingLike } from "../../gpu/counting.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { copyTensor, createTensor, releaseTensor } from "../../tensor/tensor.ts";
import { formatBytes } from "../../weights/listing.ts";
import type { Plan } from "../system.ts";
import { imagine } from "./chunk.ts";
import { EpisodeMemory } from "./memory.ts";
import type { LingbotModel } from "./model.ts";
import { readOut } from "./read-out.ts";
import { readingBytes } from "./reading-bytes.ts";
import { prepareText } from "./text-context.ts";

export interface MemoryPlan extends Plan {
  /** bytes for held taps and their reading */
  readonly readBudget: number;
}

/** Held taps and their reading may take so much where nobody says how much there is. */
const READ_BUDGET = 2 ** 30;

/** More taps in one batch of readings bring nothing. */
const MOST_HELD = 8;

/** Cards whose owners want to know, in bytes. */
const CARDS = [12e9, 16e9, 24e9];

/** A prompt of so many tokens is a long one. */
const TEXT_ROWS = 32;

/**
 * @param counted the model on a device that only counts, its weights' memory taken
 * @param gpuMemory bytes of the card, where they are known
 * @throws AdapterError when it does not fit, with the numbers and what to change
 */
export async function planMemory(
  gpu: Gpu,
  counted: (gpu: Gpu) => LingbotModel,
  gpuMemory: number | undefined,
): Promise<MemoryPlan> {
  const counting = await countingLike(gpu);
  const model = counted(counting);
  const peak = (): number => counting.memory.usage.peak;
  const weights = peak();
  const { encoding, reading } = await walkMemory(model, peak);
  const least = Math.max(encoding, reading);
  const { tap, readRow } = readingBytes(model, 0);
  const room = gpuMemory === undefined ? READ_BUDGET : gpuMemory - least;
  const held = Math.max(1, Math.min(MOST_HELD, Math.floor(Math.min(READ_BUDGET, room) / (tap + readRow))));
  const { frameSize, cameras, frames } = model.config;
  const { video, action } = model.tokens;
  const lines = [
    `LingBot-VA: ${cameras.length} cameras of ${frameSize.join("×")}, ${frames} latent frames a chunk, ${video} video tokens and ${action} action tokens. GPU memory:`,
    `  weights ${formatBytes(weights)}; with text and first frame up to ${formatBytes(encoding)} in all, imagining and actions up to ${formatBytes(reading)}`,
    `  a tap ${formatBytes(tap)}, reading one ${formatBytes(readRow)}; an episode's cache grows to ${formatBytes(cacheBytes(model))}`,
    ...(gpuMemory === undefined
      ? [`  ${CARDS.map((card) => `a card of ${card / 1e9} GB ${verdict(card, least, weights)}`).join("; ")}`]
      : [`  the card has ${formatBytes(gpuMemory)}`]),
  ];
  if (gpuMemory !== undefined && least > gpuMemory)
    throw new AdapterError(
      `${lines.join("\n")}\nThat does not fit. Use a card with more memory, or --dtype bf16 where it is not in use.`,
    );
  const readBudget = held * (tap + readRow);
  return { lines, weights, peak: least + readBudget - (tap + readRow), readBudget };
}

/** Keys and values of all tokens that a policy remembers. */
const cacheBytes = (model: LingbotModel): number =>
  2 * 4 * model.transformer.config.layers * model.branches * model.cacheTokens * model.width;

function verdict(card: number, least: number, weights: number): string {
  if (card >= least) return "does";
  return card >= weights ? "holds the weights and too little besides" : "does not hold the weights";
}

/** Takes the memory of an item: text, first frame, two states and their readings, computing nothing. */
async function walkMemory(
  model: LingbotModel,
  peak: () => number,
): Promise<{ encoding: number; reading: number }> {
  const { gpu, config, transformer, tokens } = model;
  const [rows, columns] = config.frameSize;
  const texts = [0, 1].map(() => new Float32Array(TEXT_ROWS * transformer.config.textDim).fill(1));
  const text = await prepareText(model, texts, Math.max(config.textRows, TEXT_ROWS));
  const memory = new EpisodeMemory(model);
  await memory.begin(new Float32Array(config.cameras.length * 3 * rows * columns));
  const encoding = peak();
  const [A, F, n] = model.actionShape;
  const [C, , h, w] = model.latentShape;
  const seen = createTensor(gpu, [1, tokens.video], undefined, "tokens that are seen");
  for await (const state of imagine({ model, memory, text }, new Float32Array(C * F * h * w), { last: 1 })) {
    await state.tapped();
    const tap = [...state.tap(), seen];
    // A control's tap and the last of two episodes stand beside it.
    const kept = [0, 1].map(() =>
      tap.map((x) => {
        const copy = createTensor(gpu, x.shape);
        copyTensor(gpu, x, copy);
        return copy;
      }),
    );
    await readOut(model, [tap], [new Float32Array(A * F * n)], 2, { memory, text }, {});
    for (const x of kept.flat()) releaseTensor(gpu, x);
  }
  return { encoding, reading: peak() };
}
