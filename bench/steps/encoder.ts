/** Encoders of the video autoencoders: one clip, from pixels to latents. */
import { existsSync } from "node:fs";
import { record } from "../../src/gpu/recording.ts";
import { CosmosVae, readCosmosVaeConfig } from "../../src/networks/cosmos-vae/vae.ts";
import { readWanVaeConfig, WanVae } from "../../src/networks/wan-vae/vae.ts";
import { createTensor, releaseTensor, type Tensor } from "../../src/tensor/tensor.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import { uniform } from "../../test/support/numbers.ts";
import { randomModel } from "../random-weights.ts";
import type { Skipped, Step } from "../report.ts";
import { NO_TOY, type StepCase, type StepContext, timed, tooMuch, TOY } from "./step.ts";

/** frames, rows, columns */
type Grid = readonly [number, number, number];

/**
 * Operations of the convolutions of an encoder: each matrix that was asked for, at every pixel of its level. Norms and attention,
 * which only the deepest level has, are below a hundredth of it.
 * @param levelOf the level that a key belongs to
 * @param grids frames, rows and columns of each level
 */
export function encoderFlop(
  asked: WeightLoader["asked"],
  levelOf: (key: string) => number,
  grids: readonly Grid[],
): number {
  return asked
    .filter(({ shape }) => shape.length > 1)
    .reduce((sum, { key, shape }) => {
      const [frames, rows, columns] = grids[levelOf(key)];
      return sum + 2 * frames * rows * columns * shape.reduce((a, b) => a * b, 1);
    }, 0);
}

/** The encoder of an autoencoder of published size. */
export interface PublishedEncoder {
  readonly build: (w: WeightLoader) => (video: Tensor) => Tensor;
  /** the level that a key belongs to */
  readonly levelOf: (key: string) => number;
  /** the grid of each level for a clip of so many frames, rows and columns */
  readonly grids: (clip: Grid) => readonly Grid[];
}

export const COSMOS_ENCODER: PublishedEncoder = {
  build: (w) => {
    const vae = new CosmosVae(readCosmosVaeConfig({}), w, "encoder");
    return (video) => vae.encode(video);
  },
  levelOf: (key) => Number(/down_blocks\.(\d)/.exec(key)?.[1] ?? (key.includes("conv_in") ? 0 : 2)),
  // Patches of 4 × 4 × 4 whose first frame stands alone; then the first of three levels halves everything.
  grids: ([T, H, W]) => {
    const first: Grid = [(T + 3) / 4, H / 4, W / 4];
    const deeper: Grid = [(first[0] + 1) / 2, H / 8, W / 8];
    return [first, deeper, deeper];
  },
};

export const WAN_ENCODER: PublishedEncoder = {
  build: (w) => {
    const vae = new WanVae(readWanVaeConfig({}), w, "encoder");
    return (video) => vae.encode(video).mean;
  },
  // Two residual blocks and a step down a level, in one list.
  levelOf: (key) => {
    const at = /down_blocks\.(\d+)/.exec(key)?.[1];
    return at === undefined ? (key.includes("conv_in") ? 0 : 3) : Math.floor(Number(at) / 3);
  },
  grids: ([T, H, W]) => [
    [T, H, W],
    [T, H / 2, W / 2],
    [(T + 1) / 2, H / 4, W / 4],
    [(T + 3) / 4, H / 8, W / 8],
  ],
};

/** One clip of random pixels to latents. */
async function encoderStep(
  context: StepContext,
  name: string,
  size: Grid,
  { flop, encode }: { readonly flop: number; readonly encode: (video: Tensor) => Tensor },
): Promise<Step> {
  const { gpu } = context;
  const video = createTensor(gpu, [1, 3, ...size], uniform(1, 3 * size[0] * size[1] * size[2]));
  const replay = await record(gpu, name, () => encode(video));
  try {
    const m = await timed(context, name, replay);
    return { name, dispatches: replay.dispatches.length, flop, measure: m };
  } finally {
    replay.dispose();
    releaseTensor(gpu, video);
  }
}

/** The context of the toy: five frames of 32 × 32. */
export async function toyEncoder(name: string, context: StepContext): Promise<Step | Skipped> {
  if (!existsSync(TOY)) return { name, reason: NO_TOY };
  const files = await openModelFolder(TOY);
  const source = await files.weights("vae");
  const loader = WeightLoader.from(context.gpu, source);
  const config = readCosmosVaeConfig(await files.json("vae/config.json"));
  const vae = new CosmosVae(config, loader, "encoder");
  await loader.load();
  await source.close();
  try {
    const clip: Grid = [5, 32, 32];
    // One level behind the patches.
    const flop = encoderFlop(loader.asked, () => 0, [[2, 8, 8]]);
    return await encoderStep(context, name, clip, { flop, encode: (video) => vae.encode(video) });
  } finally {
    loader.release();
  }
}

/** The measurement of a published encoder on a clip, with random float32 weights. */
export const publishedEncoder =
  ({ build, levelOf, grids }: PublishedEncoder, clip: Grid): StepCase["measure"] =>
  async (name, context) => {
    const { model, loader } = randomModel(context.gpu, "f32", build);
    const flop = encoderFlop(loader.asked, levelOf, grids(clip));
    const reason = tooMuch(context, flop, loader.bytes);
    if (reason) return { name, reason };
    await loader.load();
    try {
      return await encoderStep(context, name, clip, { flop, encode: model });
    } finally {
      loader.release();
    }
  };
