/** Embeddings of prompts: from the miniatures' T5, files, the cache. */
import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { FormatError, UsageError } from "../../../src/errors.ts";
import { readT5Config } from "../../../src/networks/t5/encoder.ts";
import { StreamedT5 } from "../../../src/networks/t5/streamed.ts";
import { folderCache } from "../../../src/systems/cache.node.ts";
import { noCache } from "../../../src/systems/cache.ts";
import {
  TextCache,
  encoderFiles,
  encoderIdentity,
} from "../../../src/systems/mimic-video-release/text-cache.ts";
import { neededTextFiles, Texts } from "../../../src/systems/mimic-video-release/text.ts";
import { bytesSource } from "../../../src/weights/blob.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import type { ModelFiles } from "../../../src/weights/model-files.ts";
import { openAnyWeights } from "../../../src/weights/open.ts";
import { encodeSafetensors } from "../../../src/weights/safetensors.ts";
import type { TensorSource } from "../../../src/weights/source.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError, uniform } from "../../support/numbers.ts";
import { torchFile } from "../../support/torch-file.ts";
import { folderOf, MINIATURES, openMiniature } from "./miniatures.ts";

const cacheHere = async () => new TextCache(folderCache(await mkdtemp(path.join(tmpdir(), "text-"))));

describe.each(MINIATURES)("%s", (name) => {
  test("the streamed encoder, all prompts at once, against the reference", async () => {
    const { files, episodes } = await openMiniature(name);
    const cache = await cacheHere();
    const texts = new Texts(files, 24, { cache });
    const open = await texts.require(episodes.prompts);
    expect(open).toEqual(episodes.prompts);
    const gpu = await testGpu();
    const before = gpu.memory.usage.inUse;
    const layers: number[] = [];
    await texts.encode(gpu, open, { onLayer: (done) => layers.push(done) });
    expect(layers).toEqual([1, 2]);
    expect(gpu.memory.usage.inUse).toBe(before);
    const reference = await files.weights("reference/reference.safetensors");
    for (let e = 0; e < episodes.count; e++) {
      const { prompt } = await episodes.read(e);
      const truth = toFloat32(await reference.read(`${e}.text`), "F32");
      // PyTorch's own float32 is off by 3e-7.
      expect(relativeError(texts.embeddings.get(prompt)!, truth)).toBeLessThan(2e-6);
    }
    // Another run finds them, and needs no encoder.
    const again = new Texts(files, 24, { cache });
    expect(await again.require(episodes.prompts)).toEqual([]);
    expect(again.embeddings).toEqual(texts.embeddings);
    expect(await again.require(["something else"])).toEqual(["something else"]);
    await Promise.all([reference.close(), episodes.close()]);
  });
});

test("batches of few tokens give the same", async () => {
  const files = await openModelFolder(folderOf("bridge"));
  const { config, folder } = encoderFiles(files.paths)!;
  const source = await files.weights(folder);
  const ids = [
    [5, 9, 1],
    [4, 4, 4, 4, 8, 30, 41, 1],
    [7, 1],
    [5, 9, 1],
  ];
  const t5 = readT5Config(await files.json(config));
  const together = await new StreamedT5(await testGpu(), t5, source).encode(ids);
  // 8 tokens of 64 floats at most
  const small = await testGpu({ maxBindingBytes: 8 * 64 * 4 });
  const alone = await new StreamedT5(small, t5, source).encode(ids);
  together.forEach((values, i) => {
    expect(values.length).toBe(ids[i].length * 24);
    expect(relativeError(alone[i], values)).toBeLessThan(1e-6);
  });
  expect(together[0]).toEqual(together[3]);
  await expect(new StreamedT5(small, t5, source).encode([[42]])).rejects.toThrow(
    /42 is not in the vocabulary of 42/,
  );
  expect(() => new StreamedT5(small, { ...t5, layers: 3 }, source)).toThrow(/encoder\.block\.2/);
  expect(() => new StreamedT5(small, { ...t5, layers: 1 }, source)).toThrow(/unexpected: encoder\.block\.1/);
  await source.close();
});

