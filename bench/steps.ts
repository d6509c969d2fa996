/**
 * Whole steps of models, as the probe and the samplers run them: time, operations and the number of dispatches. Those that
 * would take minutes on a software adapter are estimated from the measured roof first.
 */
import { existsSync } from "node:fs";
import { freemem } from "node:os";
import type { Gpu } from "../src/gpu/gpu.ts";
import { record, type Replay } from "../src/gpu/recording.ts";
import { type ActionConfig, readActionConfig } from "../src/model/action/config.ts";
import { ActionDecoder } from "../src/model/action/decoder.ts";
import { tokenRows } from "../src/model/action/times.ts";
import { CosmosVae, readCosmosVaeConfig } from "../src/model/cosmos-vae.ts";
import {
  type CosmosTransformerConfig,
  readCosmosTransformerConfig,
  widthOf,
} from "../src/model/cosmos/config.ts";
import { timestepSinusoids } from "../src/model/cosmos/timesteps.ts";
import { CosmosTransformer } from "../src/model/cosmos/transformer.ts";
import { readWanVaeConfig, WanVae } from "../src/model/wan-vae.ts";
import { duration } from "../src/probe/progress.node.ts";
import { createTensor, readTensor, releaseTensor, type Tensor } from "../src/tensor/tensor.ts";
import { formatBytes } from "../src/weights/listing.ts";
import { WeightLoader } from "../src/weights/loader.ts";
import { openModelFolder } from "../src/weights/model-files.node.ts";
import { uniform } from "../test/support/numbers.ts";
import { type Contender, type Measure, measure, replaying } from "./measure.ts";
import { randomModel } from "./random-weights.ts";
import type { Skipped, Step } from "./report.ts";
import type { Roof } from "./roof.ts";

export interface StepContext {
  readonly gpu: Gpu;
  readonly roof: Roof;
  readonly rounds: number;
  /** seconds for the batches */
  readonly budget: number;
  /** seconds that one step may take at the roof */
  readonly limit: number;
  /** hears what is going on before a long wait */
  readonly note: (text: string) => void;
}

export interface StepCase {
  readonly name: string;
  readonly measure: (name: string, context: StepContext) => Promise<Step | Skipped>;
}

const TOY = "weights/toy";
const NO_TOY = `the folder ${TOY} is not here`;

/** Why a step with so many operations and bytes of weights is not to be run here; undefined when it may. */
export function tooMuch(
  { gpu, roof, limit, note }: Pick<StepContext, "gpu" | "roof" | "limit" | "note">,
  flop: number,
  bytes: number,
): string | undefined {
  const seconds = flop / roof.flopPerSecond;
  const words =
    `its ${(flop / 1e9).toPrecision(3)} GFLOP take at least ${duration(seconds)} at the measured roof of ` +
    `${(roof.flopPerSecond / 1e9).toPrecision(3)} GFLOP/s, its weights ${formatBytes(bytes)}`;
  // A software adapter's memory is the computer's, and holds each buffer once more while it is written.
  if (gpu.adapter.software && bytes * 1.2 > freemem()) return `${words}; ${formatBytes(freemem())} are free`;
  if (seconds > limit) return `${words}; ask for it by its whole name, or with a larger --step-budget`;
  if (seconds > 10) note(words);
  return undefined;
}

/** Times a recorded step, once it has run and its outputs are numbers. */
async function timed(
  { gpu, rounds, budget }: StepContext,
  name: string,
  replay: Replay<Tensor>,
): Promise<Measure> {
  await replay.run();
  const values = await readTensor(gpu, replay.outputs);
  const wrong = values.reduce((n, v) => n + Number(!Number.isFinite(v)), 0);
  const zero = values.reduce((n, v) => n + Number(v === 0), 0);
  if (wrong > 0 || zero > values.length / 2)
    throw new Error(`${name}: of ${values.length} results ${wrong} are not finite and ${zero} are zero`);
  const [m] = await measure([replaying(name, gpu, replay)], { rounds, budget });
  return m;
}

// --- Transformer ---

/**
 * Operations of one evaluation of the transformer on B·N tokens with S text tokens, whose keys and values are ready: products with
 * matrices and attention. Norms, gates and rotations are below a hundredth of it.
 */
