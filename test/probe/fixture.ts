/**
 * A real measurement for tests: what PyTorch decoded from the toy (weights/toy/episodes/reference.safetensors).
 * The reference has iterates at the last video step only; at the others a straight flow stands in, and so do chunks
 * for the controls. Tests of exact numbers use the last video step and the decoded actions.
 */
import { readFileSync } from "node:fs";
import type { EpisodeMeasurement, ProbeMeasurement } from "../../src/probe/experiment/measurement.ts";

const root = new URL("../../weights/toy/", import.meta.url);

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, root), "utf8")) as T;
}

/** What PyTorch counted, in reference.json. */
export interface Reference {
  probe_steps: number[];
  video_axis: Record<"mse_to_truth" | "mse_to_last", number[]>;
  video_axis_per_episode: Record<"mse_to_truth" | "mse_to_last", number[][]>;
  action_axis_at_last_video_step: Record<
    "iterate_to_final" | "iterate_to_truth" | "one_jump_to_final" | "one_jump_to_truth",
    number[]
  >;
  floors: Record<"hold_still_to_truth" | "dataset_mean_to_truth", number>;
}

interface ToyModel {
  name: string;
  action: { names: string[]; units: string[]; mean: number[][] };
}

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

export function readTensors(path: string): Record<string, { shape: number[]; data: Float32Array }> {
  const bytes = readFileSync(new URL(path, root));
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerLength)) as Header;
  const tensors: Record<string, { shape: number[]; data: Float32Array }> = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (dtype !== "F32") continue;
    const [start, end] = data_offsets.map((offset) => 8 + headerLength + offset);
    tensors[name] = { shape, data: new Float32Array(new Uint8Array(bytes.subarray(start, end)).buffer) };
  }
  return tensors;
}

export interface FixtureOptions {
  /** How many of the 8 episodes; default 8. */
  episodes?: number;
  trainedOn?: "random" | "toy" | "pretrained";
}

export function referenceMeasurement({
  episodes = 8,
  trainedOn = "toy",
}: FixtureOptions = {}): ProbeMeasurement {
  const model = readJson<ToyModel>("model.json");
  const labels = readJson<{ id: string; prompt: string }[]>("episodes/episodes.json");
  const reference = readJson<Reference>("episodes/reference.json");
  const { actions, action_iterates } = readTensors("episodes/reference.safetensors");
  const recorded = readTensors("episodes/episodes.safetensors");
  const probeSteps = reference.probe_steps;
  const [V, S, K, M, T, D] = [2, 1, probeSteps.length, 16, 24, 3];
  const size = T * D;

  const measured = Array.from({ length: episodes }, (_, e): EpisodeMeasurement => {
    const decoded = actions.data.slice(e * V * S * K * size, (e + 1) * V * S * K * size);
    const other = ((e + 1) % 8) * V * S * K * size;
    const gripper = recorded.joint_state.data[e * 3 + 2];
    const iterates = new Float32Array(V * S * K * (M + 1) * size);
    const oneJump = new Float32Array(V * S * K * M * size);
    for (let v = 0; v < V; v++) {
      const given = action_iterates.data.subarray((e * V + v) * (M + 1) * size);
      for (let k = 0; k < K; k++) {
        const run = v * K + k;
        for (let i = 0; i < size; i++) {
          const end = decoded[run * size + i];
          for (let n = 0; n <= M; n++)
            iterates[(run * (M + 1) + n) * size + i] =
              k === K - 1 ? given[n * size + i] : given[i] + (n / M) * (end - given[i]);
          for (let n = 0; n < M; n++) {
            const x = iterates[(run * (M + 1) + n) * size + i];
            const next = iterates[(run * (M + 1) + n + 1) * size + i];
            oneJump[(run * M + n) * size + i] = x + (1 - n / M) * M * (next - x);
          }
        }
      }
    }
    const lastOf = (start: number) =>
      Float32Array.from({ length: V * size }, (_, i) => {
        const v = Math.floor(i / size);
        return actions.data[start + (v * K + K - 1) * size + (i % size)];
      });
    return {
      episode: e,
      id: labels[e].id,
      prompt: labels[e].prompt,
      truth: recorded.actions.data.slice(e * size, (e + 1) * size),
      holdStill: Float32Array.from({ length: size }, (_, i) => (i % D === 2 ? gripper : 0)),
      actions: decoded,
      dataActions: decoded,
      iterates,
      oneJump,
      zeroedContext: lastOf(e * V * K * size).map((x, i) => 0.5 * x + 0.1 * Math.sin(i)),
      otherContext: lastOf(other),
    };
  });

  return {
    settings: {
      modelDir: "weights/toy",
      episodes: measured.map(({ episode }) => episode),
      videoSteps: 50,
      probeSteps,
      videoSeeds: [0, 1],
      actionSeeds: [0],
      actionSteps: M,
      dtype: "f32",
    },
    provenance: {
      model: {
        name: model.name,
        revision: "unversioned",
        weightsSha256: "5eed".repeat(16),
        trainedOn,
        ...{ system: "mimic-video", stamp: {} },
      },
      data: { name: "weights/toy/episodes", sha256: "da7a".repeat(16) },
      noiseSha256: "0153".repeat(16),
      device: { name: "reference (PyTorch 2.13.0, CPU)", driver: "none", adapter: "none", software: true },
      dtype: "f32",
      versions: { project: "0.1.0", node: "20.20.2", webgpu: "0.6.2" },
    },
    actionNames: model.action.names,
    actionUnits: model.action.units,
    datasetMean: Float32Array.from(model.action.mean.flat()),
    taus: probeSteps.map((k) => 1 - k / 50),
    actionTimes: Array.from({ length: M + 1 }, (_, n) => n / M),
    chunkLength: T,
    episodes: measured,
    timing: { phases: [{ name: "decode", seconds: 1.5 }], resumedEpisodes: 0 },
  };
}

/** The same measurement of a system whose read-out is one evaluation: no inner axis. */
export function withoutInnerSteps(): ProbeMeasurement {
  const measurement = referenceMeasurement();
  const episodes = measurement.episodes.map((episode) => ({
    ...episode,
    iterates: episode.actions,
    oneJump: new Float32Array(0),
  }));
  return {
    ...measurement,
    settings: { ...measurement.settings, actionSteps: 0 },
    actionTimes: [0],
    episodes,
  };
}