describe("a file of embeddings", () => {
  const width = 6;
  const rows = (seed: number, count: number): Float32Array<ArrayBuffer> => uniform(seed, count * width);
  const bytes = (values: Float32Array<ArrayBuffer>) => new Uint8Array(values.buffer);
  async function safetensors(
    tensors: Readonly<Record<string, { shape: number[]; values: Float32Array<ArrayBuffer> }>>,
    metadata?: Record<string, string>,
  ): Promise<TensorSource> {
    const list = Object.entries(tensors).map(([name, { shape, values }]) => ({
      ...{ name, dtype: "F32" as const, shape, data: bytes(values) },
    }));
    return openAnyWeights(bytesSource(await encodeSafetensors(list, metadata), "text.safetensors"));
  }
  const files = { name: "model", paths: [] } as unknown as ModelFiles;
  const textsOf = (file: TensorSource) => new Texts(files, width, { file, cache: new TextCache(noCache) });
  const prompts = JSON.stringify(["put it down.", "pick it up"]);

  test("by the prompts it lists, padding cut off", async () => {
    const padded = new Float32Array(5 * width);
    padded.set(rows(2, 3));
    const texts = textsOf(
      await safetensors(
        {
          "text.0": { shape: [2, width], values: rows(1, 2) },
          "text.1": { shape: [1, 5, width], values: padded },
        },
        { prompts },
      ),
    );
    expect(await texts.require(["pick it up", "put it down."])).toEqual([]);
    expect(texts.embeddings.get("put it down.")).toEqual(rows(1, 2));
    expect(texts.embeddings.get("pick it up")).toEqual(rows(2, 3));
    await expect(texts.require(["pick it up", "wait"])).rejects.toThrow(
      /text\.safetensors has no embedding of the prompt "wait"; it has "put it down\.", "pick it up"/,
    );
  });

  test("what is wrong with it is said", async () => {
    const one = { shape: [2, width], values: rows(1, 2) };
    const opened = async (...args: Parameters<typeof safetensors>) => textsOf(await safetensors(...args));
    await expect(opened({ "text.0": one }, { prompts })).rejects.toThrow(
      /lists 2 prompts but has no tensor text\.1/,
    );
    await expect(opened({ "text.0": one }, { prompts: "put" })).rejects.toThrow(/expected a JSON list/);
    const wide = { shape: [2, 3], values: rows(1, 1) };
    await expect(opened({ "text.0": wide }, { prompts: '["a"]' })).rejects.toThrow(FormatError);
    await expect(opened({ "text.0": wide }, { prompts: '["a"]' })).rejects.toThrow(
      /text\.safetensors: "text\.0" is F32 \[2, 3\]: 3 wide, but this model reads text of width 6/,
    );
    const long = { shape: [513, width], values: rows(1, 513) };
    await expect(opened({ "text.0": long }, { prompts: '["a"]' })).rejects.toThrow(
      /513 tokens, expected 1 to 512/,
    );
    const flat = { shape: [2 * width], values: rows(1, 2) };
    await expect(opened({ "text.0": flat }, { prompts: '["a"]' })).rejects.toThrow(
      /expected floats of shape/,
    );
    const bad = rows(1, 2);
    bad[width + 1] = NaN;
    const texts = await opened({ "text.0": { ...one, values: bad } }, { prompts: '["a"]' });
    await expect(texts.require(["a"])).rejects.toThrow(/"a" has NaN in row 1/);
  });

  test("torch files: a dict by prompt, a list in the order of prompts, a single tensor", async () => {
    const a = { shape: [2, width], dtype: "F32" as const, data: bytes(rows(1, 2)) };
    const b = { shape: [3, width], dtype: "F32" as const, data: bytes(rows(2, 3)) };
    const open = async (...args: Parameters<typeof torchFile>) =>
      textsOf(await openAnyWeights(bytesSource(await torchFile(...args), "text.pt")));
    const dict = await open({ "put it. down.": a, "pick it up": b });
    await dict.require(["pick it up", "put it. down."]);
    expect(dict.embeddings.get("put it. down.")).toEqual(rows(1, 2));
    const list = await open([a, b]);
    await list.require(["first", "second"]);
    expect(list.embeddings.get("second")).toEqual(rows(2, 3));
    await expect(list.require(["first", "second", "third"])).rejects.toThrow(/2 embeddings without prompts/);
    const single = await open(b);
    await single.require(["alone"]);
    expect(single.embeddings.get("alone")).toEqual(rows(2, 3));
  });
});

