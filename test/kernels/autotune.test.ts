import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attentionTrials } from "../../src/kernels/attention/trials.ts";
import { linear } from "../../src/kernels/linear.ts";
import { linearReference } from "../../src/kernels/linear.reference.ts";
import { linearTrials } from "../../src/kernels/linear/trials.ts";
import { browserStore } from "../../src/kernels/autotune-store.browser.ts";
import { fileStore } from "../../src/kernels/autotune.node.ts";
import { select, autotuneKey, type AutotuneStore, autotune } from "../../src/kernels/autotune.ts";
import type { Trials } from "../../src/kernels/trial.ts";
import { openGpu } from "../../src/gpu/open.node.ts";
import { Matrix } from "../../src/tensor/matrix.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autotune-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A small map whose variants are made for the test: what each computes with, and what it does first. */
const [ROWS, INNER, OUT] = [3, 12, 9];
function trials(candidates: readonly string[], log: string[] = []): Trials {
  return {
    kernel: "linear",
    variants: {
      naive: {},
      right: {},
      slow: {},
      wrong: {},
      crashing: {},
      elsewhere: { needs: { features: ["float32-blendable"] } },
    },
    candidates: { few: candidates },
    prepare: (gpu) => {
      const [x, w] = [uniform(1, ROWS * INNER), uniform(2, OUT * INNER)];
      const bent = Float32Array.from(w);
      bent[OUT * INNER - 1] += 0.001;
      const weights = [w, bent].map((values, i) => {
        const packed = new Matrix(gpu, OUT, INNER, "f32", `w${i}`);
        packed.upload(gpu, values);
        return packed;
      });
      const tx = upload(gpu, [ROWS, INNER], x);
      return {
        run: (name) => {
          log.push(name);
          if (name === "crashing") return linear(tx, weights[0], { bias: tx });
          if (name === "slow") for (let i = 0; i < 300; i++) linear(tx, weights[0], { variant: "naive" });
          return linear(tx, weights[name === "wrong" ? 1 : 0], { variant: "naive" });
        },
        truth: [{ at: 0, values: linearReference(x, w, ROWS, INNER, OUT) }],
        release: () => {
          release(gpu, tx);
          for (const packed of weights) packed.release(gpu);
        },
      };
    },
  };
}

const memoryStore = (): AutotuneStore & { readonly kept: Map<string, Record<string, unknown>> } => {
  const kept = new Map<string, Record<string, unknown>>();
  return {
    kept,
    read: (key) => Promise.resolve(kept.get(key)),
    write: (key, choices) => Promise.resolve(void kept.set(key, choices)),
  };
};

describe("autotune", () => {
  it("never chooses a candidate that differs, or one that does not run; of those left, the fastest", async () => {
    const gpu = await testGpu();
    const trial = trials([]).prepare(gpu, "few");
    const names = ["wrong", "crashing", "slow", "right"];
    const { winner, rejected, seconds } = await select(
      gpu,
      new Map(names.map((name) => [name, () => trial.run(name)])),
      trial.truth,
    );
    expect(winner).toBe("right");
    expect([...rejected.keys()]).toEqual(["wrong", "crashing"]);
    expect(rejected.get("wrong")).toMatch(/relative error/);
    expect(rejected.get("crashing")).toMatch(/bias has 36 elements/);
    expect(seconds.has("wrong")).toBe(false);
    trial.release();
  });

  it("times once, and reads the store on the next device", async () => {
    const store = memoryStore();
    const log: string[] = [];
    const options = {
      ...{ version: "1.0.0", store, timed: true },
      kernels: [trials(["elsewhere", "wrong", "slow", "right"], log)],
    };
    const first = await openGpu();
    const notes = await autotune(first, options);
    expect(first.tuned.get("linear few")).toBe("right");
    expect(notes).toEqual([
      expect.stringMatching(/variant "wrong" of kernel "linear" is not used .* relative error/),
    ]);
    expect(log).not.toContain("elsewhere");
    expect([...store.kept.values()]).toEqual([{ "linear few": "right" }]);
    first.destroy();

    log.length = 0;
    const second = await openGpu();
    expect(await autotune(second, options)).toEqual([]);
    expect(second.tuned.get("linear few")).toBe("right");
    expect(log).toEqual([]);

    // A name that this version does not know, or a value that is no name, is timed again.
    for (const damaged of ["elsewhere", "unheard of", 7]) {
      const [key] = store.kept.keys();
      store.kept.set(key, { "linear few": damaged });
      await autotune(second, options);
      expect(second.tuned.get("linear few")).toBe("right");
      expect(store.kept.get(key)).toEqual({ "linear few": "right" });
    }
    second.destroy();
  });

  it("falls back to the naive variant when every candidate is wrong", async () => {
    const gpu = await openGpu();
    await autotune(gpu, {
      ...{ version: "1", store: memoryStore(), timed: true, kernels: [trials(["wrong", "crashing"])] },
    });
    expect(gpu.tuned.get("linear few")).toBe("naive");
    gpu.destroy();
  });

  it("refuses an adapter on which nothing is right", async () => {
    const gpu = await testGpu();
    const { prepare, ...rest } = trials(["wrong"]);
    const all: Trials = {
      ...rest,
      prepare: (g, kind) => ({ ...prepare(g, kind), truth: [{ at: 0, values: [1, 2, 3] }] }),
    };
    await expect(
      autotune(gpu, { version: "1", store: memoryStore(), timed: true, kernels: [all] }),
    ).rejects.toThrow(/no variant of kernel "linear" computes the right result/);
  });

  it("leaves a kernel alone that is forced by name", async () => {
    const gpu = await testGpu({ variants: { linear: "naive" } });
    const log: string[] = [];
    await autotune(gpu, {
      ...{ version: "1", store: memoryStore(), timed: true, kernels: [trials(["right"], log)] },
    });
    expect(log).toEqual([]);
  });

  it("is fixed on a software adapter: neither store nor clock is asked", async () => {
    const gpu = await openGpu({ adapter: "software" });
    const refuse = (): never => {
      throw new Error("asked");
    };
    await autotune(gpu, { version: "1.0.0", store: { read: refuse, write: refuse } });
    expect(gpu.tuned.size).toBe(0);
    expect(autotuneKey(gpu, "1.0.0")).not.toBe(autotuneKey(gpu, "1.0.1"));
    gpu.destroy();
  });

  it("what is selected runs, and is noted", async () => {
    const gpu = await openGpu();
    gpu.tuned.set("linear few", "tile");
    const tx = upload(gpu, [2, 4], uniform(1, 8));
    const weight = new Matrix(gpu, 4, 4, "f32", "w");
    weight.upload(gpu, uniform(2, 16));
    await compute(gpu, () => linear(tx, weight));
    expect(gpu.variantsRan).toEqual({ linear: ["tile"] });
    gpu.destroy();
  });
});

