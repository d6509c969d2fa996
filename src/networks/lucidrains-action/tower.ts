/**
 * The action tower: actions and conditions to embedded tokens. The action decoder and the actor are this tower with
 * different ends; only the decoder's norms are conditioned on time.
 *
 * Axes: B batch, n actions of width A, N = conditions + n tokens, D width, L layers, W of a token's projections.
 */
import { UsageError } from "../../errors.ts";
import { scope } from "../../gpu/recording.ts";
import { copyBox } from "../../kernels/copy.ts";
import { standardize } from "../../kernels/elementwise.ts";
import { gather } from "../../kernels/gather.ts";
import { gru, type GruWeights, packRecurrent } from "../../kernels/gru.ts";
import { FLOAT32_EPSILON } from "../../kernels/history-pool.ts";
import { linear } from "../../kernels/linear.ts";
import type { Modulation } from "../../kernels/norm.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import { result, showShape, type Tensor } from "../../tensor/tensor.ts";
import type { HostWeight, WeightLoader } from "../../weights/loader.ts";
import type { ActionConfig } from "./config.ts";
import { ActionLayer, type BranchNorm } from "./layer.ts";
import { HistoryPool } from "./pool.ts";

/** Keys and values of the video for every layer: all that the tower needs of it. */
export interface VideoContext {
  /** per layer (B, S, 2·2·h) */
  readonly keysValues: readonly Tensor[];
  /** (B, S) u32, 0 = hidden from cross-attention */
  readonly mask?: Tensor;
}

/** What one call hands to the next: the reference keeps that of one call only. */
export interface ActionMemory {
  /** (B, D) of the recurrence */
  readonly hidden: Tensor;
  /** per layer (B, N, W): queries, keys, values and gates of self-attention, of which keys and values are remembered */
  readonly projections: readonly Tensor[];
}

export interface TowerInputs {
  /** (B, n, A), not yet normalised */
  readonly actions: Tensor;
  /** (B, J) */
  readonly jointState: Tensor;
  readonly context: VideoContext;
  /** (B) u32 */
  readonly taskIds?: Tensor;
  /** (B) u32, rows of the table: the reference's ids + 1, so 0 is "no advantage given" */
  readonly advantageRows?: Tensor;
  /** of the call before */
  readonly memory?: ActionMemory;
  /** where this call's memory goes, when not to tensors of its own */
  readonly keep?: ActionMemory;
}

export interface TowerOutputs {
  /** (B, n, A) as the network saw them */
  readonly actions: Tensor;
  /** (B, N, D) after the final norm */
  readonly embedded: Tensor;
  readonly memory: ActionMemory;
}

const NORMALIZER_FLOOR = 1e-6;

export class ActionTower {
  readonly config: ActionConfig;
  readonly #normalizer?: { readonly mean: Tensor; readonly std: Tensor };
  readonly #statistics?: { readonly mean: HostWeight; readonly std: HostWeight };
  readonly #actions: { readonly weight: Matrix; readonly bias: Tensor };
  readonly #joint: { readonly weight: Matrix; readonly bias: Tensor };
  readonly #task?: Tensor;
  readonly #advantage?: Tensor;
  readonly #rnn: GruWeights & { readonly weight: Matrix; readonly inputBias: Tensor };
  readonly #layers: readonly ActionLayer[];
  readonly #finalPool: HistoryPool;
  readonly #finalNorm: Tensor;

