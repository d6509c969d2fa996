/**
 * Folders laid out as LeRobot's LingBot-VA, of any sizes, with random weights: for runs at full size without a download. The same sizes and
 * seed give the same bytes. The autoencoder has its encoder only, as nothing is decoded, and embeddings of the prompts stand in a file, as there
 * is no text encoder.
 */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { countingGpu } from "../../src/gpu/counting.ts";
import { LingbotTransformer } from "../../src/networks/lingbot/transformer.ts";
import { readWanVaeConfig, WanVae } from "../../src/networks/wan-vae/vae.ts";
import { readPolicyConfig, readPolicyTransformer } from "../../src/systems/lingbot-va/config.ts";
import { createFile } from "../../src/weights/files.node.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import { type TensorToWrite, writeSafetensors } from "../../src/weights/safetensors-writer.ts";
import { dtypeBytes, elementCount, type TensorSource } from "../../src/weights/source.ts";
import { uniform } from "../../test/support/numbers.ts";

/** What differs from the published policy, by the names in its config.json and in that of its autoencoder. */
export interface LingbotSizes {
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly vae?: Readonly<Record<string, unknown>>;
}

/** The published autoencoder; its statistics are those of no latents. */
const VAE = {
  ...{
    _class_name: "AutoencoderKLWan",
    base_dim: 160,
    decoder_base_dim: 256,
    z_dim: 48,
    dim_mult: [1, 2, 4, 4],
  },
  ...{ num_res_blocks: 2, attn_scales: [], temperal_downsample: [false, true, true], is_residual: true },
  ...{ in_channels: 12, out_channels: 12, patch_size: 2, scale_factor_temporal: 4, scale_factor_spatial: 16 },
  ...{ latents_mean: new Array<number>(48).fill(0), latents_std: new Array<number>(48).fill(1) },
};

const PROMPTS = ["put the red block into the drawer", ""];

/** Numbers drawn once and repeated: five billion draws would take longer than writing them. Prime, so that rows differ. */
const DRAWN = 1_048_573;

type Shapes = readonly { readonly key: string; readonly shape: readonly number[] }[];

/** Names and shapes that a model asks for, in this order. */
export async function asked(build: (w: WeightLoader) => unknown): Promise<Shapes> {
  const unreadable = (): never => {
    throw new Error("this source has no data");
  };
  const nothing: TensorSource = {
    ...{ name: "nothing", tensors: new Map(), read: unreadable, stream: unreadable },
    close: () => Promise.resolve(),
  };
  const loader = WeightLoader.from(
    await countingGpu({ features: new Set(), limits: {}, software: true }),
    nothing,
  );
  build(loader);
  return loader.asked;
}

/**
 * Writes `lerobot/lingbot_va_libero_long`, `robbyant/lingbot-va-base`, `episodes` and `text.safetensors` below a folder.
 * @returns the policy's folder
 */
