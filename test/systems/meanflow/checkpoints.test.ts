/**
 * Checkpoints as their repositories store them: recognised without a model.json or with one, loaded, sampled as the golden cases say, and converted. The
 * weights are those of the golden cases.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { readMeanFlowConfig } from "../../../src/networks/meanflow/config.ts";
import { runConvert } from "../../../src/commands/convert.node.ts";
import { derivedConfig } from "../../../src/systems/meanflow/derived-config.ts";
import { layoutOf } from "../../../src/systems/meanflow/layouts.ts";
import { recognise } from "../../../src/systems/registry.ts";
import type { SystemOptions } from "../../../src/systems/system.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import { readWholeNumbers } from "../../../src/weights/whole-numbers.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError } from "../../support/numbers.ts";
import { type Beside, Instance, torchFile, type TensorToSave } from "../../support/torch-file.ts";

// Many small networks are recorded.
vi.setConfig({ testTimeout: 600_000 });

const GOLDEN = "test/golden-meanflow";
const made: string[] = [];
afterAll(() => Promise.all(made.map((folder) => rm(folder, { recursive: true }))));

interface Case {
  readonly config: Readonly<Record<string, unknown>> & { readonly arch: string };
  readonly weights: ReadonlyMap<string, TensorToSave>;
}

async function golden(name: string): Promise<Case> {
  const { config } = JSON.parse(readFileSync(`${GOLDEN}/${name}/case.json`, "utf8")) as Case;
  const source = await openWeights(`${GOLDEN}/${name}/weights.safetensors`);
  const weights = new Map<string, TensorToSave>();
  for (const { name: key, dtype, shape } of source.tensors.values())
    weights.set(key, { dtype, shape, data: await source.read(key) });
  await source.close();
  return { config, weights };
}

/** Under a prefix, every value scaled: a copy that must not be taken is told apart by it. */
function under(prefix: string, weights: Case["weights"], scale = 1): Record<string, TensorToSave> {
  return Object.fromEntries(
    [...weights].map(([key, { dtype, shape, data }]) => {
      const values = new Float32Array((data as Uint8Array).slice().buffer).map((value) => value * scale);
      return [prefix + key, { dtype, shape, data: new Uint8Array(values.buffer) }];
    }),
  );
}

/** A folder with a checkpoint, and a model.json where one is given. */
async function folderOf(
  file: string,
  tensors: Readonly<Record<string, TensorToSave>>,
  { beside = {}, json }: { beside?: Readonly<Record<string, Beside>>; json?: object } = {},
): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "meanflow-"));
  made.push(folder);
  await writeFile(path.join(folder, file), await torchFile(tensors, beside));
  if (json) await writeFile(path.join(folder, "model.json"), JSON.stringify(json));
  return folder;
}

async function open(folder: string, options: SystemOptions = {}) {
  const files = await openModelFolder(folder);
  const system = await recognise(files);
  expect(system.name).toBe("meanflow");
  const opened = await system.open(await testGpu(), files, options);
  await opened.load({});
  return opened;
}

/** Samples as the case's uniform grids have them, by the rule. */
async function expectGolden(
  folder: string,
  name: string,
  { rule = "average", guidance, ...options }: SystemOptions & { rule?: string; guidance?: number } = {},
): Promise<void> {
  const opened = await open(folder, options);
  const inputs = await openWeights(`${GOLDEN}/${name}/inputs.safetensors`);
  const outputs = await openWeights(`${GOLDEN}/${name}/outputs.safetensors`);
  try {
    const sampler = opened.sampler!();
    const noise = Float32Array.from(toFloat32(await inputs.read("noise"), "F32"));
    const labels = inputs.tensors.has("y") ? await readWholeNumbers(inputs, "y") : undefined;
    const grid = toFloat32(await inputs.read("grid.1"), "F32");
    const trajectory = toFloat32(await outputs.read("trajectory.1"), "F32");
    const calls = grid.length - 1;
    for await (const drawn of sampler.draw({ labels, noise, calls, rule, guidance })) {
      const expected = trajectory.slice(drawn.step * noise.length, (drawn.step + 1) * noise.length);
      expect(relativeError(await drawn.read(), expected)).toBeLessThan(2e-5);
    }
  } finally {
    await inputs.close();
    await outputs.close();
    await opened.release();
  }
}

