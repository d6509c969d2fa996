/** Golden cases of LingBot-VA's transformer: positions, and calls that leave keys and values to one another. */
import { KeyValueCache } from "../networks/lingbot/cache.ts";
import { readLingbotConfig } from "../networks/lingbot/config.ts";
import { actionPositions, videoPositions } from "../networks/lingbot/positions.ts";
import { LingbotTransformer, type Stream } from "../networks/lingbot/transformer.ts";
import { widthOf } from "../networks/wan/config.ts";
import { timeSinusoids } from "../networks/wan/embedders.ts";
import { patches, tokenGrid, unpatched } from "../networks/wan/head.ts";
import { rotaryOf, rotaryTables } from "../networks/wan/positions.ts";
import { distinctTimes } from "../networks/cosmos/timesteps.ts";
import { permute } from "../kernels/copy.ts";
import { constant, readTensor, type Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner } from "./case.ts";
import { type CaseRun, compute, type Values } from "./compute.ts";

/** One call of the transformer in a case. */
interface CaseCall {
  readonly mode: Stream;
  readonly frames: number;
  readonly frame_start: number;
  /** 0 leaves nothing, 1 leaves predicted keys and values, 2 observed ones */
  readonly update: 0 | 1 | 2;
  readonly times: readonly number[];
}

const positionsCase: CaseRunner = (_gpu, golden) => {
  allowOnly(golden, "inputs", [/none/]);
  allowOnly(golden, "args", [/head_dim/, /frames/, /height/, /width/, /action_per_frame/, /frame_starts/]);
  const args = golden.args as Record<string, number> & { frame_starts: readonly number[] };
  const values: Values = new Map();
  for (const start of args.frame_starts) {
    const each = {
      video: videoPositions(start, args.frames, args.height, args.width),
      action: actionPositions(start, args.frames, args.action_per_frame),
    };
    for (const [stream, positions] of Object.entries(each)) {
      const { cos, sin } = rotaryTables(positions, args.head_dim);
      values.set(
        `${stream}.${start}`,
        Float32Array.from([0, 1, 2].flatMap((axis) => positions.map((p) => p[axis]))),
      );
      values.set(`${stream}_cos.${start}`, cos);
      values.set(`${stream}_sin.${start}`, sin);
    }
  }
  return Promise.resolve(values);
};

const transformerCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/text/, /call\.\d+\.(x|timestep)/]);
  allowOnly(golden, "args", [
    ...[/calls/, /window/, /cache_tokens/, /latent_height/, /latent_width/],
    ...[/frame_chunk_size/, /action_per_frame/],
  ]);
  const config = readLingbotConfig(golden.config, golden.name);
  const { calls, cache_tokens: capacity } = golden.args as {
    calls: readonly (CaseCall | "clear_predicted")[];
    cache_tokens: number | null;
  };
  const body = async (transformer: LingbotTransformer, run: CaseRun): Promise<Values> => {
    const text = run.upload("text");
    const items = text.dim(0);
    const width = widthOf(config);
    const cache =
      capacity === null
        ? undefined
        : new KeyValueCache(gpu, { blocks: config.layers, items, capacity, width });
    run.onRelease(() => cache?.dispose());
    const context = (await run.replay(() => transformer.textContext(text))).outputs;
    const values: Values = new Map();
    for (const [i, call] of calls.entries()) {
      if (call === "clear_predicted") cache?.clearPredicted();
      else {
        const x = run.upload(`call.${i}.x`);
        const N = call.mode === "video" ? patchTokens(x, config) : x.shape[2] * x.shape[3];
        cache?.makeRoom(N);
        const workspace = cache;
        const { outputs } = await run.replay(() => oneCall(transformer, call, x, context, workspace));
        for (const [name, tensor] of Object.entries(outputs))
          values.set(`call.${i}.${name}`, await readTensor(gpu, tensor));
        if (call.update > 0) cache?.append(N, call.update === 1);
      }
      if (!cache || cache.at === 0) continue;
      values.set(`call.${i}.cache_ids`, Float32Array.from(cache.ids));
      for (const [name, at] of [
        ["keys", -2],
        ["values", -1],
      ] as const)
        values.set(`call.${i}.cache_${name}`, await lastBlock(run, cache, items, at));
    }
    return values;
  };
  return compute(gpu, golden, (w: WeightLoader) => new LingbotTransformer(config, w), body);
};

const patchTokens = (x: Tensor, { patchSize }: { patchSize: readonly [number, number, number] }): number =>
  tokenGrid(x.shape, patchSize).reduce((a, b) => a * b);

/** Valid tokens of all items in the last block, (B, L, D). */
async function lastBlock(
  run: CaseRun,
  cache: KeyValueCache,
  items: number,
  at: -1 | -2,
): Promise<Float32Array> {
  const rows: number[] = [];
  for (let item = 0; item < items; item++) {
    const view = cache.tokens(item, { from: 0, to: cache.at }).at(at)!;
    rows.push(...(await readTensor(run.gpu, view)));
  }
  return Float32Array.from(rows);
}

/** Records a call on all of its outputs. */
function oneCall(
  transformer: LingbotTransformer,
  { mode, frames, frame_start: start, times }: CaseCall,
  x: Tensor,
  text: ReturnType<LingbotTransformer["textContext"]>,
  workspace: KeyValueCache | undefined,
): Record<string, Tensor> {
  const { config } = transformer;
  const { patchSize, headDim, timeDim, layers } = config;
  const B = x.dim(0);
  const grid = mode === "video" ? tokenGrid(x.shape, patchSize) : undefined;
  const tokens = grid
    ? patches(x, patchSize)
    : permute(x, 0, 2, 3, 4, 1).reshape(B, x.shape[2] * x.shape[3], -1); // (B, F·n, A)
  const N = tokens.dim(1);
  const { distinct, rowOfFrame } = distinctTimes(times);
  const rowOf = Uint32Array.from({ length: B * N }, (_, i) => rowOfFrame[Math.floor(((i % N) * frames) / N)]);
  const positions = grid ? videoPositions(start, ...grid) : actionPositions(start, frames, x.shape[3]);
  const { velocity, captured } = transformer.forward({
    ...{ stream: mode, tokens, text, workspace },
    sinusoids: constant([distinct.length, timeDim], timeSinusoids(distinct, timeDim), "sinusoids"),
    rowOf: constant([B * N], rowOf, "time row of token"),
    angles: rotaryOf(positions, headDim),
    capture: Array.from({ length: layers }, (_, i) => i),
  });
  const outputs: Record<string, Tensor> = {
    tokens: velocity,
    velocity: grid
      ? unpatched(velocity, grid, patchSize)
      : permute(velocity.reshape(B, frames, -1, config.actionDim), 0, 3, 1, 2),
  };
  for (const [i, state] of captured) outputs[`block.${i}`] = state;
  return outputs;
}

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "lingbot.positions": positionsCase,
  "lingbot.transformer": transformerCase,
};