  /** @param adaptive whether norms are modulated by time; without, they have gains */
  constructor(config: ActionConfig, adaptive: boolean, w: WeightLoader) {
    const { dim, actionDim, jointDim, depth } = config;
    this.config = config;
    if (config.normalized) {
      this.#normalizer = {
        mean: w.tensor("action_normalizer.mean", [actionDim]),
        std: w.tensor("action_normalizer.std", [actionDim]),
      };
      this.#statistics = {
        mean: w.host("action_normalizer.mean", [actionDim]),
        std: w.host("action_normalizer.std", [actionDim]),
      };
    }
    const map = (key: string, inner: number) => ({
      weight: w.linear(`${key}.weight`, dim, inner),
      bias: w.tensor(`${key}.bias`, [dim]),
    });
    this.#actions = map("to_action_tokens", actionDim);
    this.#joint = map("to_joint_state_token", jointDim);
    if (config.taskIds > 0) this.#task = w.tensor("task_embed.weight", [config.taskIds, dim]);
    if (config.advantageIds > 0)
      this.#advantage = w.tensor("advantage_embed.weight", [config.advantageIds + 1, dim]);
    const recurrent = w.host("rnn.weight_hh_l0", [3 * dim, dim]);
    this.#rnn = {
      weight: w.linear("rnn.weight_ih_l0", 3 * dim, dim),
      inputBias: w.tensor("rnn.bias_ih_l0", [3 * dim]),
      recurrent: w.computed("rnn.weight_hh_l0 (packed)", [dim, 3, 4 * Math.ceil(dim / 4)], () => {
        const packed = packRecurrent(recurrent.data, dim);
        recurrent.data = new Float32Array(0);
        return packed;
      }),
      bias: w.tensor("rnn.bias_hh_l0", [3 * dim]),
    };
    this.#layers = Array.from({ length: depth }, (_, i) => {
      const layer = w.within(`layers.${i}`);
      const norms = [1, 4, 7].map((at, branch): BranchNorm =>
        adaptive
          ? { kind: "adaptive", column: (3 * i + branch) * 3 * dim }
          : { kind: "plain", weight: layer.tensor(`${at}.norm.weight`, [dim]) },
      );
      return new ActionLayer(config, i, norms, layer);
    });
    const shape = { dim, heads: config.poolHeads, headDim: config.poolHeadDim };
    this.#finalPool = new HistoryPool(shape, 3 * depth + 1, w.within("final_attn_agg"));
    this.#finalNorm = w.tensor("final_norm.weight", [dim]);
    w.ignore(/proprio_mask_token$/, /video_predict_wrapper\./);
    if (config.hasJointDynamics) w.ignore(/joint_latent_dynamics_residual\./);
    if (config.stateAutoencoder) w.ignore(/state_autoencoder\./);
  }

  /** Number of condition tokens: joint state, and task and advantage where they are given. */
  static conditions(inputs: Pick<TowerInputs, "taskIds" | "advantageRows">): number {
    return 1 + (inputs.taskIds ? 1 : 0) + (inputs.advantageRows ? 1 : 0);
  }

  get normalizer(): { readonly mean: Tensor; readonly std: Tensor } | undefined {
    return this.#normalizer;
  }

  /** Actions (…, A) in the units that the network works in; the reference does this on every call (docs/references.md, "normalised every call"). */
  normalize(actions: Tensor): Tensor {
    if (!this.#normalizer) return actions;
    return standardize(actions, this.#normalizer.mean, this.#normalizer.std, NORMALIZER_FLOOR);
  }

  /** `normalize` on the CPU, for what is known of the data: true actions, floors. */
  toModel(values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
    const { mean, std } = this.#statistics ?? {};
    if (!mean || !std) return values;
    const A = mean.data.length;
    return values.map((x, i) => (x - mean.data[i % A]) / Math.max(std.data[i % A], NORMALIZER_FLOOR));
  }

  /** The inverse of `normalize` on the CPU. */
  toData(values: Float32Array): Float32Array {
    const { mean, std } = this.#statistics ?? {};
    if (!mean || !std) return values;
    const A = mean.data.length;
    return values.map((x, i) => x * std.data[i % A] + mean.data[i % A]);
  }

  /**
   * Records the keys and values of all layers. They depend on the video alone, so they serve every action step.
   * @param hiddens captured hidden states, each (B, S, V), in the order of capture
   * @throws UsageError when a layer wants hidden states that are not there
   */
  prepareContext(hiddens: readonly Tensor[], mask?: Tensor): VideoContext {
    const { videoLayers, videoDim } = this.config;
    const keysValues = this.#layers.map((layer, i) => {
      const hidden = hiddens.at(videoLayers[i]);
      if (!hidden || hidden.shape.length !== 3 || hidden.dim(-1) !== videoDim) {
        throw new UsageError(
          `layer ${i} attends to hidden states ${videoLayers[i]} of ${hiddens.length}, shape (batch, tokens, ${videoDim}); got ${showShape(hidden?.shape ?? [])}`,
        );
      }
      if (mask && mask.size !== hidden.rows) {
        throw new UsageError(
          `the context mask ${showShape(mask.shape)} does not fit hidden states ${showShape(hidden.shape)}`,
        );
      }
      return scope(`layers.${i}.2`, () => layer.keysValues(hidden));
    });
    return { keysValues, mask };
  }

  /** Records one call. @param modulation of the adaptive norms */
  forward(inputs: TowerInputs, modulation?: Modulation): TowerOutputs {
    this.#check(inputs);
    const { dim, chunkLength, depth } = this.config;
    const { context, memory, keep } = inputs;
    const batch = inputs.actions.dim(0);
    const conditions = ActionTower.conditions(inputs);
    const tokens = conditions + chunkLength;

    const actions = this.normalize(inputs.actions);
    const history = result([3 * depth + 1, batch, tokens, dim], "history");
    this.#placeConditions(inputs, history);
    const u = linear(actions, this.#actions.weight, { bias: this.#actions.bias }); // (B, n, D)
    const hidden = scope("rnn", () =>
      gru(
        u,
        linear(u, this.#rnn.weight, { bias: this.#rnn.inputBias }),
        this.#rnn,
        memory?.hidden,
        { tensor: history, tokens, first: conditions },
        keep?.hidden,
      ),
    );
    const projections = this.#layers.map((layer, i) =>
      scope(`layers.${i}`, () =>
        layer.forward({
          ...{ history, modulation, conditions },
          ...{ video: context.keysValues[i], videoMask: context.mask },
          ...{ memory: memory?.projections[i], keep: keep?.projections[i] },
        }),
      ),
    );
    const embedded = this.#finalPool.forward(history, 3 * depth + 1, {
      norm: { kind: "rms", epsilon: FLOAT32_EPSILON, weight: this.#finalNorm },
    });
    return { actions, embedded, memory: { hidden, projections } };
  }

  /** The first tokens of the sequence, in this order: advantage, task, joint state. */
  #placeConditions(inputs: TowerInputs, history: Tensor): void {
    const { dim } = this.config;
    const { taskIds, advantageRows, jointState } = inputs;
    const [, batch, tokens] = history.shape;
    const conditions: Tensor[] = [];
    if (advantageRows) conditions.push(gather(this.#advantage!, advantageRows));
    if (taskIds) conditions.push(gather(this.#task!, taskIds));
    conditions.push(linear(jointState, this.#joint.weight, { bias: this.#joint.bias }));
    conditions.forEach((token, j) =>
      copyBox(
        token,
        history,
        [batch, dim],
        { strides: [dim, 1] },
        { start: j * dim, strides: [tokens * dim, 1] },
      ),
    );
  }

  #check({ actions, jointState, taskIds, advantageRows, context, memory }: TowerInputs): void {
    const { chunkLength, actionDim, jointDim } = this.config;
    const [batch] = actions.shape;
    if (showShape(actions.shape) !== showShape([batch, chunkLength, actionDim]))
      throw new UsageError(
        `actions are ${showShape(actions.shape)}, expected (batch, ${chunkLength}, ${actionDim})`,
      );
    if (showShape(jointState.shape) !== showShape([batch, jointDim]))
      throw new UsageError(
        `the joint state is ${showShape(jointState.shape)}, expected (${batch}, ${jointDim})`,
      );
    if (taskIds && (!this.#task || taskIds.size !== batch))
      throw new UsageError(
        `${taskIds.size} task ids for a batch of ${batch} and ${this.config.taskIds} tasks`,
      );
    if (advantageRows && (!this.#advantage || advantageRows.size !== batch))
      throw new UsageError(
        `${advantageRows.size} advantage ids for a batch of ${batch} and ${this.config.advantageIds} advantages`,
      );
    for (const kv of context.keysValues) {
      if (kv.dim(0) !== batch)
        throw new UsageError(`the video context has a batch of ${kv.dim(0)}, the actions of ${batch}`);
    }
    if (memory && memory.hidden.size !== batch * this.config.dim)
      throw new UsageError(`a memory of ${showShape(memory.hidden.shape)} for a batch of ${batch}`);
  }
}
