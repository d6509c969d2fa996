/** Opening a model with its policy and world in Node, and running all trials. */
import { UsageError } from "../../errors.ts";
import type { ProbeProgress } from "../../probe/experiment/measurement.ts";
import type { Maker } from "../../probe/result/made-by.ts";
import { runRollout } from "../../rollout/run.ts";
import type { Trial } from "../../rollout/trial.ts";
import type { Policy } from "../../systems/policy.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import type { Opened } from "../../systems/system.ts";
import { openModelFolder } from "../../weights/model-files.node.ts";
import { recordedWorld } from "../../worlds/recorded.ts";
import { worldOf } from "../../worlds/registry.ts";
import type { World } from "../../worlds/world.ts";
import { loadModel } from "../load-model.node.ts";
import { modelProvenance } from "../probe/run.node.ts";
import type { RolloutCommand } from "./options.ts";
import { fingerprintOf, TrialStore } from "./trial-store.node.ts";

export interface RolloutHooks {
  readonly out: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: ProbeProgress) => void;
  readonly onNote: (line: string) => void;
  /** told which model it is before the first trial; what it throws ends the run */
  readonly onModel: (provenance: Maker) => void;
}

export interface Ran {
  readonly trials: readonly Trial[];
  readonly world: World;
  readonly provenance: Maker;
  readonly peakGpuBytes: number;
  /** trials taken from an earlier run */
  readonly resumed: number;
}

/** @throws UsageError where the model has no policy, or the policy no world */
export async function runRolloutHere(command: RolloutCommand, hooks: RolloutHooks): Promise<Ran> {
  const { onProgress, onNote, signal } = hooks;
  const { settings, adapter, policy: name, modelDir: model, frozen, dataDir } = command;
  let acting: { readonly policy: Policy; readonly world: World } | undefined;
  const loaded = await loadModel(
    { model, adapter, frozen, policy: name },
    {
      ...{ signal, onNote },
      onProgress: (phase, done, total) => onProgress({ phase, done, total, unit: "bytes" }),
      // What cannot act, or has nothing to act in, is refused before minutes go into weights.
      accept: async (opened, items) => {
        if (!opened.policy)
          throw new UsageError(
            `${opened.name} has no policy that acts here, so it has no world either. The toy has both: --model weights/toy.`,
          );
        const policy = await opened.policy();
        checkStops(settings.stops, opened, policy);
        if (items === undefined) return policy.dispose();
        const world = await worldFor(opened, policy, () => openModelFolder(dataDir ?? items));
        acting = { policy, world };
      },
    },
  );
  const { gpu, opened, system, files } = loaded;
  try {
    const { policy, world } = acting!;
    const provenance = await modelProvenance(gpu, opened, system, files);
    hooks.onModel(provenance);
    const store = new TrialStore(hooks.out, fingerprintOf(command, provenance, world));
    const { trials, resumed } = await runRollout(policy, world, settings, store, {
      signal,
      onTrial: (done, total) => onProgress({ phase: "trials", done, total, unit: "trials" }),
    });
    policy.dispose();
    return { trials, world, provenance, peakGpuBytes: gpu.memory.usage.peak, resumed };
  } finally {
    await loaded.release();
  }
}

function checkStops(stops: readonly number[], { name }: Opened, { description }: Policy): void {
  const { last } = description.stops;
  const beyond = stops.find((stop) => stop > last);
  if (beyond !== undefined)
    throw new UsageError(`--stop ${beyond}: actions of ${name} can be read after 0 to ${last} steps.`);
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
