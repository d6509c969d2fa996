/** Steps of the action decoder: one evaluation, from noisy actions to their flow, and what its history pools take of it. */
import { existsSync } from "node:fs";
import { record, type Replay } from "../../src/gpu/recording.ts";
import { type ActionConfig, readActionConfig } from "../../src/networks/lucidrains-action/config.ts";
import { ActionDecoder } from "../../src/networks/lucidrains-action/decoder.ts";
import { tokenRows } from "../../src/networks/lucidrains-action/times.ts";
import { createTensor, releaseTensor } from "../../src/tensor/tensor.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import { uniform } from "../../test/support/numbers.ts";
import { type Contender, measure } from "../measure.ts";
import { randomModel } from "../random-weights.ts";
import type { Skipped, Step } from "../report.ts";
import { NO_TOY, type StepContext, timed, TOY } from "./step.ts";

/**
 * Operations of one evaluation of the action decoder at batch 1, N tokens, S video tokens whose keys and values are ready, one
 * distinct time; and of its history pools: as we compute them (history-pool.ts), and as the reference does, which projects every
 * entry of the history to keys and values.
 */
export function decoderFlop(
  c: ActionConfig,
  S: number,
): { readonly all: number; readonly pools: number; readonly reference: number } {
  const { dim: D, depth: L, heads: H, headDim: h, poolHeads: R, poolHeadDim: r, feedForward: F } = c;
  const N = c.chunkLength + 1;
  const inner = H * h;
  const keysValues = 4 * h;
  const layer =
    D * (inner + H) + // queries and gates of the cross-attention
    D * (inner + keysValues + H) +
    2 * inner * D + // both outs
    D * 2 * F +
    F * D;
  const attention = 2 * (S + N) * inner;
  const recurrence = c.actionDim * D + 6 * D * D;
  const time = 2 * D * c.timeDim + 2 * c.timeDim ** 2 + c.timeDim * 9 * L * D;
  const rest =
    2 *
    (N * (L * (layer + attention) + D * c.actionDim) + c.chunkLength * recurrence + time + c.jointDim * D);
  let [pools, reference] = [0, 0];
  // Pools of one entry pass it on.
  for (let m = 2; m <= 3 * L + 1; m++) {
    // Logits and mix of every head over m entries, then the values of the mix and the output.
    pools += 2 * N * (2 * m * R * D + R * r * D + R * r * D);
    reference += 2 * N * (m * D * 4 * r + 2 * m * R * r + R * r * D);
  }
  return { all: rest + pools, pools, reference: reference / (rest + reference) };
}

/** One evaluation as the sampler makes it: noisy actions to flow, the video's keys and values ready. */
async function decoderStep(
  context: StepContext,
  name: string,
  decoder: ActionDecoder,
  videoTokens: number,
): Promise<Step> {
  const { gpu } = context;
  const { config } = decoder;
  const { chunkLength, actionDim, jointDim, videoDim, videoLayers } = config;
  const captured = Math.max(...videoLayers.map((layer) => (layer < 0 ? -layer : layer + 1)));
  const hiddens = Array.from({ length: captured }, (_, i) =>
    createTensor(gpu, [1, videoTokens, videoDim], uniform(i, videoTokens * videoDim)),
  );
  const actions = createTensor(gpu, [1, chunkLength, actionDim], uniform(8, chunkLength * actionDim));
  const jointState = createTensor(gpu, [1, jointDim], uniform(9, jointDim));
  const times = decoder.createTimes(gpu, 1, chunkLength + 1);
  times.write(tokenRows([0.5], [0.5], chunkLength, 1, "item"));
  const video = await record(gpu, "video", () => decoder.prepareContext(hiddens));
  await video.run();
  const replay = await record(
    gpu,
    name,
    () => decoder.forward({ actions, jointState, times, context: video.outputs }).flow,
  );
  try {
    const m = await timed(context, name, replay);
    const flop = decoderFlop(config, videoTokens);
    const inPool = replay.dispatches.map(({ scope }) => /(^|\.)pool$/.test(scope));
    return {
      name,
      dispatches: replay.dispatches.length,
      flop: flop.all,
      measure: m,
      part: {
        name: "history pools",
        flop: flop.pools / flop.all,
        referenceFlop: flop.reference,
        time: await shareOf(context, replay, inPool),
      },
    };
  } finally {
    replay.dispose();
    video.dispose();
    times.release();
    for (const tensor of [...hiddens, actions, jointState]) releaseTensor(gpu, tensor);
  }
}

/** Share of the time that the marked dispatches take: marked and others are run in turns, in equally many submissions. */
async function shareOf(
  { gpu, rounds, budget }: StepContext,
  replay: Replay,
  marked: readonly boolean[],
): Promise<number> {
  const runs = (wanted: boolean): [number, number][] => {
    const list: [number, number][] = [];
    for (let i = 0; i < marked.length; i++) {
      if (marked[i] !== wanted) continue;
      if (i > 0 && marked[i - 1] === wanted) list[list.length - 1][1] = i + 1;
      else list.push([i, i + 1]);
    }
    return list;
  };
  const only = (name: string, wanted: boolean): Contender => ({
    name,
    run: async (times) => {
      for (let i = 0; i < times; i++) for (const [from, to] of runs(wanted)) replay.submit(from, to);
      await gpu.idle();
    },
  });
  const [part, rest] = await measure([only("part", true), only("rest", false)], { rounds, budget });
  const key = gpu.adapter.software ? "cpuSeconds" : "seconds";
  return part[key] / (part[key] + rest[key]);
}

/** The toy beside the 80 tokens of its video. */
export async function toyDecoder(name: string, context: StepContext): Promise<Step | Skipped> {
  if (!existsSync(TOY)) return { name, reason: NO_TOY };
  const files = await openModelFolder(TOY);
  const source = await files.weights("action_decoder");
  const loader = WeightLoader.from(context.gpu, source);
  const decoder = new ActionDecoder(readActionConfig(await files.json("action_decoder/config.json")), loader);
  await loader.load();
  await source.close();
  try {
    return await decoderStep(context, name, decoder, 80);
  } finally {
    loader.release();
  }
}

/** Dispatches that a step of the upstream size may take: it is bound by their number on a GPU. */
const DISPATCH_LIMIT = 120;

/** The reference's defaults, 32 actions and the joint state; the width of a 2-billion-parameter transformer's hidden states. */
export async function upstreamDecoder(name: string, context: StepContext): Promise<Step> {
  const config = readActionConfig({ dim: 512, dim_video_hidden: 2048, ada_ln_zero_bias: -5 });
  const { model, loader } = randomModel(context.gpu, "f32", (w) => new ActionDecoder(config, w));
  await loader.load();
  try {
    const step = await decoderStep(context, name, model, 96);
    const unfused = step.dispatches > DISPATCH_LIMIT && context.gpu.adapter.software;
    return {
      ...step,
      dispatchLimit: DISPATCH_LIMIT,
      ...(unfused && {
        dispatchNote:
          "GPUs run a history pool in one, as does --variant historyPool=fused; here that is slower",
      }),
    };
  } finally {
    loader.release();
  }
}