export function transformerFlop(
  c: CosmosTransformerConfig,
  { batch, tokens, text, times }: { batch: number; tokens: number; text: number; times: number },
): number {
  const D = widthOf(c);
  const hidden = Math.trunc(D * c.mlpRatio);
  const patch = c.patchSize[1] * c.patchSize[2];
  const rows = batch * tokens;
  const matrices = 6 * D * D + 2 * D * hidden; // q, k, v, out; q, out of the cross-attention; in and out
  const attention = 4 * tokens * D + 4 * text * D; // a token
  const modulators = 3 * (D * c.adalnLoraDim + c.adalnLoraDim * 3 * D); // a distinct time
  const ends = 2 * patch * D * (c.inChannels + Number(c.paddingMask) + c.outChannels);
  const embedding = 2 * (D * D + 3 * D * D) + 2 * (D * c.adalnLoraDim + 2 * c.adalnLoraDim * D);
  return (
    c.layers * (rows * (2 * matrices + attention) + 2 * times * modulators) + rows * ends + times * embedding
  );
}

interface Clip {
  readonly batch: number;
  /** latents: frames, rows, columns */
  readonly size: readonly [number, number, number];
  readonly text: number;
}

/** One evaluation with two distinct times: the first two frames clean, the others at one noise level. */
async function transformerStep(
  context: StepContext,
  name: string,
  config: CosmosTransformerConfig,
  transformer: CosmosTransformer,
  { batch, size, text: textTokens }: Clip,
): Promise<Step> {
  const { gpu } = context;
  const [frames, rows, columns] = size;
  const width = widthOf(config);
  const shape = [batch, config.inChannels, ...size];
  const put = (seed: number, ...dims: number[]): Tensor =>
    createTensor(
      gpu,
      dims,
      uniform(
        seed,
        dims.reduce((a, b) => a * b, 1),
      ),
    );
  const tensors = {
    latents: put(1, ...shape),
    sinusoids: createTensor(gpu, [2, width], timestepSinusoids([0, 500], width)),
    paddingMask: config.paddingMask
      ? createTensor(gpu, [1, 1, 1, rows, columns], new Float32Array(rows * columns))
      : undefined,
  };
  // The keys and values of the text are no part of a step, and making them would take longer than one.
  const each = (seed: number): Tensor[] =>
    Array.from({ length: config.layers }, (_, i) => put(seed + i, batch, textTokens, width));
  const text = { keys: each(100), values: each(200) };
  const { latents, sinusoids, paddingMask } = tensors;
  const rowOfFrame = Uint32Array.from({ length: frames * batch }, (_, i) => (i % frames < 2 ? 0 : 1));
  const replay = await record(
    gpu,
    name,
    () => transformer.forward({ latents, paddingMask, text, sinusoids, rowOfFrame }).velocity!,
  );
  try {
    const m = await timed(context, name, replay);
    const tokens = (frames * rows * columns) / (config.patchSize[1] * config.patchSize[2]);
    const flop = transformerFlop(config, { batch, tokens, text: textTokens, times: 2 });
    return { name, dispatches: replay.dispatches.length, flop, measure: m };
  } finally {
    replay.dispose();
    for (const tensor of [...Object.values(tensors), ...text.keys, ...text.values])
      if (tensor) releaseTensor(gpu, tensor);
  }
}

async function toyTransformer(name: string, context: StepContext): Promise<Step | Skipped> {
  if (!existsSync(TOY)) return { name, reason: NO_TOY };
  const files = await openModelFolder(TOY);
  const config = readCosmosTransformerConfig(await files.json("transformer/config.json"));
  const source = await files.weights("transformer");
  const loader = WeightLoader.from(context.gpu, source);
  const transformer = new CosmosTransformer(config, loader);
  await loader.load();
  await source.close();
  try {
    const clip = { batch: 2, size: [5, 8, 8], text: 25 } as const;
    return await transformerStep(context, name, config, transformer, clip);
  } finally {
    loader.release();
  }
}

/** Cosmos-Predict2 with 2 billion parameters: 16 channels of latents and the condition mask, and a padding mask. */
const COSMOS_2B = {
  _class_name: "CosmosTransformer3DModel",
  ...{ in_channels: 17, out_channels: 16, num_attention_heads: 16, attention_head_dim: 128, num_layers: 28 },
  ...{ mlp_ratio: 4, text_embed_dim: 1024, adaln_lora_dim: 256, max_size: [128, 240, 240] },
  ...{ patch_size: [1, 2, 2], rope_scale: [1, 3, 3], concat_padding_mask: true, extra_pos_embed_type: null },
};

/** Latents of a clip of 480 × 640 whose tokens are 19,200; a software adapter gets the smallest one that has a past and a future. */
const COSMOS_CLIPS = { gpu: [16, 60, 80], software: [3, 4, 4] } as const;

