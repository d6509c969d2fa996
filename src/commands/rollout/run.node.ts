/** Opening a model with its policy and world in Node, and running all trials. */
import path from "node:path";
import { UsageError } from "../../errors.ts";
import { openGpu } from "../../gpu/open.node.ts";
import { autotuneHere } from "../../kernels/autotune.node.ts";
import type { ProbeProgress } from "../../probe/experiment/measurement.ts";
import type { RolloutProvenance } from "../../rollout/result.ts";
import { runRollout } from "../../rollout/run.ts";
import type { Trial } from "../../rollout/trial.ts";
import { recognise } from "../../systems/registry.ts";
import type { Policy } from "../../systems/policy.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import type { Opened } from "../../systems/system.ts";
import { resolveModel } from "../../weights/hub/resolve-model.node.ts";
import { openModelFolder } from "../../weights/model-files.node.ts";
import { recordedWorld } from "../../worlds/recorded.ts";
import { worldOf } from "../../worlds/registry.ts";
import type { World } from "../../worlds/world.ts";
import { otherModels } from "../other-models.node.ts";
import { HERE, modelProvenance } from "../probe/run.node.ts";
import type { RolloutCommand } from "./options.ts";
import { fingerprintOf, TrialStore } from "./trial-store.node.ts";

export interface RolloutHooks {
  readonly out: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: ProbeProgress) => void;
  readonly onNote: (line: string) => void;
  /** told which model it is before the first trial; what it throws ends the run */
  readonly onModel: (provenance: RolloutProvenance) => void;
}

export interface Ran {
  readonly trials: readonly Trial[];
  readonly world: World;
  readonly provenance: RolloutProvenance;
  readonly peakGpuBytes: number;
  /** trials taken from an earlier run */
  readonly resumed: number;
}

/** @throws UsageError where the model has no policy, or the policy no world */
export async function runRolloutHere(command: RolloutCommand, hooks: RolloutHooks): Promise<Ran> {
  const { onProgress, onNote, signal } = hooks;
  const { settings, adapter, policy: name } = command;
  const options = {
    ...{ ...HERE, policy: name, onNote },
    openModel: otherModels(command.modelDir, command.frozen, ({ bytes, totalBytes }) =>
      onProgress({ phase: "downloading", done: bytes, total: totalBytes, unit: "bytes" }),
    ),
  };
  const folder = await resolveModel(command.modelDir, {
    choose: async (remote) => (await recognise(remote)).needed(remote, options),
    onProgress: ({ bytes, totalBytes }) =>
      onProgress({ phase: "downloading", done: bytes, total: totalBytes, unit: "bytes" }),
  });
  const revision = /snapshots[\\/]([0-9a-f]{40})/.exec(folder)?.[1];
  const files = await openModelFolder(folder, revision);
  const system = await recognise(files);
  const gpu = await openGpu({ adapter });
  let opened: Opened | undefined;
  try {
    opened = await system.open(gpu, files, options);
    if (!opened.policy)
      throw new UsageError(
        `${opened.name} has no policy that acts here, so it has no world either. The toy has both: --model weights/toy.`,
      );
    const policy = await opened.policy();
    const world = await worldFor(opened, policy, async () =>
      openModelFolder(command.dataDir ?? path.join(folder, await system.items(files))),
    );
    const { last } = policy.description.stops;
    const beyond = settings.stops.find((stop) => stop > last);
    if (beyond !== undefined)
      throw new UsageError(
        `--stop ${beyond}: actions of ${opened.name} can be read after 0 to ${last} steps.`,
      );
    for (const note of await autotuneHere(gpu)) onNote(note);
    await opened.load({
      signal,
      onProgress: (done, total) => onProgress({ phase: "loading weights", done, total, unit: "bytes" }),
    });
    const provenance = await modelProvenance(gpu, opened, system.name, files);
    hooks.onModel(provenance);
    const store = new TrialStore(hooks.out, fingerprintOf(command, provenance, world));
    const { trials, resumed } = await runRollout(policy, world, settings, store, {
      signal,
      onTrial: (done, total) => onProgress({ phase: "trials", done, total, unit: "trials" }),
    });
    policy.dispose();
    return { trials, world, provenance, peakGpuBytes: gpu.memory.usage.peak, resumed };
  } finally {
    await opened?.release();
    gpu.destroy();
  }
}

/** The world of recorded episodes, where the system has some; else the one that the policy fits. */
async function worldFor(
  opened: Opened,
  { description }: Policy,
  data: () => Promise<ModelFiles>,
): Promise<World> {
  if (!opened.recordedTrials) return worldOf(description);
  return recordedWorld(await opened.recordedTrials(await data()), description);
}
