/**
 * A folder laid out as the published mimic-video, of any sizes, with random weights: for runs at full size without a download, and for
 * tests at other sizes than the miniatures'. The same sizes and seed give the same bytes.
 */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { createFile } from "../../src/weights/files.node.ts";
import { type TensorToWrite, writeSafetensors } from "../../src/weights/safetensors.ts";
import { elementCount, type StoredDtype } from "../../src/weights/source.ts";
import { uniform } from "../../test/support/numbers.ts";
import { type TensorToSave, writeTorch } from "../../test/support/torch-file.ts";
import { backboneShapes, decoderShapes, type ReleaseSizes, type Shapes, vaeShapes } from "./layout.ts";

/** Numbers drawn once and repeated: two billion draws would take longer than writing them. Prime, so that rows differ. */
const drawnFor = ({ backbone }: ReleaseSizes): number => (backbone.width < 512 ? 65_521 : 1_048_573);

const BACKBONE = "pretrained_cosmos";
const PROMPTS = ["put the carrot on the plate", "put the spoon on the towel", "stack the green block"];

/**
 * Writes the folder; `text.safetensors` in it holds embeddings of its prompts, as it has no text encoder.
 * @returns the policy's name
 */
export async function writeRandomRelease(folder: string, sizes: ReleaseSizes, seed = 0): Promise<string> {
  const policy = "bridge";
  const decoder = `w2a_${policy}_v2w_${BACKBONE}_lr1.000e-04_layer${sizes.layer}_bsz256_iter_000014112.pt`;
  for (const below of ["action_decoder", "video_backbone/tokenizer", "dataset_statistics", "episodes"])
    await mkdir(path.join(folder, below), { recursive: true });
  const draw = drawer(seed, drawnFor(sizes));
  await torch(folder, `video_backbone/v2w_${BACKBONE}.pt`, {
    ...skipped(sizes.backbone.blocks),
    ...random(backboneShapes(sizes), "BF16", draw),
  });
  await torch(folder, `action_decoder/${decoder}`, random(decoderShapes(sizes), "BF16", draw));
  await torch(folder, "video_backbone/tokenizer/tokenizer.pth", random(vaeShapes(sizes), "F32", draw));
  await json(folder, `dataset_statistics/${policy}.json`, statistics(sizes.decoder.chunk, seed));
  await json(folder, "clip.json", { frame_size: sizes.frameSize, future_frames: sizes.futureFrames });
  await episodes(folder, sizes, seed);
  await text(folder, sizes, seed);
  return policy;
}

/** Counters of training and states of kernels, which the published file has. */
function skipped(blocks: number): Record<string, TensorToSave> {
  const scalar = (dtype: StoredDtype, bytes: number): TensorToSave => ({
    ...{ dtype, shape: [], data: new Uint8Array(bytes) },
  });
  const states = Array.from({ length: blocks }, (_, i) => [
    `net.blocks.${i}.cross_attn.attn_op._extra_state`,
    { dtype: "U8", shape: [0], data: new Uint8Array(0) },
  ]);
  return {
    "net.accum_video_sample_counter": scalar("I64", 8),
    "net.accum_image_sample_counter": scalar("I64", 8),
    "net.accum_iteration": scalar("I64", 8),
    "net.accum_train_in_hours": scalar("F32", 4),
    ...(Object.fromEntries(states) as Record<string, TensorToSave>),
  };
}

/** Always as many numbers. */
type Draw = (terms: number, around: number) => Float32Array<ArrayBuffer>;

function drawer(seed: number, count: number): Draw {
  const drawn = new Map<string, Float32Array<ArrayBuffer>>();
  return (terms, around) => {
    const key = `${terms} ${around}`;
    let values = drawn.get(key);
    if (!values) {
      values = uniform(seed + terms + 7919 * around, count, terms > 0 ? Math.sqrt(3 / terms) : 0.1);
      if (around !== 0) for (let i = 0; i < count; i++) values[i] += around;
      drawn.set(key, values);
    }
    return values;
  };
}

