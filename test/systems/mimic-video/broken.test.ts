/** The toy with one thing wrong each: refused from headers and data, before a device or a weight is touched. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { countingGpu } from "../../../src/gpu/counting.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { probeStatistics } from "../../../src/probe/statistics/statistics.ts";
import { checkSettings } from "../../../src/probe/experiment/settings.ts";
import type { ProbeSettings } from "../../../src/probe/experiment/measurement.ts";
import { runProbe } from "../../../src/probe/experiment/run.ts";
import { mimicVideo } from "../../../src/systems/mimic-video/system.ts";
import { bytesSource } from "../../../src/weights/blob.ts";
import { modelFilesOf, subfolder } from "../../../src/weights/model-files.browser.ts";
import { encodeSafetensors, openSafetensors, type TensorToWrite } from "../../../src/weights/safetensors.ts";
import type { StoredDtype, TensorSource } from "../../../src/weights/source.ts";
import { testGpu } from "../../support/gpu.ts";

type Files = Map<string, Uint8Array>;
type Json = Record<string, unknown>;

const toy: Files = new Map();
beforeAll(async () => {
  for (const entry of await readdir("weights/toy", { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    toy.set(path.slice("weights/toy/".length), new Uint8Array(await readFile(path)));
  }
});

function editJson(path: string, edit: (json: Json) => void) {
  return (files: Files): void => {
    const json = JSON.parse(new TextDecoder().decode(files.get(path))) as Json;
    edit(json);
    files.set(path, new TextEncoder().encode(JSON.stringify(json)));
  };
}

/** Edits tensors given as float32 values. */
function editTensors(
  path: string,
  edit: (tensors: Map<string, { shape: number[]; data: Float32Array }>) => void,
) {
  return async (files: Files): Promise<void> => {
    const source = await openSafetensors(bytesSource(files.get(path)!, path));
    const floats = new Map<string, { shape: number[]; data: Float32Array }>();
    const kept: { name: string; dtype: StoredDtype; shape: number[]; data: Uint8Array }[] = [];
    for (const { name, dtype, shape } of source.tensors.values()) {
      const bytes = new Uint8Array(await source.read(name));
      if (dtype === "F32") floats.set(name, { shape: [...shape], data: new Float32Array(bytes.buffer) });
      else kept.push({ name, dtype, shape: [...shape], data: bytes });
    }
    edit(floats);
    const edited = [...floats].map(([name, { shape, data }]) => {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return { name, dtype: "F32" as const, shape, data: bytes };
    });
    files.set(path, await encodeSafetensors([...kept, ...edited], {}));
  };
}

async function open(gpu: Gpu, edit: (files: Files) => void | Promise<void>, noise?: TensorSource) {
  const files = new Map(toy);
  await edit(files);
  const sources = new Map([...files].map(([path, bytes]) => [path, bytesSource(bytes, path)]));
  const opened = await mimicVideo.open(gpu, modelFilesOf("toy", sources), {});
  const subject = await opened.subject(modelFilesOf("episodes", subfolder(sources, "episodes")), noise);
  return { opened, subject };
}

/** As the command line does before it loads weights. */
async function check(
  edit: (files: Files) => void | Promise<void>,
  settings: Partial<ProbeSettings> = {},
  noise?: TensorSource,
): Promise<void> {
  const gpu = await countingGpu({ features: new Set(), limits: {}, software: false });
  const { subject } = await open(gpu, edit, noise);
  const all: ProbeSettings = {
    modelDir: "",
    episodes: "all",
    videoSeeds: [0, 1],
    actionSeeds: [0],
    ...settings,
  };
  await checkSettings(all, subject);
}

const model = (edit: (json: Json & { action: Json }) => void) =>
  editJson("model.json", edit as (json: Json) => void);
const data = (edit: (tensors: Map<string, { shape: number[]; data: Float32Array }>) => void) =>
  editTensors("episodes/episodes.safetensors", edit);