/** Converts a checkpoint, alone in a folder of its own. */
async function converted(folder: string, file: string): Promise<string> {
  const out = path.join(folder, "converted");
  await mkdir(out);
  expect(await runConvert([path.join(folder, file), path.join(out, "model.safetensors")])).toBe(0);
  return out;
}

const keysOf = async (file: string): Promise<string[]> => {
  const source = await openWeights(file);
  await source.close();
  return [...source.tensors.keys()].sort();
};

/** What training leaves beside the weights. */
const moment = (weights: Case["weights"]): Record<string, TensorToSave> => ({
  "optimizer.state.0.exp_avg": [...weights.values()][0],
});

describe("kylevedder/DenoisingZoo: last.pt", () => {
  const config = ({ arch, ...own }: Case["config"], loss: Beside): Record<string, Beside> => ({
    ...{ epoch: 3, scaler: null, torch_version: "2.5.1" },
    config: {
      model: { _target_: TARGETS[arch], ...(own as Record<string, Beside>) },
      ...{ loss, optimizer: { _target_: "torch.optim.AdamW", lr: 0.001 }, resume: false },
    },
  });
  const TARGETS: Readonly<Record<string, string>> = {
    zoo_dit: "models.dit.dit.DiT",
    zoo_unet: "models.unet.unet.UNet",
    zoo_mlp: "models.flow_matching.mlp.MLP",
  };
  const published = { _target_: "losses.meanflow_loss.MeanFlowLoss", meanflow_ratio: 0.25 };

  test("its configuration says the network and the loss, which one call would mislead", async () => {
    const { config: own, weights } = await golden("sample-zoo-dit");
    const tensors = { ...under("model.", weights), ...moment(weights) };
    const folder = await folderOf("last.pt", tensors, { beside: config(own, published) });
    await expect(expectGolden(folder, "sample-zoo-dit")).rejects.toThrow(
      /from data to noise.*--state-time r/s,
    );
    await expectGolden(folder, "sample-zoo-dit", { stateTime: "r" });
    const euler = await golden("sample-zoo-dit-euler");
    const followed = under("model.", euler.weights);
    const literal = await folderOf("last.pt", followed, { beside: config(euler.config, published) });
    await expectGolden(literal, "sample-zoo-dit-euler", { rule: "instant" });
  });

  test("a loss of one's own that says where the state is", async () => {
    const { config: own, weights } = await golden("sample-zoo-dit");
    const loss = { _target_: "mine.Loss", state_time: "r" };
    await expectGolden(
      await folderOf("last.pt", under("model._orig_mod.", weights), { beside: config(own, loss) }),
      "sample-zoo-dit",
    );
    const silent = await folderOf("last.pt", under("model.", weights), {
      beside: config(own, { _target_: "mine.Loss" }),
    });
    await expect(expectGolden(silent, "sample-zoo-dit")).rejects.toThrow(/Say --state-time r .* or t/);
    await expect(expectGolden(silent, "sample-zoo-dit", { stateTime: "t" })).rejects.toThrow(/N\(m\/σ/);
    const plain = await folderOf("last.pt", under("model.", weights), {
      beside: config(own, { _target_: "torch.nn.MSELoss" }),
    });
    await expect(expectGolden(plain, "sample-zoo-dit")).rejects.toThrow(/plain flow/);
  });

  test("converted, it still says both", async () => {
    const { config: own, weights } = await golden("sample-zoo-dit");
    const tensors = { ...under("model.", weights), ...moment(weights) };
    const folder = await folderOf("last.pt", tensors, { beside: config(own, published) });
    const out = await converted(folder, "last.pt");
    expect(await keysOf(path.join(out, "model.safetensors"))).toEqual([...weights.keys()].sort());
    await expectGolden(out, "sample-zoo-dit", { stateTime: "r" });
    await expect(expectGolden(out, "sample-zoo-dit")).rejects.toThrow(/from data to noise/);
  });

  test("a bare state dict says what its shapes do, and asks for the rest", async () => {
    const mlp = await golden("zoo-mlp");
    const opened = await open(await folderOf("mlp.pt", under("", mlp.weights)), { stateTime: "r" });
    expect(opened.sampler!()).toMatchObject({ contents: "vectors", shape: [2], classes: 0 });
    await opened.release();
    const { weights } = await golden("sample-zoo-dit");
    const files = await openModelFolder(await folderOf("dit.pt", under("module.", weights)));
    const opening = (await recognise(files)).open(await testGpu(), files, {});
    await expect(opening).rejects.toThrow(
      /do not say num_heads, num_classes, class_dropout_prob.*model\.json/s,
    );
  });

  test("a class that does not fit its tensors is refused", async () => {
    const { config: own, weights } = await golden("sample-zoo-dit");
    const wrong = config({ ...own, arch: "zoo_unet" }, published);
    const files = await openModelFolder(
      await folderOf("last.pt", under("model.", weights), { beside: wrong }),
    );
    await expect((await recognise(files)).open(await testGpu(), files, {})).rejects.toThrow(
      /names the class "models\.unet\.unet\.UNet", and its tensors are those of a zoo_dit/,
    );
  });
});

describe("py-meanflow: model.pth", () => {
  test("the average of decay 0.99995 is taken of four copies, and the shapes say the rest", async () => {
    const { config, weights } = await golden("sample-song-unet");
    const tensors = {
      ...under("model.net.", weights, 2),
      ...under("model.net_ema.", weights, 3),
      ...under("model.net_ema1.", weights),
      ...under("model.net_ema2.", weights, 4),
      "model.num_updates": { dtype: "I64", shape: [], data: new Uint8Array(8) } as TensorToSave,
      ...moment(weights),
    };
    const beside = { args: new Instance("argparse", "Namespace", { arch: "unet", lr: 0.0006 }), epoch: 7 };
    const folder = await folderOf("model.pth", tensors, { beside });
    await expectGolden(folder, "sample-song-unet");
    const out = await converted(folder, "model.pth");
    expect(await keysOf(path.join(out, "model.safetensors"))).toEqual(
      [...weights.keys()].filter((key) => !key.startsWith("map_augment")).sort(),
    );
    await expectGolden(out, "sample-song-unet");
    const { config: derived } = derivedConfig("song_unet", new Map(weights));
    const read = (json: object) => readMeanFlowConfig(json, "derived");
    expect(read({ arch: "song_unet", ...derived })).toEqual(read(config));
  });

  test("its augmentation is of training", async () => {
    const { weights } = await golden("song-unet");
    const opened = await open(await folderOf("model.pth", under("model.net_ema1.", weights)));
    expect(opened.sampler!()).toMatchObject({ contents: "pictures", shape: [3, 16, 16] });
    await opened.release();
  });
});

describe("zhuyu-cs/MeanFlow", () => {
  test("the average of model, ema and opt; latents, guided", async () => {
    const { config, weights } = await golden("sample-sit-guided");
    const tensors = {
      ...under("model.", weights, 2),
      ...under("ema.", weights),
      "opt.state.0.step": scalar(),
    };
    const { arch: architecture, ...own } = config;
    const json = { kind: "meanflow", architecture, config: own };
    const folder = await folderOf("0400000.pt", tensors, { json });
    await expectGolden(folder, "sample-sit-guided", { guidance: 2.5 });
    const opened = await open(folder);
    expect(opened.sampler!()).toMatchObject({ contents: "latents", classes: 10 });
    expect(Object.keys(opened.sampler!())).not.toContain("sheet");
    await opened.release();
    const files = await openModelFolder(await folderOf("0400000.pt", tensors));
    await expect((await recognise(files)).open(await testGpu(), files, {})).rejects.toThrow(
      /a sit whose tensors do not say num_heads/,
    );
  });
});

const scalar = (): TensorToSave => ({ dtype: "F32", shape: [], data: new Uint8Array(4) });

describe("improved MeanFlow", () => {
  test.each(["imf", "imf-two-heads"])("a bare state dict under net., of %s", async (name) => {
    const { config, weights } = await golden(name);
    const { arch: architecture, ...own } = config;
    const json = { kind: "meanflow", architecture, config: own, labels: { classes: 10, null: 10 } };
    const tensors = under("net.", weights);
    const folder = await folderOf("iMF-small.pth", tensors, { json });
    const opened = await open(folder);
    const sampler = opened.sampler!();
    const noise = sampler.noise(3, 0);
    const drawn = async (guidance?: number, guided?: readonly [number, number]): Promise<Float32Array> => {
      let last = new Float32Array();
      const request = { labels: [3], noise, calls: 1, guidance, guided };
      for await (const state of sampler.draw(request))
        if (state.step === state.steps) last = Float32Array.from(await state.read());
      return last;
    };
    // ω = 1 is no guidance, and what is told is heard.
    expect(relativeError(await drawn(1), await drawn())).toBe(0);
    expect(relativeError(await drawn(8, [0.65, 0.4]), await drawn())).toBeGreaterThan(1e-3);
    await expect(drawn(0.5)).rejects.toThrow(/from 1 \(none\) on/);
    await opened.release();

    const out = await converted(folder, "iMF-small.pth");
    const kept = [...weights.keys()].filter((key) => !/^v_(heads|final_layer)\./.test(key));
    expect(await keysOf(path.join(out, "model.safetensors"))).toEqual(kept.sort());
    const files = await openModelFolder(out);
    await expect((await recognise(files)).open(await testGpu(), files, {})).rejects.toThrow(
      /do not say input_size/,
    );
  });

  test("of the published sizes everything is known", () => {
    for (const [width, depth, hidden, heads] of [
      [768, 12, 2048, 12],
      [768, 24, 2048, 12],
      [1024, 32, 2730, 16],
      [1024, 48, 2730, 16],
    ]) {
      const shapes = publishedShapes(width, depth, hidden, heads);
      expect(layoutOf(shapes)).toMatchObject({ architecture: "imf_dit", prefix: "net." });
      const own = new Map([...shapes].map(([key, value]) => [key.slice(4), value]));
      const { config, unknown } = derivedConfig("imf_dit", own);
      expect(unknown).toEqual([]);
      expect(readMeanFlowConfig({ arch: "imf_dit", ...config }, "derived")).toMatchObject({
        ...{ size: 32, patch: 2, channels: 4, width, heads, hidden, classes: 1000 },
        ...{ shared: depth - 8, head: 8, classTokens: 8, timeTokens: 4, omegaTokens: 4, intervalTokens: 2 },
      });
    }
  });
});

/** The shapes that tell an iMF network, under the published prefix. */
function publishedShapes(width: number, depth: number, hidden: number, heads: number) {
  const shapes = new Map<string, { readonly shape: readonly number[] }>();
  const put = (key: string, ...shape: number[]): void => void shapes.set(`net.${key}`, { shape });
  put("x_embedder.proj.weight", width, 4, 2, 2);
  put("y_embedder.embedding_table._flax_embedding.weight", 1001, width);
  const tokens = { class_tokens: 8, omega_tokens: 4, t_min_tokens: 2, t_max_tokens: 2, time_tokens: 4 };
  for (const [key, count] of Object.entries(tokens)) put(key, count, width);
  for (let i = 0; i < depth; i++) {
    const block = i < depth - 8 ? `shared_blocks.${i}` : `u_heads.${i - depth + 8}`;
    put(`${block}.attn.q_norm.weight`, width / heads);
    put(`${block}.mlp.w1._flax_linear.weight`, hidden, width);
  }
  return shapes;
}

test("of several checkpoints one is named", async () => {
  const { weights } = await golden("sample-song-unet");
  const folder = await folderOf("a.pth", under("", weights));
  await writeFile(path.join(folder, "b.pth"), await torchFile(under("", weights, 2)));
  const files = await openModelFolder(folder);
  const system = await recognise(files);
  await expect(system.open(await testGpu(), files, {})).rejects.toThrow(/a\.pth, b\.pth.*--policy a/);
  await expectGolden(folder, "sample-song-unet", { policy: "a.pth" });
});

test("the converter's command says what it recognised, and keeps keys that are asked for", async () => {
  const { weights } = await golden("sample-song-unet");
  const folder = await folderOf("model.pth", under("model.net_ema1.", weights));
  const run = (...words: string[]) =>
    new Promise<string>((done, fail) =>
      execFile(process.execPath, ["dist/convert-weights.js", ...words], (error, out, err) =>
        error ? fail(new Error(err)) : done(out),
      ),
    );
  const words = await run(path.join(folder, "model.pth"), path.join(folder, "own.safetensors"));
  expect(words).toMatch(
    /recognised as song_unet, its keys without "model\.net_ema1\." \(the averaged weights\)/,
  );
  await run(path.join(folder, "model.pth"), path.join(folder, "stored.safetensors"), "--as-stored");
  expect((await keysOf(path.join(folder, "stored.safetensors")))[0]).toMatch(/^model\.net_ema1\./);
});
