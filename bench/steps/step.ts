/** What the steps of every model share: what they are told, whether they may run here, and how they are timed. */
import { freemem } from "node:os";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Replay } from "../../src/gpu/recording.ts";
import { duration } from "../../src/commands/probe/progress.node.ts";
import { readTensor, type Tensor } from "../../src/tensor/tensor.ts";
import { formatBytes } from "../../src/weights/listing.ts";
import { type Measure, measure, replaying, warmUpOf } from "../measure.ts";
import type { Skipped, Step } from "../report.ts";
import type { Roof } from "../roof.ts";

/** What a step is told of the run. */
export interface StepContext {
  readonly gpu: Gpu;
  readonly roof: Roof;
  readonly rounds: number;
  /** seconds for the batches */
  readonly budget: number;
  /** seconds that one step may take at the roof */
  readonly limit: number;
  /** hears what is going on before a long wait */
  readonly note: (text: string) => void;
}

/** A step to be timed, or left out for a reason. */
export interface StepCase {
  readonly name: string;
  readonly measure: (name: string, context: StepContext) => Promise<Step | Skipped>;
}

/** The model folder of the toy steps, from the root of the checkout. */
export const TOY = "weights/toy";
/** Why a toy step is left out where that folder is missing. */
export const NO_TOY = `the folder ${TOY} is not here`;

/** Why a step with so many operations and bytes of weights is not to be run here; undefined when it may. */
export function tooMuch(
  { gpu, roof, limit, note }: Pick<StepContext, "gpu" | "roof" | "limit" | "note">,
  flop: number,
  bytes: number,
): string | undefined {
  const seconds = flop / roof.flopPerSecond;
  const words =
    `its ${(flop / 1e9).toPrecision(3)} GFLOP take at least ${duration(seconds)} at the measured roof of ` +
    `${(roof.flopPerSecond / 1e9).toPrecision(3)} GFLOP/s, its weights ${formatBytes(bytes)}`;
  // A software adapter's memory is the computer's, and holds each buffer once more while it is written.
  if (gpu.adapter.software && bytes * 1.2 > freemem()) return `${words}; ${formatBytes(freemem())} are free`;
  if (seconds > limit) return `${words}; ask for it by its whole name, or with a larger --step-budget`;
  if (seconds > 10) note(words);
  return undefined;
}

/**
 * Times a recorded step, once it has run and its outputs are numbers.
 * @throws Error when an output is not finite, or more than half of them are zero
 */
export async function timed(
  { gpu, rounds, budget }: StepContext,
  name: string,
  replay: Replay<Tensor>,
): Promise<Measure> {
  await replay.run();
  const values = await readTensor(gpu, replay.outputs);
  const wrong = values.reduce((n, v) => n + Number(!Number.isFinite(v)), 0);
  const zero = values.reduce((n, v) => n + Number(v === 0), 0);
  if (wrong > 0 || zero > values.length / 2)
    throw new Error(`${name}: of ${values.length} results ${wrong} are not finite and ${zero} are zero`);
  const [m] = await measure([replaying(name, gpu, replay)], { rounds, budget, warmUp: warmUpOf(gpu) });
  return m;
}