describe("refused before anything is loaded", () => {
  it.each<[string, (files: Files) => void | Promise<void>, RegExp]>([
    [
      "no statement of the gate bias",
      editJson("action_decoder/config.json", (c) => void delete c.ada_ln_zero_bias),
      /bias -5\) or of 0\.3\.14 to 0\.4\.2 \(bias -2\)/,
    ],
    [
      "an embodiment that the decoder does not have",
      model((m) => void (m.body_id = 1)),
      /no embodiment 1; the checkpoint has 1/,
    ],
    [
      "two answers about the sampler's memory",
      model((m) => void (m.num_cached_steps = 3)),
      /sampler_memory and num_cached_steps say the same/,
    ],
    [
      "half a remembering step",
      model((m) => {
        delete m.sampler_memory;
        m.num_cached_steps = 0.5;
      }),
      /"num_cached_steps" is 0\.5/,
    ],
    [
      "seven statistics for sixteen channels",
      model((m) => void (m.latents_std = [1, 1, 1, 1, 1, 1, 1])),
      /latents_std with 7 values .* expected 16/,
    ],
    [
      "a deviation of zero",
      model((m) => ((m.latents_std as number[])[3] = 0)),
      /latents_std .* expected positive numbers/,
    ],
    [
      "a wrong number of context latents",
      model((m) => void (m.context_latents = 1)),
      /context_latents is 1, expected what 5 context frames become/,
    ],
    [
      "a wrong number of context frames",
      model((m) => void (m.context_frames = 4)),
      /context_latents is 2, expected what 4 context frames/,
    ],
    [
      "a mean chunk that is too short",
      model((m) => void (m.action.mean = (m.action.mean as number[][]).slice(0, 5))),
      /action\.mean is "5 rows", expected 24 rows/,
    ],
    [
      "four names for three dimensions",
      model((m) => {
        Object.assign(m.action, { names: ["x", "y", "z", "gripper"], units: ["a", "a", "a", "a"] });
        delete m.action.mean;
        delete m.action.hold_still;
      }),
      /action\.names is .* expected 3 names/,
    ],
    [
      "hold-still of another width",
      model((m) => void (m.action.hold_still = [0, 0])),
      /action\.hold_still is \[0,0\], expected 3 entries/,
    ],
    [
      "hold-still of a state that is not there",
      model((m) => void (m.action.hold_still = [0, 0, { state: 3 }])),
      /action\.hold_still .* has 3/,
    ],
    [
      "a block that is not there",
      model((m) => void (m.extract_layers = [99])),
      /extract_layers is \[99\], expected numbers of the transformer's/,
    ],
    [
      "frames that do not divide",
      model((m) => void (m.frame_size = [32, 30])),
      /frame_size is \[32,30\], expected multiples of 8 pixels/,
    ],
    [
      "NaN in the truth",
      data((t) => (t.get("actions")!.data[24 * 3 + 10] = Number.NaN)),
      /"actions" of episode .+ \(1\) holds NaN/,
    ],
    [
      "infinity in the state",
      data((t) => (t.get("joint_state")!.data[4] = Infinity)),
      /"joint_state" of episode .+ \(1\) holds Infinity/,
    ],
    [
      "an option that is not known",
      model((m) => void (m.context_stride = 2)),
      /model\.json: the option "context_stride" is not supported/,
    ],
    [
      "an identifier that is none",
      editJson("episodes/episodes.json", (list) => void ((list[0] as Json).id = ["a"])),
      /episodes\.json: episode 0 is .*expected a "prompt"/,
    ],
  ])("%s", async (_, edit, message) => {
    await expect(check(edit)).rejects.toThrow(message);
  });

  it("an episode that is not asked for may hold what it will", async () => {
    const edit = data((t) => (t.get("actions")!.data[24 * 3 + 10] = Number.NaN));
    await expect(check(edit, { episodes: [0, 2, 3] })).resolves.toBeUndefined();
    await expect(check(edit, { episodes: [0, 1] })).rejects.toThrow(/leave the episode out with --episodes/);
  });

  it("a card that is too small", async () => {
    const gpu = await countingGpu({ features: new Set(), limits: {}, software: false });
    const files = modelFilesOf("toy", new Map([...toy].map(([p, bytes]) => [p, bytesSource(bytes, p)])));
    await expect(mimicVideo.open(gpu, files, { gpuMemory: 1e6 })).rejects.toThrow(
      /needs [\d.]+ MB of GPU memory for its weights alone; --gpu-memory says 1\.00 MB.*--dtype/,
    );
  });

  describe("noise", () => {
    const shape = { video_noise: [1, 2, 16, 3, 8, 8], action_noise: [1, 1, 24, 3] };
    async function noise(change: (tensors: TensorToWrite[]) => TensorToWrite[]): Promise<TensorSource> {
      const count = JSON.parse(new TextDecoder().decode(toy.get("episodes/episodes.json"))) as unknown[];
      const tensors = Object.entries(shape).map(([name, [, ...each]]) => {
        const size = [count.length, ...each];
        const data = new Uint8Array(4 * size.reduce((a, b) => a * b));
        return { name, dtype: "F32" as const, shape: size, data };
      });
      return openSafetensors(bytesSource(await encodeSafetensors(change(tensors), {}), "noise.safetensors"));
    }
    const same = (): void => undefined;

    it("that fits", async () => {
      await expect(check(same, {}, await noise((t) => t))).resolves.toBeUndefined();
    });
    it.each<[string, (tensors: TensorToWrite[]) => TensorToWrite[], RegExp]>([
      ["a tensor missing", ([video]) => [video], /the tensor "action_noise" \(\d+, 1, 24, 3\) is missing/],
      [
        "of another shape",
        ([video, action]) => [{ ...video, shape: [...video.shape.slice(0, 3), 3, 4, 16] }, action],
        /"video_noise" is F32 .*4, 16\), expected F32 \(\d+, 2, 16, 3, 8, 8\)/,
      ],
      [
        "that is not finite",
        ([video, action]) => {
          const [E] = action.shape;
          new Float32Array((action.data as Uint8Array<ArrayBuffer>).buffer)[(E - 1) * 72 + 5] = Number.NaN;
          return [video, action];
        },
        /"action_noise" of episode \d+ holds NaN, expected finite/,
      ],
    ])("%s", async (_, change, message) => {
      await expect(check(same, {}, await noise(change))).rejects.toThrow(message);
    });
    it("without the seeds asked for", async () => {
      await expect(check(same, { videoSeeds: [0, 2] }, await noise((t) => t))).rejects.toThrow(
        /holds video seeds 0 to 1; seed 2 was asked for/,
      );
    });
  });

  it("a model without hold-still has no such floor", async () => {
    const gpu = await countingGpu({ features: new Set(), limits: {}, software: false });
    const { subject } = await open(
      gpu,
      model((m) => delete m.action.hold_still),
    );
    expect(Object.keys(subject.floors(await subject.items.read(0)))).toEqual(["datasetMean"]);
  });
});