// The naive variant of the smallest class: quick to build. A real GPU tries all in its first run.
describe.each([
  { ...linearTrials, classes: ["few", "some", "many", "large"] },
  { ...attentionTrials, classes: ["few", "some", "long", "many"] },
])("trials of $kernel", ({ candidates, prepare, classes }) => {
  it("have operands and truth that fit together", async () => {
    const gpu = await testGpu();
    expect(Object.keys(candidates)).toEqual(classes);
    const trial = prepare(gpu, "few");
    const out = await compute(gpu, () => trial.run("naive"));
    for (const { at, values } of trial.truth) {
      expect(values.length).toBeGreaterThan(0);
      expect(relativeError(out.subarray(at, at + values.length), values)).toBeLessThan(3e-6);
    }
    const { at, values } = trial.truth.at(-1)!;
    expect(at + values.length).toBe(out.length);
    trial.release();
  });
});

describe("the file store", () => {
  it("keeps choices by key and leaves no temporary file", async () => {
    const file = path.join(folder, "deep", "variants.json");
    const store = fileStore(file);
    expect(await store.read("a")).toBeUndefined();
    await store.write("a", { "linear few": "split" });
    await store.write("b", { "linear few": "tile" });
    expect(await fileStore(file).read("a")).toEqual({ "linear few": "split" });
    expect(await fileStore(file).read("b")).toEqual({ "linear few": "tile" });
    expect(await readdir(path.dirname(file))).toEqual(["variants.json"]);
  });

  it.each(["", "{", "[]", "null", '{"a": 3}'])("survives a damaged file: %s", async (text) => {
    const file = path.join(folder, "damaged.json");
    await writeFile(file, text);
    const store = fileStore(file);
    expect(await store.read("a")).toBeUndefined();
    await store.write("a", { x: "y" });
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual({ a: { x: "y" } });
  });

  it("goes without where nothing can be written", async () => {
    const file = path.join(folder, "a-file");
    await writeFile(file, "");
    const store = fileStore(path.join(file, "variants.json"));
    await store.write("a", { x: "y" });
    expect(await store.read("a")).toBeUndefined();
  });
});

describe("the browser store", () => {
  it("keeps choices, and goes without where the browser refuses", async () => {
    const files = new Map<string, string>();
    const folderOf = {
      getDirectoryHandle: () => Promise.resolve(folderOf),
      getFileHandle: (name: string, { create }: { create: boolean }) =>
        create || files.has(name)
          ? Promise.resolve({
              getFile: () => Promise.resolve(new Blob([files.get(name) ?? ""])),
              createWritable: () =>
                Promise.resolve({
                  write: (text: string) => Promise.resolve(void files.set(name, text)),
                  close: () => Promise.resolve(),
                }),
            })
          : Promise.reject(new DOMException("absent", "NotFoundError")),
    };
    const store = browserStore(() => Promise.resolve(folderOf as unknown as FileSystemDirectoryHandle));
    expect(await store.read("1|nvidia/x")).toBeUndefined();
    await store.write("1|nvidia/x", { "linear few": "split" });
    expect(await store.read("1|nvidia/x")).toEqual({ "linear few": "split" });
    files.set([...files.keys()][0], "{");
    expect(await store.read("1|nvidia/x")).toBeUndefined();

    const refused = browserStore(() => Promise.reject(new DOMException("no", "SecurityError")));
    await refused.write("a", { x: "y" });
    expect(await refused.read("a")).toBeUndefined();
  });
});
