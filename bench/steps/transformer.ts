/** Steps of the video transformer: one evaluation, from noisy latents to their velocity. */
import { existsSync } from "node:fs";
import { record } from "../../src/gpu/recording.ts";
import {
  type CosmosTransformerConfig,
  readCosmosTransformerConfig,
  widthOf,
} from "../../src/networks/cosmos/config.ts";
import { timestepSinusoids } from "../../src/networks/cosmos/timesteps.ts";
import { CosmosTransformer } from "../../src/networks/cosmos/transformer.ts";
import { createTensor, releaseTensor, type Tensor } from "../../src/tensor/tensor.ts";
import { formatBytes } from "../../src/weights/listing.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import { uniform } from "../../test/support/numbers.ts";
import { randomModel } from "../random-weights.ts";
import type { Skipped, Step } from "../report.ts";
import { NO_TOY, type StepContext, timed, tooMuch, TOY } from "./step.ts";

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

/** The toy on two video seeds at once, 80 tokens each. */
export async function toyTransformer(name: string, context: StepContext): Promise<Step | Skipped> {
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

/** Cosmos 2B on random bfloat16 weights and 512 text tokens. */
export async function cosmosTransformer(name: string, context: StepContext): Promise<Step | Skipped> {
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