async function cosmosTransformer(name: string, context: StepContext): Promise<Step | Skipped> {
  const { gpu } = context;
  const config = readCosmosTransformerConfig(COSMOS_2B);
  const size = COSMOS_CLIPS[gpu.adapter.software ? "software" : "gpu"];
  const tokens = (size[0] * size[1] * size[2]) / 4;
  const text = 512;
  const { model, loader } = randomModel(gpu, "bf16", (w) => new CosmosTransformer(config, w));
  const flop = transformerFlop(config, { batch: 1, tokens, text, times: 2 });
  const reason = tooMuch(context, flop, loader.bytes);
  if (reason) return { name, reason: `${tokens} tokens: ${reason}` };
  context.note(`${name}: loading ${formatBytes(loader.bytes)} of random bfloat16 weights, ${tokens} tokens`);
  await loader.load();
  try {
    return await transformerStep(context, name, config, model, {
      ...{ batch: 1, size, text },
    });
  } finally {
    loader.release();
  }
}

// --- Action decoder ---

/**
 * Operations of one evaluation of the action decoder at batch 1, N tokens, S video tokens whose keys and values are ready, one
 * distinct time; and of its history pools: as we compute them (history-pool.ts), and as the reference does, which projects every
 * entry of the history to keys and values.
 */
export function decoderFlop(
  c: ActionConfig,
  S: number,
): { readonly all: number; readonly pools: number; readonly reference: number } {
  const { dim: D, depth: L, heads: H, headDim: h, poolHeads: R, poolHeadDim: r, feedForward: F } = c;
  const N = c.chunkLength + 1;
  const inner = H * h;
  const keysValues = 4 * h;
  const layer =
    D * (inner + H) + // queries and gates of the cross-attention
    D * (inner + keysValues + H) +
    2 * inner * D + // both outs
    D * 2 * F +
    F * D;
  const attention = 2 * (S + N) * inner;
  const recurrence = c.actionDim * D + 6 * D * D;
  const time = 2 * D * c.timeDim + 2 * c.timeDim ** 2 + c.timeDim * 9 * L * D;
  const rest =
    2 *
    (N * (L * (layer + attention) + D * c.actionDim) + c.chunkLength * recurrence + time + c.jointDim * D);
  let [pools, reference] = [0, 0];
  // Pools of one entry pass it on.
  for (let m = 2; m <= 3 * L + 1; m++) {
    // Logits and mix of every head over m entries, then the values of the mix and the output.
    pools += 2 * N * (2 * m * R * D + R * r * D + R * r * D);
    reference += 2 * N * (m * D * 4 * r + 2 * m * R * r + R * r * D);
  }
  return { all: rest + pools, pools, reference: reference / (rest + reference) };
}

/** One evaluation as the sampler makes it: noisy actions to flow, the video's keys and values ready. */
async function decoderStep(
  context: StepContext,
  name: string,
  decoder: ActionDecoder,
  videoTokens: number,
): Promise<Step> {
  const { gpu } = context;
  const { config } = decoder;
  const { chunkLength, actionDim, jointDim, videoDim, videoLayers } = config;
  const captured = Math.max(...videoLayers.map((layer) => (layer < 0 ? -layer : layer + 1)));
  const hiddens = Array.from({ length: captured }, (_, i) =>
    createTensor(gpu, [1, videoTokens, videoDim], uniform(i, videoTokens * videoDim)),
  );
  const actions = createTensor(gpu, [1, chunkLength, actionDim], uniform(8, chunkLength * actionDim));
  const jointState = createTensor(gpu, [1, jointDim], uniform(9, jointDim));
  const times = decoder.createTimes(gpu, 1, chunkLength + 1);
  times.write(tokenRows([0.5], [0.5], chunkLength, 1, "item"));
  const video = await record(gpu, "video", () => decoder.prepareContext(hiddens));
  await video.run();
  const replay = await record(
    gpu,
    name,
    () => decoder.forward({ actions, jointState, times, context: video.outputs }).flow,
  );
  try {
    const m = await timed(context, name, replay);
    const flop = decoderFlop(config, videoTokens);
    const inPool = replay.dispatches.map(({ scope }) => /(^|\.)pool$/.test(scope));
    return {
      name,
      dispatches: replay.dispatches.length,
      flop: flop.all,
      measure: m,
      part: {
        name: "history pools",
        flop: flop.pools / flop.all,
        referenceFlop: flop.reference,
        time: await shareOf(context, replay, inPool),
      },
    };
  } finally {
    replay.dispose();
    video.dispose();
    times.release();
    for (const tensor of [...hiddens, actions, jointState]) releaseTensor(gpu, tensor);
  }
}

