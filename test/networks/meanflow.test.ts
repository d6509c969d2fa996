/** MeanFlow's networks beyond the golden cases: published sizes, the forms that no case has, what is refused. */
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { record } from "../../src/gpu/recording.ts";
import { conv3dReference } from "../../src/kernels/conv3d.reference.ts";
import { buildMeanFlowNetwork } from "../../src/networks/meanflow/build.ts";
import { readMeanFlowConfig } from "../../src/networks/meanflow/config.ts";
import type { Told } from "../../src/networks/meanflow/network.ts";
import { readTensor, type Tensor } from "../../src/tensor/tensor.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import type { TensorSource } from "../../src/weights/source.ts";
import { release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";
import { drawnSource, parameters, sourceOf } from "./shapes-only.ts";

type Config = Record<string, unknown>;

const unread = (gpu: Gpu, config: Config, size: readonly [number, number] = [8, 8]) => {
  const loader = WeightLoader.from(gpu, sourceOf({}));
  const network = buildMeanFlowNetwork(readMeanFlowConfig(config), loader, size);
  return { network, asked: loader.asked };
};

/** u of one evaluation on these weights. */
async function evaluate(
  gpu: Gpu,
  config: Config,
  source: TensorSource,
  x: { shape: readonly number[]; data: Float32Array },
  told: Told,
): Promise<Float32Array> {
  const loader = WeightLoader.from(gpu, source);
  const [rows = 1, columns = 1] = x.shape.slice(2);
  const network = buildMeanFlowNetwork(readMeanFlowConfig(config), loader, [rows, columns]);
  await loader.load();
  const state = upload(gpu, x.shape, x.data);
  const features = Object.entries(network.features(told)).map(([name, { shape, data }]): [string, Tensor] => [
    name,
    upload(gpu, shape, data),
  ]);
  const replay = await record(gpu, "u", () => network.forward(state, Object.fromEntries(features)).u);
  await replay.run();
  const u = await readTensor(gpu, replay.outputs);
  replay.dispose();
  release(gpu, state, ...features.map(([, tensor]) => tensor));
  loader.release();
  return u;
}

describe("published sizes, in parameters", () => {
  const imf = { arch: "imf_dit", eval_mode: true };
  it.each<[string, number, Config]>([
    [
      "SongUNet of CIFAR-10",
      55_932_419,
      {
        ...{
          arch: "song_unet",
          img_resolution: 32,
          in_channels: 3,
          out_channels: 3,
          channel_mult: [2, 2, 2],
        },
        ...{ channel_mult_noise: 2, resample_filter: [1, 3, 3, 1], augment_dim: 6 },
      },
    ],
    ["U-Net", 51_561_219, { arch: "zoo_unet", num_res_blocks: 3, attention_resolutions: [16, 8] }],
    [
      "U-Net, official",
      58_570_755,
      { arch: "zoo_unet", num_res_blocks: 4, attention_resolutions: [16, 8], channel_mult: [2, 2, 2] },
    ],
    ["improved B/2", 88_948_256, { ...imf, hidden_size: 768, depth: 12, num_heads: 12 }],
    ["improved M/2", 173_921_312, { ...imf, hidden_size: 768, depth: 24, num_heads: 12 }],
    ["improved L/2", 409_071_648, { ...imf, hidden_size: 1024, depth: 32, num_heads: 16 }],
    ["improved XL/2", 610_433_056, { ...imf, hidden_size: 1024, depth: 48, num_heads: 16 }],
  ])("%s", async (_, count, config) => {
    const { asked } = unread(await testGpu(), config);
    const buffers = asked.filter(({ key }) => key.endsWith("resample_filter"));
    const width = Number(config.hidden_size ?? 0);
    // The files of the improved form keep a last layer that is not read: a norm, and a linear map to 2 × 2 × 4 values.
    const unused = config.arch === "imf_dit" ? width + 16 * width + 16 : 0;
    expect(parameters(asked) - parameters(buffers) + unused).toBe(count);
  });
});

it("layers of convolutions, in plain loops", async () => {
  const gpu = await testGpu();
  const config = { arch: "zoo_cnn", in_channels: 2, base_channels: 5, num_layers: 3, kernel_size: 3 };
  const [B, H, W] = [2, 4, 6];
  const { asked } = unread(gpu, config, [H, W]);
  const source = drawnSource(Object.fromEntries(asked.map(({ key, shape }) => [key, shape])), 3);
  const [x, r, t] = [uniform(1, B * 2 * H * W), [0.25, 0.5], [0.75, 1]];
  const pixels = H * W;
  // (B, H, W, [x | r | t])
  let h = Float64Array.from({ length: B * pixels * 4 }, (_, i) => {
    const [b, pixel, c] = [Math.floor(i / 4 / pixels), Math.floor(i / 4) % pixels, i % 4];
    return c < 2 ? x[(b * 2 + c) * pixels + pixel] : [r, t][c - 2][b];
  });
  for (const layer of [0, 1, 2]) {
    const { shape } = source.tensors.get(`net.${2 * layer}.weight`)!;
    const [out, inner] = shape;
    const read = async (name: string) => toFloat32(await source.read(`net.${2 * layer}.${name}`), "F32");
    const [stored, bias] = [await read("weight"), await read("bias")];
    // (O, I, 3, 3) → (O, 3, 3, I)
    const w = Float64Array.from(stored, (_, i) => {
      const [o, tap, c] = [Math.floor(i / inner / 9), Math.floor(i / inner) % 9, i % inner];
      return stored[(o * inner + c) * 9 + tap];
    });
    const y = conv3dReference(h, [B, 1, H, W, inner], w, out, { kernel: [1, 3, 3], padding: 1, bias });
    h = layer < 2 ? y.map((v) => Math.max(v, 0)) : Float64Array.from(y);
  }
  const expected = Float64Array.from(x, (_, i) => {
    const [b, c, pixel] = [Math.floor(i / 2 / pixels), Math.floor(i / pixels) % 2, i % pixels];
    return h[(b * pixels + pixel) * 2 + c];
  });
  const u = await evaluate(gpu, config, source, { shape: [B, 2, H, W], data: x }, { r, t });
  expect(relativeError(u, expected)).toBeLessThan(1e-6);
});

it("one embedder of both times is two with the same weights, told r instead of t − r", async () => {
  const gpu = await testGpu();
  const config = {
    ...{
      arch: "sit",
      input_size: 4,
      in_channels: 2,
      hidden_size: 16,
      depth: 1,
      num_heads: 2,
      num_classes: 3,
    },
  };
  const legacy = { ...config, arch: "zoo_dit", use_separate_time_embeds: false };
  const shapesOf = (of: Config) =>
    Object.fromEntries(unread(gpu, of).asked.map(({ key, shape }) => [key, shape]));
  const one = drawnSource(shapesOf(legacy), 5);
  const both = { ...one, tensors: new Map(one.tensors) };
  for (const [name, info] of one.tensors)
    if (name.startsWith("t_embedder")) both.tensors.set(name.replace("t_", "r_"), { ...info });
  const under = (name: string) => name.replace("r_embedder", "t_embedder");
  const shared: TensorSource = {
    ...both,
    read: (name) => one.read(under(name)),
    stream: (name) => one.stream(under(name)),
  };
  const x = { shape: [2, 2, 4, 4], data: uniform(1, 64) };
  // The planes of r and t must be the same in both: times whose difference is r.
  const told = { r: [0.25, 0.5], t: [0.5, 1], labels: [0, 3] };
  const separate = { ...legacy, use_separate_time_embeds: true };
  const [a, b] = [await evaluate(gpu, legacy, one, x, told), await evaluate(gpu, separate, shared, x, told)];
  expect(relativeError(a, b)).toBeLessThan(1e-6);
  // Without labels: the row of "no class".
  const none = await evaluate(gpu, legacy, one, x, { ...told, labels: undefined });
  expect(relativeError(none.subarray(32), a.subarray(32))).toBe(0);
  expect(relativeError(none.subarray(0, 32), a.subarray(0, 32))).toBeGreaterThan(1e-3);
});

describe("refused", () => {
  const sit = { arch: "sit", input_size: 4, hidden_size: 16, depth: 1, num_heads: 2, num_classes: 3 };
  it.each<[string, Config, Partial<Told>, RegExp]>([
    ["a label that has no row", sit, { labels: [4] }, /label 4; the network knows 0 to 2 and 3 for none/],
    ["no label", { ...sit, class_dropout_prob: 0 }, {}, /label 3.* not trained without one/],
    ["guidance", sit, { omega: [2] }, /sit cannot be told omega; it knows r, t, labels/],
    ["no guidance", { ...sit, arch: "imf_dit", aux_head_depth: 1 }, {}, /told omega, tMin and tMax/],
    ["labels", { arch: "zoo_mlp", feature_dim: 2 }, { labels: [0] }, /zoo_mlp cannot be told labels/],
  ])("%s", async (_, config, told, message) => {
    const { network } = unread(await testGpu(), config);
    const tell = () => network.features({ r: [0], t: [1], ...told });
    expect(tell).toThrow(UsageError);
    expect(tell).toThrow(message);
  });
});
