/**
 * Reading taps out: actions decoded from the keys and values of several calls in one batch, every step kept.
 *
 * Axes: R taps, S noises, B = R·S items, taps slowest; N video tokens of width D; M steps, F·n action tokens of A numbers.
 */
import { record } from "../../gpu/recording.ts";
import type { TokenRange } from "../../networks/lingbot/ledger.ts";
import type { TextContext } from "../../networks/lingbot/transformer.ts";
import type { ReadOptions, Tap } from "../../probe/subject.ts";
import { copyBox } from "../../kernels/copy.ts";
import { copyTensor, createTensor, releaseTensor, Tensor, writeTensor } from "../../tensor/tensor.ts";
import { traced } from "../trace.ts";
import { ActionDenoiser, actionBranches, movingActions } from "./action-denoiser.ts";
import type { EpisodeMemory } from "./memory.ts";
import type { LingbotModel } from "./model.ts";
import { scheduleOf, schedulerOf } from "./schedule.ts";

/** How an action noise became actions. */
export interface Decoded {
  /** (M + 1, F·n, A) */
  readonly states: Float32Array<ArrayBuffer>;
  /** (M, F·n, A) */
  readonly velocities: Float32Array<ArrayBuffer>;
}

/** What reading needs besides taps. */
export interface ReadSurroundings {
  readonly memory: EpisodeMemory;
  readonly text: { readonly prompt: TextContext; readonly branches: TextContext };
}

/** Tokens of the episode that are seen beside a chunk of imagined video: what had to make room for it is not. */
export function seenHistory(model: LingbotModel, { cache }: EpisodeMemory): TokenRange {
  const { video, action } = model.tokens;
  return { from: Math.max(0, cache.at + video + action - model.cacheTokens), to: cache.at };
}

/**
 * Decodes taps × noises.
 * @param taps of each branch of the actions, block by block, keys and values (1, N, D); behind them (1, N) of ones, or zeros where a token is hidden
 * @param noises (S) of F·n·A numbers each
 * @param steps M
 * @returns taps × noises, taps slowest
 */
export async function readOut(
  model: LingbotModel,
  taps: readonly Tap[],
  noises: readonly Float32Array[],
  steps: number,
  { memory, text }: ReadSurroundings,
  options: ReadOptions,
): Promise<Decoded[]> {
  const { gpu, width: D, tokens, transformer, config } = model;
  const { layers } = transformer.config;
  const history = seenHistory(model, memory);
  const [H, N] = [history.to - history.from, tokens.video];
  const [R, S] = [taps.length, noises.length];
  const [B, branches] = [R * S, actionBranches(model)];
  const room = H + N + tokens.action;
  const owned: Tensor[] = [];
  const create = (
    shape: readonly number[],
    data: Float32Array | Uint32Array | undefined,
    label: string,
  ): Tensor => {
    const tensor = createTensor(gpu, shape, data, label);
    owned.push(tensor);
    return tensor;
  };
  const all = (label: string): Tensor[] =>
    Array.from({ length: layers }, () => create([branches * B, room, D], undefined, label));
  const workspace = {
    ...{ keys: all("keys to read"), values: all("values to read"), at: H + N },
    mask: create([branches * B, room], new Uint32Array(branches * B * room).fill(1), "tokens that are seen"),
  };
  let denoiser: ActionDenoiser | undefined;
  try {
    for (let item = 0; item < branches * B; item++) {
      const branch = Math.floor(item / B);
      const tap = taps[Math.floor((item % B) / S)];
      const past = H > 0 ? memory.cache.tokens(branch, history) : [];
      for (let i = 0; i < layers; i++) {
        for (const [which, tensor] of [workspace.keys[i], workspace.values[i]].entries()) {
          const first = item * room * D;
          if (H > 0) copyTensor(gpu, past[2 * i + which], tensor, { to: first });
          copyTensor(gpu, tap[2 * (branch * layers + i) + which], tensor, { to: first + H * D });
        }
      }
    }
    await hideTokens(model, taps, workspace.mask, { items: branches * B, perTap: S, at: H });
    denoiser = new ActionDenoiser(model, {
      ...{ workspace, start: memory.start },
      text: branches === 2 ? text.branches : text.prompt,
    });
    const moving = movingActions(model, memory.start);
    const size = moving.length;
    const noise = Float32Array.from(
      { length: B * size },
      (_, i) => noises[Math.floor(i / size) % S][i % size] * moving[i % size],
    );
    const shape = [B, tokens.action, size / tokens.action];
    const x = create(shape, noise, "actions");
    const scheduler = schedulerOf(scheduleOf(steps, config.action.shift));
    const { states, velocities } = await traced(gpu, denoiser, x, scheduler, options);
    return Array.from({ length: B }, (_, b) => {
      const ofItem = (values: Float32Array, count: number): Float32Array<ArrayBuffer> => {
        const out = new Float32Array(count * size);
        for (let k = 0; k < count; k++) {
          const from = (k * B + b) * size;
          out.set(values.subarray(from, from + size), k * size);
        }
        return out;
      };
      return { states: ofItem(states, steps + 1), velocities: ofItem(velocities, steps) };
    });
  } finally {
    denoiser?.dispose();
    for (const tensor of owned) releaseTensor(gpu, tensor);
  }
}

/** Writes what taps say of their tokens into the mask. A float 0 is the word 0, every other one is not. */
async function hideTokens(
  { gpu, tokens }: LingbotModel,
  taps: readonly Tap[],
  mask: Tensor,
  { items, perTap, at }: { items: number; perTap: number; at: number },
): Promise<void> {
  const room = mask.dim(1);
  const replay = await record(gpu, "hide tokens", () => {
    for (let item = 0; item < items; item++) {
      const said = taps[Math.floor((item % (taps.length * perTap)) / perTap)].at(-1)!;
      const words = new Tensor([tokens.video], "u32", said.storage, said.offset);
      copyBox(words, mask, [tokens.video], { strides: [1] }, { start: item * room + at, strides: [1] });
    }
  });
  await replay.run();
  await gpu.idle();
  replay.dispose();
}

/** Keys and values set to zero are still seen; tokens that are hidden are not. */
export function hidden(gpu: LingbotModel["gpu"], tap: Tap): void {
  const said = tap.at(-1)!;
  writeTensor(gpu, said, new Float32Array(said.size));
}
