/** A model brought onto the GPU in Node, for commands that ask it something else than the probe does. */
import path from "node:path";
import type { Gpu } from "../gpu/gpu.ts";
import { openGpu } from "../gpu/open.node.ts";
import { autotuneHere } from "../kernels/autotune.node.ts";
import { recognise } from "../systems/registry.ts";
import type { Opened, SystemOptions } from "../systems/system.ts";
import { resolveModel } from "../weights/hub/resolve-model.node.ts";
import type { ModelFiles } from "../weights/model-files.ts";
import { openModelFolder } from "../weights/model-files.node.ts";
import { otherModels } from "./other-models.node.ts";
import { checkMemory, HERE } from "./probe/run.node.ts";

export interface ModelSettings extends Pick<
  SystemOptions,
  | "policy"
  | "dtype"
  | "text"
  | "encodeText"
  | "gpuMemory"
  | "unexpected"
  | "rename"
  | "trajectories"
  | "stateTime"
> {
  /** folder of a checkpoint, or its name on the Hub */
  readonly model: string;
  /** folder or repository of parts that the checkpoint leaves to another; default: the one it names */
  readonly frozen?: string;
  /** part of an adapter's name, or "software"; undefined: the best one found */
  readonly adapter?: string;
  readonly variants?: Record<string, string>;
  readonly arithmetic?: "f32" | "f16";
  /** what weights mean that are NaN or infinite; undefined: they are refused */
  readonly nonFinite?: "refuse" | "ignore";
  /** whether checksums of torch checkpoints are compared; undefined: they are */
  readonly verify?: boolean;
}

export interface LoadHooks {
  /**
   * told when the weights are known to fit and not yet read; may refuse the model by throwing
   * @param items folder of the model's own items; undefined before the model is downloaded
   */
  readonly accept?: (opened: Opened, items: string | undefined) => void | Promise<void>;
  readonly onNote?: (line: string) => void;
  /** bytes */
  readonly onProgress?: (phase: "downloading" | "loading weights", done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface LoadedModel {
  readonly gpu: Gpu;
  readonly opened: Opened;
  /** name of the system that recognised it */
  readonly system: string;
  readonly files: ModelFiles;
  /** Frees the model and the device. */
  release(): Promise<void>;
}

/** @throws as opening and loading do: UsageError, FormatError, WeightsError, HubError, AdapterError */
export async function loadModel(settings: ModelSettings, hooks: LoadHooks = {}): Promise<LoadedModel> {
  const { model, frozen, adapter, variants, arithmetic, nonFinite, verify, ...asked } = settings;
  const { accept, onNote, onProgress, signal } = hooks;
  const options: SystemOptions = {
    ...{ ...asked, ...HERE, onNote },
    openModel: otherModels(model, frozen, ({ bytes, totalBytes }) =>
      onProgress?.("downloading", bytes, totalBytes),
    ),
  };
  let gpu: Gpu | undefined;
  const device = async (): Promise<Gpu> => (gpu ??= await openGpu({ adapter, variants, arithmetic }));
  let opened: Opened | undefined;
  const release = async (): Promise<void> => {
    await opened?.release();
    gpu?.destroy();
  };
  try {
    const folder = await resolveModel(model, {
      choose: async (remote) => (await recognise(remote)).needed(remote, options),
      beforeDownload: async (remote) => {
        const planned = await (await recognise(remote)).open(await device(), remote, options);
        try {
          await accept?.(planned, undefined);
          onNote?.(checkMemory(planned, await device()));
        } finally {
          await planned.release();
        }
      },
      onProgress: ({ bytes, totalBytes }) => onProgress?.("downloading", bytes, totalBytes),
    });
    // The Hub's cache keeps each commit in a folder of its own.
    const revision = /snapshots[\\/]([0-9a-f]{40})/.exec(folder)?.[1];
    const files = await openModelFolder(folder, revision, { verify });
    // A folder of the wrong kind is refused before a device is opened.
    const system = await recognise(files);
    opened = await system.open(await device(), files, options);
    await accept?.(opened, path.join(folder, await system.items(files)));
    onNote?.(checkMemory(opened, await device()));
    for (const note of await autotuneHere(await device())) onNote?.(note);
    await opened.load({
      signal,
      nonFinite,
      onProgress: (done, total) => onProgress?.("loading weights", done, total),
      onSaturated: (key, count) => onNote?.(`${key}: ${count} values beyond float16's ±65504 became ±65504`),
    });
    return { gpu: await device(), opened, system: system.name, files, release };
  } catch (error) {
    await release();
    throw error;
  }
}