/** Share of the time that the marked dispatches take: marked and others are run in turns, in equally many submissions. */
async function shareOf(
  { gpu, rounds, budget }: StepContext,
  replay: Replay,
  marked: readonly boolean[],
): Promise<number> {
  const runs = (wanted: boolean): [number, number][] => {
    const list: [number, number][] = [];
    for (let i = 0; i < marked.length; i++) {
      if (marked[i] !== wanted) continue;
      if (i > 0 && marked[i - 1] === wanted) list[list.length - 1][1] = i + 1;
      else list.push([i, i + 1]);
    }
    return list;
  };
  const only = (name: string, wanted: boolean): Contender => ({
    name,
    run: async (times) => {
      for (let i = 0; i < times; i++) for (const [from, to] of runs(wanted)) replay.submit(from, to);
      await gpu.idle();
    },
  });
  const [part, rest] = await measure([only("part", true), only("rest", false)], { rounds, budget });
  const key = gpu.adapter.software ? "cpuSeconds" : "seconds";
  return part[key] / (part[key] + rest[key]);
}

async function toyDecoder(name: string, context: StepContext): Promise<Step | Skipped> {
  if (!existsSync(TOY)) return { name, reason: NO_TOY };
  const files = await openModelFolder(TOY);
  const source = await files.weights("action_decoder");
  const loader = WeightLoader.from(context.gpu, source);
  const decoder = new ActionDecoder(readActionConfig(await files.json("action_decoder/config.json")), loader);
  await loader.load();
  await source.close();
  try {
    return await decoderStep(context, name, decoder, 80);
  } finally {
    loader.release();
  }
}

/** The reference's defaults, 32 actions and the joint state; the width of a 2-billion-parameter transformer's hidden states. */
async function upstreamDecoder(name: string, context: StepContext): Promise<Step> {
  const config = readActionConfig({ dim: 512, dim_video_hidden: 2048 });
  const { model, loader } = randomModel(context.gpu, "f32", (w) => new ActionDecoder(config, w));
  await loader.load();
  try {
    const step = await decoderStep(context, name, model, 96);
    return { ...step, dispatchLimit: DISPATCH_LIMIT };
  } finally {
    loader.release();
  }
}

// --- Video autoencoders ---

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

/** The encoder of an autoencoder of published size, on random weights. */
interface Published {
  readonly build: (w: WeightLoader) => (video: Tensor) => Tensor;
  readonly levelOf: (key: string) => number;
  readonly grids: (clip: Grid) => readonly Grid[];
}

const COSMOS: Published = {
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

const WAN: Published = {
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

async function encodeStep(
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

async function toyEncode(name: string, context: StepContext): Promise<Step | Skipped> {
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
    return await encodeStep(context, name, clip, { flop, encode: (video) => vae.encode(video) });
  } finally {
    loader.release();
  }
}

const publishedEncode =
  ({ build, levelOf, grids }: Published, clip: Grid): StepCase["measure"] =>
  async (name, context) => {
    const { model, loader } = randomModel(context.gpu, "f32", build);
    const flop = encoderFlop(loader.asked, levelOf, grids(clip));
    const reason = tooMuch(context, flop, loader.bytes);
    if (reason) return { name, reason };
    await loader.load();
    try {
      return await encodeStep(context, name, clip, { flop, encode: model });
    } finally {
      loader.release();
    }
  };

/** Dispatches that a step of the upstream size may take: it is bound by their number on a GPU. */
const DISPATCH_LIMIT = 120;

const CLIP: Grid = [17, 480, 640];

export const STEPS: readonly StepCase[] = [
  { name: "action decoder step, toy", measure: toyDecoder },
  { name: "action decoder step, upstream size", measure: upstreamDecoder },
  { name: "transformer step, toy", measure: toyTransformer },
  { name: "transformer step, Cosmos 2B", measure: cosmosTransformer },
  { name: "VAE encode, toy", measure: toyEncode },
  { name: `VAE encode, Cosmos 1.0, ${CLIP.join("×")}`, measure: publishedEncode(COSMOS, CLIP) },
  { name: `VAE encode, Wan 2.1, ${CLIP.join("×")}`, measure: publishedEncode(WAN, CLIP) },
];