it("an action normaliser leaves one unit in a result", { timeout: 120_000 }, async () => {
  const gpu = await testGpu();
  const [mean, std] = [Float32Array.of(0.1, -0.2, 0.05), Float32Array.of(2, 0.5, 3)];
  const { opened, subject } = await open(gpu, async (files) => {
    editJson("action_decoder/config.json", (c) => void (c.action_mean_std = [[...mean], [...std]]))(files);
    await editTensors("action_decoder/model.safetensors", (t) => {
      t.set("action_normalizer.mean", { shape: [3], data: mean });
      t.set("action_normalizer.std", { shape: [3], data: std });
    })(files);
  });
  await opened.load({});
  const settings = {
    modelDir: "",
    episodes: 2,
    videoSteps: 2,
    probeSteps: [1],
    actionSteps: 3,
    videoSeeds: [0],
  };
  const nothing = {
    name: "",
    revision: "",
    weightsSha256: "",
    trainedOn: "toy",
    system: "",
    stamp: {},
  } as const;
  const measurement = await runProbe(
    {
      subject,
      provenance: {
        ...{ model: nothing, data: { name: "", sha256: "" }, noiseSha256: null, dtype: "f32", versions: {} },
        device: { name: "", driver: "", adapter: "", software: true },
      },
    },
    settings,
    {},
  );
  const { grid, videoAxis, actionAxis } = probeStatistics(measurement);
  expect(grid!.iterate.toLast[1][3]).toBe(0);
  expect(grid!.iterate.toTruth![1][3]).toBeCloseTo(videoAxis.toTruth!.mean[1], 12);
  expect(actionAxis!.iterate.toTruth!.mean[3]).toBeCloseTo(videoAxis.toTruth!.mean[1], 12);
  // Beside them the data's units: actions · std + mean.
  const { actions, dataActions } = measurement.episodes[0];
  actions.forEach((value, i) => expect(dataActions[i]).toBeCloseTo(value * std[i % 3] + mean[i % 3], 5));
  await subject.close();
  await opened.release();
});