describe("without embeddings", () => {
  const large = async (): Promise<ModelFiles> => {
    const files = await openModelFolder(folderOf("bridge"));
    return {
      ...files,
      bytes: async (file) => {
        const source = await files.bytes(file);
        return file.endsWith(".bin") ? { ...source, size: 45e9 } : source;
      },
    };
  };

  test("a large encoder is not run unasked, a small one is", async () => {
    // The directory of the zip is looked for at the end of the file, so this one has none that can be read.
    const options = { cache: new TextCache(noCache) };
    const refused = new Texts({ ...(await large()), sha256: () => Promise.resolve("0") }, 24, options);
    await expect(refused.require(["push"])).rejects.toThrow(UsageError);
    await expect(refused.require(["push"])).rejects.toThrow(/"push".*too large.*--text.*--encode-text/);
    const asked = new Texts({ ...(await large()), sha256: () => Promise.resolve("0") }, 24, {
      ...options,
      encode: true,
    });
    expect(await asked.require(["push"])).toEqual(["push"]);
    const none = new Texts({ name: "model", paths: [] } as unknown as ModelFiles, 24, options);
    await expect(none.require(["push"])).rejects.toThrow(/text encoder is not there.*--text.*--encode-text/);
  });

  test("nothing large is downloaded before one of both ways is chosen", async () => {
    const small = await openModelFolder(folderOf("bridge"));
    expect(await neededTextFiles(small, { text: false, cache: new TextCache(noCache) })).toHaveLength(3);
    const cut = await large();
    const revision = "c0".repeat(20);
    const files = { ...cut, revision, sha256: () => Promise.resolve("0") };
    const cache = await cacheHere();
    await expect(neededTextFiles(files, { text: false, cache })).rejects.toThrow(/--text.*--encode-text/);
    expect(await neededTextFiles(files, { text: true, cache })).toEqual([]);
    expect(await neededTextFiles(files, { text: false, encode: true, cache })).toEqual([
      "text_encoder/t5-11b/config.json",
      "text_encoder/t5-11b/tokenizer.json",
      "text_encoder/t5-11b/pytorch_model.bin",
    ]);
    await cache.write(await encoderIdentity(files, encoderFiles(files.paths)!), "push", 24, uniform(1, 48));
    expect(await neededTextFiles(files, { text: false, cache })).toEqual([]);
    // Of the same commit, where its encoder is not.
    const without = { ...files, paths: files.paths.filter((name) => !name.endsWith(".bin")) };
    const texts = new Texts(without, 24, { cache });
    expect(await texts.require(["push"])).toEqual([]);
    expect(texts.embeddings.get("push")).toEqual(uniform(1, 48));
    expect(await neededTextFiles(without, { text: false, cache })).toEqual([]);
    await expect(texts.require(["pull"])).rejects.toThrow(
      /no embedding of "pull".*encoder is not there.*--text/,
    );
    const other = new Texts({ ...without, revision: "c1".repeat(20) }, 24, { cache });
    await expect(other.require(["push"])).rejects.toThrow(UsageError);
  });
});

test("the cache: by encoder and prompt, damage counts as absence", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "text-"));
  const cache = new TextCache(folderCache(folder));
  const values = uniform(1, 12);
  await cache.write("e1", "push", 6, values);
  expect(await cache.read("e1", "push")).toEqual(values);
  expect([await cache.read("e2", "push"), await cache.read("e1", "pull")]).toEqual([undefined, undefined]);
  expect([await cache.knows("e1"), await cache.knows("e2")]).toEqual([true, false]);
  const [file] = await readdir(path.join(folder, "text", "e1"));
  await writeFile(path.join(folder, "text", "e1", file), "half");
  expect(await cache.read("e1", "push")).toBeUndefined();
  const identities = await Promise.all(
    MINIATURES.map(async (name) => {
      const files = await openModelFolder(folderOf(name));
      return encoderIdentity(files, encoderFiles(files.paths)!);
    }),
  );
  expect(new Set(identities).size).toBe(3);
});
