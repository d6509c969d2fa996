/** The release as a system: its miniatures' actions against the reference, and folders that do not fit. */
import { cp, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { PUBLISHED } from "../../../bench/release/layout.ts";
import { writeRandomRelease } from "../../../bench/release/write.ts";
import { AdapterError, WeightsError } from "../../../src/errors.ts";
import { compareRelease } from "../../../src/parity/release.ts";
import type { Held, Subject } from "../../../src/probe/subject.ts";
import { ReleaseModel } from "../../../src/systems/mimic-video-release/model.ts";
import { choosePolicy } from "../../../src/systems/mimic-video-release/policies.ts";
import type { ContextStorage } from "../../../src/networks/world2action/decoder.ts";
import { readOut } from "../../../src/systems/mimic-video-release/read-out.ts";
import { mimicVideoRelease } from "../../../src/systems/mimic-video-release/system.ts";
import type { SystemOptions } from "../../../src/systems/system.ts";
import { createTensor, releaseTensor } from "../../../src/tensor/tensor.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import type { ModelFiles } from "../../../src/weights/model-files.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import { encodeSafetensors } from "../../../src/weights/safetensors.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError, uniform } from "../../support/numbers.ts";
import { folderOf, type Miniature } from "./miniatures.ts";

/** Runs with an open subject of a miniature. */
async function withSubject(
  name: Miniature,
  options: SystemOptions,
  body: (subject: Subject<Held>) => Promise<void>,
): Promise<void> {
  const folder = folderOf(name);
  const opened = await mimicVideoRelease.open(await testGpu(), await openModelFolder(folder), options);
  try {
    const subject = await opened.subject(await openModelFolder(`${folder}/episodes`));
    await opened.load({});
    await body(subject as Subject<Held>);
    await subject.close();
  } finally {
    await opened.release();
  }
}

/** Chunks of the reference: (E, seeds, stops, HA, 10). */
async function referenceOf(name: Miniature, key: string) {
  const source = await openWeights(`${folderOf(name)}/reference/reference.safetensors`);
  const values = toFloat32(await source.read(key), "F32");
  const [, V, K, HA, D] = source.tensors.get(key)!.shape;
  await source.close();
  const size = HA * D;
  return {
    ...{ V, size },
    chunk: (e: number, v: number, k: number) =>
      values.subarray(((e * V + v) * K + k) * size).subarray(0, size),
  };
}

describe("actions of the reference", () => {
  test.each([
    ["bridge", "bridge", [0, 1], [0, 1, 2]],
    ["libero", "libero_object_full", [0, 7], [0, 1]],
  ] as const)("%s, two seeds in one batch", { timeout: 120_000 }, async (name, policy, seeds, stops) => {
    const { chunk, V, size } = await referenceOf(name, "actions");
    await withSubject(name, { policy }, async (subject) => {
      const item = await subject.items.read(1);
      const encoded = await subject.encode(item, V);
      const noise = seeds.map((seed) => subject.noise(item, seed));
      const paired = [seeds.map((seed) => subject.readNoise(item, seed))];
      for await (const state of subject.denoise(encoded, noise, { last: stops.at(-1) })) {
        const tap = await state.tap("hidden");
        const twice = [0, 1].map(() => ({ tap, time: state.time }));
        const [first, second] = await subject.read(twice, encoded, paired, undefined, {});
        expect(relativeError(second.values, first.values)).toBeLessThan(1e-6);
        const ours = subject.toData(first.values, item);
        for (let v = 0; v < V; v++) {
          const own = ours.subarray(v * size, (v + 1) * size);
          // PyTorch's own float32 is off by 2e-7.
          expect(relativeError(own, chunk(1, v, stops.indexOf(state.step as 0)))).toBeLessThan(2e-6);
        }
        expect([first.iterates!.length, first.oneJump!.length]).toEqual([V * 11 * size, V * 10 * size]);
      }
      encoded.dispose();
    });
  });

  test("adapters apart, and the recorded future", { timeout: 120_000 }, async () => {
    const { chunk } = await referenceOf("lora", "oracle_actions");
    await withSubject("lora", { policy: "bridge", oracle: true }, async (subject) => {
      const item = await subject.items.read(0);
      const encoded = await subject.encode(item, 1);
      const noise = [[subject.readNoise(item, 1)]];
      for (const [k, step] of [0, 2, 22, 34].entries()) {
        const tapped = await subject.oracle!(encoded, step, [subject.noise(item, 1)], {});
        const [{ values }] = await subject.read([tapped], encoded, noise, undefined, {});
        expect(relativeError(subject.toData(values, item), chunk(0, 1, k))).toBeLessThan(2e-6);
      }
      encoded.dispose();
    });
  });

  test("parity compares latents, text and taps", { timeout: 120_000 }, async () => {
    const files = await openModelFolder(folderOf("libero"));
    const data = await openModelFolder(`${folderOf("libero")}/episodes`);
    const names: string[] = [];
    for await (const { name, ours, truth, torch } of compareRelease(
      await testGpu(),
      files,
      data,
      "f32",
      {},
    )) {
      names.push(name);
      expect(relativeError(ours, truth), name).toBeLessThan(Math.max(2e-5, 10 * torch));
    }
    expect(names).toContain("1.hidden.34");
    expect(names).toHaveLength(2 * (2 + 4 + 1));
  });
});

test(
  "keys and values of the decoder made in every step give the same, in half precision nearly",
  { timeout: 120_000 },
  async () => {
    const gpu = await testGpu();
    const files = await openModelFolder(folderOf("libero"));
    const policy = choosePolicy("libero", files.paths, "libero_object_full");
    const model = await ReleaseModel.open(gpu, files, policy, { dtype: "bf16" });
    await model.load({});
    const tap = [createTensor(gpu, [2, model.tokens, 64], uniform(1, 2 * model.tokens * 64), "tap")];
    const [state, noises] = [uniform(2, 10), [[uniform(3, 80), uniform(4, 80)]]];
    const read = (storage: ContextStorage) =>
      readOut(model, [{ tap, time: 0.5 }], state, noises, 3, storage, {});
    const [[kept], [half], [made]] = [await read("float32"), await read("half"), await read("recompute")];
    expect(relativeError(made.iterates!, kept.iterates!)).toBeLessThan(1e-6);
    expect(relativeError(half.iterates!, kept.iterates!)).toBeLessThan(1e-3);
    expect(relativeError(half.iterates!, kept.iterates!)).toBeGreaterThan(0);
    releaseTensor(gpu, tap[0]);
    model.release();
    const little = { policy: policy.name, gpuMemory: 1e6 };
    await expect(mimicVideoRelease.open(gpu, files, little)).rejects.toThrow(AdapterError);
  },
);

describe("folders that do not fit", () => {
  /** The bridge miniature with something changed. */
  async function changed(change: (folder: string) => Promise<void>): Promise<string> {
    const folder = await mkdtemp(path.join(tmpdir(), "release-"));
    await cp(folderOf("bridge"), folder, { recursive: true });
    await change(folder);
    return folder;
  }
  const open = async (folder: string, options: SystemOptions = { policy: "bridge" }) =>
    mimicVideoRelease.open(await testGpu(), await openModelFolder(folder), options);

  test("policies are listed", async () => {
    await expect(open(folderOf("bridge"), { policy: "other" })).rejects.toThrow(
      /Choose one with --policy: bridge\./,
    );
    // Of one there is no choice.
    const alone = await open(folderOf("bridge"), {});
    expect(alone.stamp.policy).toBe("bridge");
    await alone.release();
  });

  test("statistics of another horizon, a clip that does not divide", async () => {
    const other = `${folderOf("lora")}/dataset_statistics/bridge.json`;
    const statistics = await changed((f) => cp(other, `${f}/dataset_statistics/bridge.json`));
    await expect(open(statistics)).rejects.toThrow(/eef_pos_lowdim.*has 6 positions, expected 5/);
    const text = '{"frame_size": [40, 192], "future_frames": 12}';
    const clip = await changed((f) => writeFile(`${f}/clip.json`, text));
    await expect(open(clip)).rejects.toThrow(/40×192 are not divisible by 16/);
  });

  test("another backbone under the decoder's backbone's name", async () => {
    const name = "video_backbone/v2w_pretrained_cosmos.pt";
    const folder = await changed(async (f) => {
      const wide = await mkdtemp(path.join(tmpdir(), "wide-"));
      const small = { headDim: 32, blocks: 4, feedForward: 64, rank: 8 };
      const backbone = { ...small, width: 96, textWidth: 24 };
      const decoder = { ...PUBLISHED.decoder, ...small, width: 64 };
      await writeRandomRelease(wide, {
        ...PUBLISHED,
        backbone,
        decoder,
        vae: { ...PUBLISHED.vae, width: 8 },
      });
      await rm(path.join(f, name));
      await rename(path.join(wide, name), path.join(f, name));
    });
    await expect(open(folder)).rejects.toThrow(WeightsError);
    await expect(open(folder)).rejects.toThrow(
      /hidden states of width 64, .* has 96\. A decoder cannot read another/,
    );
  });

  test("a tapped layer that the backbone has not", async () => {
    const folder = await changed(async (f) => {
      const [name] = await readdir(`${f}/action_decoder`);
      await rename(`${f}/action_decoder/${name}`, `${f}/action_decoder/${name.replace("layer3", "layer30")}`);
    });
    await expect(open(folder)).rejects.toThrow(/behind 30 blocks; .* has 4/);
  });

  test("a text file of another width, and of other prompts", async () => {
    const text = path.join(await mkdtemp(path.join(tmpdir(), "text-")), "text.safetensors");
    const write = async (width: number) => {
      const data = new Uint8Array(8 * width).fill(1);
      const tensor = { name: "text.0", dtype: "F32" as const, shape: [2, width], data };
      await writeFile(text, await encodeSafetensors([tensor], { prompts: '["push the red block up"]' }));
    };
    const options = { policy: "bridge", text, openFile: openWeights };
    await write(32);
    await expect(open(folderOf("bridge"), options)).rejects.toThrow(
      /32 wide, but this model reads text of width 24/,
    );
    await write(24);
    const opened = await open(folderOf("bridge"), options);
    const data = await openModelFolder(`${folderOf("bridge")}/episodes`);
    await expect(opened.subject(data)).rejects.toThrow(/no embedding of the prompt "push a block somewhere"/);
    await opened.release();
  });

  test("what is missing of the kind, and what a download needs", async () => {
    const files = await openModelFolder(folderOf("lora"));
    expect(await mimicVideoRelease.recognise(files)).toEqual({ found: true });
    const toy = await mimicVideoRelease.recognise({ ...files, paths: ["model.json"] });
    expect("missing" in toy && toy.missing).toHaveLength(3);
    // The miniature's encoder is small and comes along; the published one has to be asked for.
    const small = await mimicVideoRelease.needed(files, { policy: "bridge" });
    expect(small.filter((name) => name.startsWith("text_encoder"))).toHaveLength(3);
    const published: ModelFiles = {
      ...files,
      bytes: async (file) => {
        const source = await files.bytes(file);
        return { ...source, size: file.endsWith(".bin") ? 45e9 : source.size };
      },
    };
    await expect(mimicVideoRelease.needed(published, { policy: "bridge" })).rejects.toThrow(
      /--text.*--encode-text/,
    );
    const needed = await mimicVideoRelease.needed(files, { policy: "bridge", text: "t.safetensors" });
    expect(needed.filter((name) => name.startsWith("text_encoder"))).toEqual([]);
    expect(needed).toContain("video_backbone/v2w_bridge_lora_rank256_lr1.778e-04_bsz64_iter_000070043.pt");
    expect(needed).toContain("episodes/episodes.json");
  });
});