export async function writeRandomLingbot(
  folder: string,
  { policy = {}, vae = {} }: LingbotSizes = {},
  seed = 0,
): Promise<string> {
  const [own, frozen] = [
    path.join(folder, "lerobot/lingbot_va_libero_long"),
    path.join(folder, "robbyant/lingbot-va-base/vae"),
  ];
  for (const place of [own, frozen, path.join(folder, "episodes")]) await mkdir(place, { recursive: true });
  const [config, autoencoder] = [
    { type: "lingbot_va", ...policy },
    { ...VAE, ...vae },
  ];
  await json(path.join(own, "config.json"), config);
  await json(path.join(frozen, "config.json"), autoencoder);

  const transformer = await asked((w) => new LingbotTransformer(readPolicyTransformer(config), w));
  // A file has the text maps of actions too, which nothing reads.
  const unused = transformer.flatMap(({ key, shape }) =>
    key.startsWith("condition_embedder.text_embedder.")
      ? [{ key: key.replace("condition_embedder.", "condition_embedder_action."), shape }]
      : [],
  );
  const named = [...transformer, ...unused].map(({ key, shape }) => ({ key: `transformer.${key}`, shape }));
  await tensors(path.join(own, "model.safetensors"), random(named, "BF16", seed), { trained_on: "random" });
  const encoder = await asked((w) => new WanVae(readWanVaeConfig(autoencoder), w, "encoder"));
  await tensors(path.join(frozen, "diffusion_pytorch_model.safetensors"), random(encoder, "F32", seed + 1));

  const { frames, actionsPerFrame, cameras, frameSize, usedChannels } = readPolicyConfig(config);
  const steps = frames * actionsPerFrame + 1;
  await json(path.join(folder, "episodes/episodes.json"), [{ id: "random-0", prompt: PROMPTS[0] }]);
  const pictures = cameras.map((name, i): TensorToWrite => {
    const shape = [1, steps, 3, ...frameSize];
    const values = uniform(seed + 11 + i, elementCount(shape), 127);
    return { name, dtype: "U8", shape, data: Uint8Array.from(values, (v) => v + 128) };
  });
  const action = uniform(seed + 20, steps * usedChannels.length);
  await tensors(path.join(folder, "episodes/episodes.safetensors"), [
    ...pictures,
    {
      name: "action",
      dtype: "F32",
      shape: [1, steps, usedChannels.length],
      data: new Uint8Array(action.buffer),
    },
  ]);
  const { textDim } = readPolicyTransformer(config);
  const texts = PROMPTS.map((_, i): TensorToWrite => {
    const shape = [i === 0 ? 12 : 1, textDim];
    const values = uniform(seed + 30 + i, elementCount(shape));
    return { name: `text.${i}`, dtype: "F32", shape, data: new Uint8Array(values.buffer) };
  });
  await tensors(path.join(folder, "text.safetensors"), texts, { prompts: JSON.stringify(PROMPTS) });
  return own;
}

/** Matrices uniform with variance 1 / terms of a sum, so that activations keep their size; gains around 1, all others around 0. */
function random(shapes: Shapes, dtype: "F32" | "BF16", seed: number): TensorToWrite[] {
  const drawn = new Map<string, Uint8Array>();
  const block = (terms: number, around: number): Uint8Array => {
    const key = `${terms} ${around}`;
    let bytes = drawn.get(key);
    if (!bytes) {
      const values = uniform(seed + terms + 7919 * around, DRAWN, terms > 0 ? Math.sqrt(3 / terms) : 0.1);
      if (around !== 0) for (let i = 0; i < DRAWN; i++) values[i] += around;
      const halves = (): Uint16Array => Uint16Array.from(new Uint32Array(values.buffer), (w) => w >>> 16);
      bytes = new Uint8Array((dtype === "F32" ? values : halves()).buffer as ArrayBuffer);
      drawn.set(key, bytes);
    }
    return bytes;
  };
  return shapes.map(({ key: name, shape }, i): TensorToWrite => {
    const isGain = /(norm_[qk]\.weight|norm\d?\.weight|gamma)$/.test(name);
    const terms = shape.length > 1 && !isGain && !name.endsWith("_table") ? elementCount(shape.slice(1)) : 0;
    const each = dtypeBytes[dtype];
    const size = elementCount(shape) * each;
    // Each tensor begins elsewhere in the numbers, so that no two of one shape are equal.
    const from = ((7919 * (i + 1)) % DRAWN) * each;
    async function* data(): AsyncGenerator<Uint8Array> {
      const bytes = block(terms, isGain ? 1 : 0);
      for (let at = 0, offset = from; at < size; offset = 0) {
        const piece = bytes.subarray(offset, offset + Math.min(size - at, bytes.length - offset));
        yield piece;
        at += piece.length;
      }
    }
    return { name, dtype, shape, data };
  });
}

async function tensors(
  file: string,
  list: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const sink = await createFile(file);
  try {
    await writeSafetensors(list, sink, metadata);
    await sink.finish();
  } finally {
    await sink.abandon();
  }
}

const json = (file: string, content: unknown): Promise<void> =>
  writeFile(file, `${JSON.stringify(content)}\n`);
