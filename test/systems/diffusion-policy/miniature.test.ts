/** The trained miniature in both layouts: what the probe reads of it, against the reference. */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import type { Subject } from "../../../src/probe/subject.ts";
import type { Encoded, PlanItem } from "../../../src/systems/diffusion-policy/subject.ts";
import { diffusionPolicy } from "../../../src/systems/diffusion-policy/system.ts";
import { recognise } from "../../../src/systems/registry.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import { encodeSafetensors } from "../../../src/weights/safetensors.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError } from "../../support/numbers.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const mini = path.join(root, "test/pusht-mini");
const NOISE = path.join(mini, "inputs.safetensors");
const MARKS = [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
/** values of an executed plan: (T, A) = (8, 2) */
const CHUNK = 16;

const expected = JSON.parse(await readFile(path.join(mini, "expected.json"), "utf8")) as {
  marks: number[];
  torch_float32_relative_error: Record<string, number>;
};
const truth = async (name: string): Promise<Float32Array> => {
  const source = await openWeights(path.join(mini, "expected.safetensors"));
  const values = toFloat32(await source.read(name), "F32");
  await source.close();
  return values;
};
/** Ten times PyTorch's own error, 1e-5 at least. */
const bound = (name: string): number => Math.max(1e-5, 10 * expected.torch_float32_relative_error[name]);

const made: string[] = [];
const temporary = async (): Promise<string> => {
  const folder = await mkdtemp(path.join(tmpdir(), "pusht-"));
  made.push(folder);
  return folder;
};
afterAll(async () => {
  for (const folder of made) await rm(folder, { recursive: true });
});

async function withSubject(
  folder: string,
  body: (subject: Subject<Encoded>) => Promise<void>,
  noiseFile?: string,
): Promise<void> {
  const files = await openModelFolder(folder);
  const opened = await (await recognise(files)).open(await testGpu(), files, {});
  const noise = noiseFile === undefined ? undefined : await openWeights(noiseFile);
  try {
    const data = await openModelFolder(path.join(folder, await diffusionPolicy.items(files)));
    const subject = (await opened.subject(data, noise)) as Subject<Encoded> & { close(): Promise<void> };
    await opened.load({});
    await body(subject);
    await subject.close();
  } finally {
    await noise?.close();
    await opened.release();
  }
}

describe.each(["published", "migrated"])("%s", (layout) => {
  test(
    "read-out and iterate after every tenth evaluation, in the data's units",
    { timeout: 120_000 },
    async () => {
      expect(expected.marks).toEqual(MARKS);
      const [readout, iterate] = [await truth("readout"), await truth("iterate")];
      await withSubject(
        path.join(mini, layout),
        async (subject) => {
          const ours: Record<"readout" | "iterate", number[]> = { readout: [], iterate: [] };
          for (let window = 0; window < subject.items.count; window++) {
            const item = await subject.items.read(window);
            const encoded = await subject.encode(item, 1);
            for await (const state of subject.denoise(encoded, [subject.noise(item, 0)], {})) {
              if (!MARKS.includes(state.step)) continue;
              const tap = await state.tap("one-jump");
              const [{ values, iterates }] = await subject.read(
                [{ tap, time: state.time }],
                encoded,
                [[]],
                undefined,
                {},
              );
              ours.readout.push(...subject.toData(values, item));
              ours.iterate.push(...subject.toData(iterates!, item));
            }
            encoded.dispose();
          }
          expect(relativeError(ours.readout, readout)).toBeLessThan(bound("readout"));
          expect(relativeError(ours.iterate, iterate)).toBeLessThan(bound("iterate"));
          // Each by itself: an error of a late evaluation must not hide behind the first, which is wide.
          for (let at = 0; at < readout.length; at += CHUNK)
            for (const [mine, theirs] of [[ours.readout, readout] as const, [ours.iterate, iterate] as const])
              expect(relativeError(mine.slice(at, at + CHUNK), theirs.slice(at, at + CHUNK))).toBeLessThan(
                2e-5,
              );
        },
        NOISE,
      );
    },
  );

  test("plans in one batch are the plans of each", { timeout: 120_000 }, async () => {
    await withSubject(path.join(mini, layout), async (subject) => {
      const item = await subject.items.read(1);
      const noise = [0, 3].map((seed) => subject.noise(item, seed));
      const ends: number[][] = [];
      for (const batch of [noise, [noise[1]]]) {
        const encoded = await subject.encode(item, batch.length);
        for await (const state of subject.denoise(encoded, batch, { steps: 10 })) {
          if (state.step < 10) continue;
          const [{ values }] = await subject.read(
            [{ tap: await state.tap("one-jump"), time: 0 }],
            encoded,
            [[]],
            undefined,
            {},
          );
          ends.push([...values]);
        }
        encoded.dispose();
      }
      expect(relativeError(ends[0].slice(CHUNK), ends[1])).toBeLessThan(1e-5);
      expect(relativeError(ends[0].slice(0, CHUNK), ends[1])).toBeGreaterThan(1e-3);
    });
  });
});

test(
  "the last estimate is the last iterate, and noise itself is what stands before the first",
  { timeout: 60_000 },
  async () => {
    await withSubject(path.join(mini, "published"), async (subject) => {
      const item = await subject.items.read(0);
      const encoded = await subject.encode(item, 1);
      const noise = subject.noise(item, 5);
      for await (const state of subject.denoise(encoded, [noise], { steps: 4 })) {
        const tap = await state.tap("one-jump");
        const [{ values, iterates }] = await subject.read([{ tap, time: 0 }], encoded, [[]], undefined, {});
        if (state.step === 0) expect([...values]).toEqual([...noise[0].subarray(2, 2 + CHUNK)]);
        if (state.step === 4) expect([...values]).toEqual([...iterates!]);
        else if (state.step > 0) expect(relativeError(values, iterates!)).toBeGreaterThan(1e-3);
      }
      encoded.dispose();
      const { calls, nullCurve, times } = subject.axes.stop(4);
      expect(calls).toEqual([0, 1, 2, 3, 4]);
      expect(nullCurve).toHaveLength(5);
      expect([nullCurve![0], nullCurve![4], times[4]]).toEqual([1, 0, 0]);
    });
  },
);

test(
  "the command line takes the steps of the reference by itself, and writes the same numbers",
  { timeout: 180_000 },
  async () => {
    const out = path.join(await temporary(), "out");
    const words = [
      "--model",
      path.join(mini, "migrated"),
      "--noise",
      NOISE,
      "--budgets",
      "10",
      "--out",
      out,
      "--quiet",
    ];
    await promisify(execFile)(process.execPath, [path.join(root, "dist/probe.js"), ...words]);
    const result = JSON.parse(await readFile(path.join(out, "probe.json"), "utf8")) as Record<
      string,
      unknown
    >;
    expect(result.probe_steps).toEqual(MARKS);
    expect(result.model).toMatchObject({ system: "diffusion-policy", revision: "unversioned" });
    expect(result.budget_axis).toMatchObject({ steps: [10, 100], calls: [10, 100], stop_calls: MARKS });
    const actions = await openWeights(path.join(out, "actions.safetensors"));
    const ours = toFloat32(await actions.read("actions"), "F32");
    await actions.close();
    expect(relativeError(ours, await truth("readout"))).toBeLessThan(bound("readout"));
  },
);

/** Written anew with other numbers of the same miniature. */
async function changed(layout: string, change: (config: Record<string, unknown>) => void): Promise<string> {
  const folder = path.join(await temporary(), layout);
  await cp(path.join(mini, layout), folder, { recursive: true });
  const file = path.join(folder, "config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
  change(config);
  await writeFile(file, JSON.stringify(config));
  return folder;
}

describe("what is refused before anything is computed", () => {
  const opening = async (folder: string): Promise<unknown> => {
    const files = await openModelFolder(folder);
    const opened = await (await recognise(files)).open(await testGpu(), files, {});
    await opened.release();
    return undefined;
  };
  /** What binding data says. */
  const binding = async (folder: string, noise?: string): Promise<unknown> => {
    await withSubject(folder, () => Promise.resolve(), noise);
    return undefined;
  };

  test.each([
    ["horizon", /"horizon" is missing/],
    ["use_group_norm", /"use_group_norm" is missing/],
    ["crop_shape", /"crop_shape" is missing. Its default changed/],
    ["use_separate_rgb_encoder_per_camera", /"use_separate_rgb_encoder_per_camera" is missing/],
    ["num_inference_steps", /"num_inference_steps" is missing/],
    ["clip_sample_range", /"clip_sample_range" is missing/],
  ])("a configuration without %s", async (key, message) => {
    const folder = await changed("published", (config) => delete config[key]);
    await expect(opening(folder)).rejects.toThrow(message);
  });

  test("the form of before February 2025, which has other weights", async () => {
    const folder = await changed("published", (config) => {
      delete config.type;
      delete config.input_features;
      config.input_shapes = { "observation.image": [3, 96, 96] };
    });
    await expect(opening(folder)).rejects.toThrow(/before February 2025.*other weights/);
  });

  test("another kind of policy, by its name", async () => {
    const folder = await changed("published", (config) => (config.type = "act"));
    await expect(opening(folder)).rejects.toThrow(
      /diffusion-policy: "type": "diffusion" in config.json, which says "act"/,
    );
  });

  test("another width than the weights have", async () => {
    const folder = await changed("published", (config) => (config.down_dims = [16, 32, 128]));
    await expect(opening(folder)).rejects.toThrow(/unet/);
  });

  test("statistics in both places, or in neither", async () => {
    const both = await changed("published", () => {});
    for (const name of ["policy_preprocessor.json", "policy_postprocessor.json"])
      await cp(path.join(mini, "migrated", name), path.join(both, name));
    const neither = await changed("migrated", () => {});
    await rm(path.join(neither, "policy_postprocessor.json"));
    for (const folder of [both, neither]) await cp(NOISE, path.join(folder, "inputs.safetensors"));
    await expect(binding(both)).rejects.toThrow(
      /holds normalisation statistics, and so do policy_preprocessor.json and/,
    );
    await expect(binding(neither)).rejects.toThrow(
      /holds no normalisation statistics.*are not both beside it/,
    );
  });

  test("a statistic that was never set, or that a processor's file lacks", async () => {
    const folder = await changed("migrated", () => {});
    await cp(NOISE, path.join(folder, "inputs.safetensors"));
    const file = path.join(folder, "policy_preprocessor_step_3_normalizer_processor.safetensors");
    const source = await openWeights(file);
    const tensors = await Promise.all(
      [...source.tensors.values()].map(async ({ name, shape }) => ({
        name,
        shape: [...shape],
        values: toFloat32(await source.read(name), "F32"),
      })),
    );
    await source.close();
    const write = async (name: string, values: Float32Array | undefined) =>
      writeFile(
        file,
        await encodeSafetensors(
          tensors.flatMap((t) => {
            const own = t.name === name ? values : t.values;
            return own
              ? [
                  {
                    name: t.name,
                    dtype: "F32" as const,
                    shape: t.shape,
                    data: new Uint8Array(Float32Array.from(own).buffer),
                  },
                ]
              : [];
          }),
          {},
        ),
      );
    await write("observation.state.max", Float32Array.of(Infinity, 1));
    await expect(binding(folder)).rejects.toThrow(/"observation.state.max" holds Infinity; it was never set/);
    await write("observation.state.max", undefined);
    await expect(binding(folder)).rejects.toThrow(/"observation.state.max" is missing.*unchanged/);
  });

  test("noise of other plans", async () => {
    const file = path.join(await temporary(), "noise.safetensors");
    const zeros = { name: "noise", dtype: "F32" as const, shape: [2, 8, 2], data: new Uint8Array(4 * 32) };
    await writeFile(file, await encodeSafetensors([zeros], {}));
    await expect(binding(path.join(mini, "published"), file)).rejects.toThrow(
      /"noise" is F32 \[2, 8, 2\], expected F32 \[2, 16, 2\]/,
    );
  });
});

test("a window's truth and floors are in the network's units", async () => {
  await withSubject(path.join(mini, "published"), async (subject) => {
    const item = (await subject.items.read(1)) as PlanItem;
    const { holdStill } = subject.floors(item);
    const still = subject.toData(holdStill, item);
    const now = item.observed.state.slice(-2);
    for (let t = 0; t < 8; t++)
      expect(relativeError(still.subarray(2 * t, 2 * t + 2), now)).toBeLessThan(1e-5);
    expect(item.truth).toBeUndefined();
  });
});