/** Matrices uniform with variance 1 / terms of a sum, so that activations keep their size; gains around 1, biases around 0. */
function random(shapes: Shapes, dtype: "F32" | "BF16", draw: Draw): Record<string, TensorToSave> {
  const packed = new Map<Float32Array, Uint8Array>();
  const bytesOf = (values: Float32Array<ArrayBuffer>): Uint8Array => {
    let bytes = packed.get(values);
    if (!bytes) {
      const words = new Uint32Array(values.buffer);
      bytes = new Uint8Array(
        dtype === "F32" ? values.buffer : Uint16Array.from(words, (w) => w >>> 16).buffer,
      );
      packed.set(values, bytes);
    }
    return bytes;
  };
  let start = 0;
  const all = Object.entries(shapes).map(([name, shape]) => {
    const isGain = /(norm\.weight|gamma)$/.test(name);
    const terms = shape.length > 1 && !isGain && !/pos_|token$/.test(name) ? elementCount(shape.slice(1)) : 0;
    const size = elementCount(shape) * (dtype === "F32" ? 4 : 2);
    // Each tensor begins elsewhere in the numbers, so that no two of one shape are equal.
    const from = (start = (start + 7919) % draw(0, 0).length) * (dtype === "F32" ? 4 : 2);
    const data = function* (): Generator<Uint8Array> {
      const block = bytesOf(draw(terms, isGain ? 1 : 0));
      for (let at = 0, offset = from; at < size; offset = 0) {
        const piece = block.subarray(offset, offset + Math.min(size - at, block.length - offset));
        yield piece;
        at += piece.length;
      }
    };
    return [name, { dtype, shape, data }] as const;
  });
  return Object.fromEntries(all);
}

async function torch(folder: string, name: string, tensors: Record<string, TensorToSave>): Promise<void> {
  const sink = await createFile(path.join(folder, name));
  try {
    await writeTorch(tensors, sink);
    await sink.finish();
  } finally {
    await sink.abandon();
  }
}

async function safetensors(
  folder: string,
  name: string,
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const sink = await createFile(path.join(folder, name));
  try {
    await writeSafetensors(tensors, sink, metadata);
    await sink.finish();
  } finally {
    await sink.abandon();
  }
}

const json = (folder: string, name: string, content: unknown): Promise<void> =>
  writeFile(path.join(folder, name), `${JSON.stringify(content)}\n`);

/** Bridge's fields: percentiles in even steps around a mean that moves with the position. */
function statistics(chunk: number, seed: number): Record<string, unknown> {
  const field = (positions: number, width: number, salt: number): unknown => {
    const means = uniform(seed + salt, positions * width, 0.2);
    const table = (value: (mean: number) => number): number[][] =>
      Array.from({ length: positions }, (_, t) =>
        Array.from({ length: width }, (_, d) => value(means[t * width + d])),
      );
    return {
      mean: table((m) => m),
      std: table(() => 0.5),
      min: table((m) => m - 1),
      max: table((m) => m + 1),
      percentiles: Array.from({ length: 1001 }, (_, p) => table((m) => m + (p - 500) / 500)),
      clamp_min: table((m) => m - 1.44),
      clamp_max: table((m) => m + 1.44),
      mean_clamped: table((m) => m),
      std_clamped: table(() => 0.45),
    };
  };
  return {
    "obs/eef_pos_lowdim": field(1, 3, 1),
    "obs/eef_rot_lowdim": field(1, 6, 2),
    "obs/gripper_state_lowdim": field(1, 1, 3),
    "action/eef_pos_lowdim": field(chunk, 3, 4),
    "action/eef_rot_lowdim": field(chunk, 6, 5),
    "action/gripper_action_lowdim": field(chunk, 1, 6),
  };
}

const asBytes = (values: Float32Array<ArrayBuffer>): Uint8Array => new Uint8Array(values.buffer);

async function episodes(folder: string, sizes: ReleaseSizes, seed: number): Promise<void> {
  const { frameSize, futureFrames, decoder } = sizes;
  const E = sizes.episodes;
  const list = Array.from({ length: E }, (_, e) => ({
    id: `random-${e}`,
    prompt: PROMPTS[e % PROMPTS.length],
  }));
  await json(folder, "episodes/episodes.json", list);
  const frames = (salt: number, count: number): TensorToWrite => {
    const shape = [E, count, 3, ...frameSize];
    const values = uniform(seed + salt, elementCount(shape), 127);
    return {
      name: salt === 11 ? "video" : "future",
      dtype: "U8",
      shape,
      data: Uint8Array.from(values, (v) => v + 128),
    };
  };
  await safetensors(folder, "episodes/episodes.safetensors", [
    frames(11, 5),
    frames(12, futureFrames),
    { name: "state", dtype: "F32", shape: [E, 1, 10], data: asBytes(uniform(seed + 13, E * 10)) },
    {
      ...{ name: "actions", dtype: "F32", shape: [E, decoder.chunk, 10] },
      data: asBytes(uniform(seed + 14, E * decoder.chunk * 10)),
    },
  ]);
}

async function text(folder: string, { backbone, textRows }: ReleaseSizes, seed: number): Promise<void> {
  const shape = [textRows, backbone.textWidth];
  const tensors = PROMPTS.map((_, i) => ({
    ...{ name: `text.${i}`, dtype: "F32" as const, shape },
    data: asBytes(uniform(seed + 20 + i, elementCount(shape))),
  }));
  await safetensors(folder, "text.safetensors", tensors, { prompts: JSON.stringify(PROMPTS) });
}
