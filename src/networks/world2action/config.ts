/**
 * Dimensions of the World2Action decoder, from the shapes of its tensors (the release has no config.json), and what its checkpoint holds
 * besides.
 */
import { WeightsError } from "../../errors.ts";
import { type KeyMap, mapKeys } from "../../weights/key-map.ts";
import type { TensorInfo, TensorSource } from "../../weights/source.ts";
import { withoutNet } from "../cosmos/original-keys.ts";
import { axes, numbered } from "../shapes.ts";

export interface World2ActionConfig {
  /** N, tokens: one of the observation, then the actions of a chunk */
  readonly tokens: number;
  /** D = heads · headDim */
  readonly width: number;
  readonly heads: number;
  readonly headDim: number;
  readonly layers: number;
  /** F, width inside the feed-forward */
  readonly feedForward: number;
  /** V, width of the video's hidden states */
  readonly contextDim: number;
  readonly adalnLoraDim: number;
  /** J, width of the robot's state */
  readonly stateDim: number;
  /** A, width of an action */
  readonly actionDim: number;
  /** widths behind each linear map of the two embedders, the last of them D */
  readonly stateWidths: readonly number[];
  readonly actionWidths: readonly number[];
  /** width of the sinusoids, even */
  readonly sinusoidDim: number;
  /** P and R: widths before and behind the product of the two times */
  readonly pairDim: number;
  readonly timeDim: number;
}

/** tokens of the observation in front of the actions */
export const OBSERVATION_TOKENS = 1;

/** Removes `net.` and leaves out the counters of the training and the inert state of an attention library; all else stays. */
export const world2ActionKeys: KeyMap = (stored) => {
  const key = withoutNet(stored);
  return /^accum_[^.]+$|(^|\.)_extra_state$/.test(key) ? undefined : key;
};

/** The checkpoint under the names that the decoder asks for. */
export const world2ActionWeights = (source: TensorSource): TensorSource => mapKeys(source, world2ActionKeys);

/** Whether the keys are a World2Action decoder's. */
export function hasWorld2ActionKeys(keys: Iterable<string>): boolean {
  for (const key of keys) if (/^t_embedder\.pair\./.test(withoutNet(key))) return true;
  return false;
}

/**
 * Reads the dimensions from the tensors of `world2ActionWeights`.
 * @throws WeightsError naming the tensor that is missing or has a shape no such model has
 */
export function world2ActionConfig(
  tensors: ReadonlyMap<string, TensorInfo>,
  name = "the action checkpoint",
): World2ActionConfig {
  const shape = (key: string, count: number) => axes(tensors, name, key, count);
  const [, tokens, width] = shape("pos_embedding", 3);
  const [headDim] = shape("blocks.0.self_attn.q_norm.weight", 1);
  const [feedForward] = shape("blocks.0.mlp.layer1.weight", 2);
  const [, contextDim] = shape("blocks.0.cross_attn.k_proj.weight", 2);
  const [adalnLoraDim] = shape("blocks.0.adaln_modulation_self_attn.1.weight", 2);
  const [pairDim, sinusoidDim] = shape("t_embedder.pair.proj_x.weight", 2);
  const [timeDim] = shape("t_embedder.pair.B.weight", 2);
  const embedder = (of: "obs" | "action"): number[] => {
    const layers = numbered(tensors.keys(), new RegExp(`^${of}_embedder\\.layers\\.(\\d+)\\.weight$`));
    // Activations stand between the linear maps and are counted with them.
    return Array.from({ length: layers }, (_, i) => shape(`${of}_embedder.layers.${2 * i}.weight`, 2)[0]);
  };
  const [, stateDim] = shape("obs_embedder.layers.0.weight", 2);
  const [, actionDim] = shape("action_embedder.layers.0.weight", 2);
  const stateWidths = embedder("obs");
  const actionWidths = embedder("action");
  for (const [of, widths] of [
    ["obs", stateWidths],
    ["action", actionWidths],
  ] as const) {
    if (widths.at(-1) !== width)
      throw new WeightsError(
        `${name}: ${of}_embedder ends in ${widths.at(-1)} channels, tokens have ${width}`,
      );
  }
  if (width % headDim !== 0 || sinusoidDim % 2 !== 0 || sinusoidDim < 4 || tokens <= OBSERVATION_TOKENS) {
    throw new WeightsError(
      `${name}: ${tokens} tokens of width ${width} in heads of ${headDim}, sinusoids of ${sinusoidDim}: no World2Action ` +
        "decoder has these; check that the file is the action decoder of the release",
    );
  }
  return {
    ...{ tokens, width, headDim, feedForward, contextDim, adalnLoraDim, stateDim, actionDim },
    ...{ sinusoidDim, pairDim, timeDim, stateWidths, actionWidths },
    heads: width / headDim,
    layers: numbered(tensors.keys(), /^blocks\.(\d+)\./),
  };
}
