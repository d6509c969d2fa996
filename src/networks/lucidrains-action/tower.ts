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
import { type Edition, editionOf } from "./edition.ts";
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
  /** (B, J), not yet normalised */
  readonly jointState: Tensor;
  readonly context: VideoContext;
  /** (B) u32 */
  readonly taskIds?: Tensor;
  /** (B) u32, rows of the table: the reference's ids + 1, so 0 is "no advantage given" */
  readonly advantageRows?: Tensor;
  /** (B, width of the description): a body that is described from outside */
  readonly bodyCond?: Tensor;
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

/** Which conditions a call is given; each is a token. */
export type Given = Pick<TowerInputs, "taskIds" | "advantageRows" | "bodyCond">;

/** Condition tokens in front of the actions: joint state, registers, the row of a table of bodies, and what is given. */
export function countConditions(
  { registers, bodyIds }: Pick<ActionConfig, "registers" | "bodyIds">,
  given: Readonly<Partial<Record<keyof Given, unknown>>>,
): number {
  const one = (present: boolean): number => (present ? 1 : 0);
  const body = bodyIds > 0 || given.bodyCond !== undefined;
  return (
    1 + registers + one(body) + one(given.taskIds !== undefined) + one(given.advantageRows !== undefined)
  );
}

/** What each embodiment has for itself. */
const OWN = ["to_action_tokens", "to_joint_state_token", "to_pred", "action_normalizer", "joint_normalizer"];

/** The map of a token: x ↦ W·x + b. */
interface Projection {
  readonly weight: Matrix;
  readonly bias: Tensor;
}

export class ActionTower {
  readonly config: ActionConfig;
  readonly edition: Edition;
  readonly #normalizer?: { readonly mean: Tensor; readonly std: Tensor };
  readonly #statistics?: { readonly mean: HostWeight; readonly std: HostWeight };
  readonly #actions: Projection;
  readonly #joint: Projection;
  readonly #jointNormalizer?: { readonly mean: Tensor; readonly std: Tensor };
  readonly #task?: Tensor;
  readonly #advantage?: Tensor;
  readonly #bodies?: Tensor;
  readonly #bodyCond?: Projection;
  readonly #registers?: Tensor;
  readonly #rnn: GruWeights & { readonly weight: Matrix; readonly inputBias: Tensor };
  readonly #layers: readonly ActionLayer[];
  readonly #finalPool: HistoryPool;
  readonly #finalNorm: Tensor;

  /**
   * @param adaptive whether norms are modulated by time; without, they have gains
   * @throws what `editionOf` throws
   */
  constructor(config: ActionConfig, adaptive: boolean, w: WeightLoader) {
    const { dim, actionDim, jointDim, depth, bodies, body } = config;
    this.config = config;
    this.edition = editionOf(config, w, adaptive);
    const own = (key: string): string => this.ownKey(key);
    const statistics = (key: string, width: number) => ({
      mean: w.tensor(`${own(key)}.mean`, [width]),
      std: w.tensor(`${own(key)}.std`, [width]),
    });
    if (config.normalized) {
      this.#normalizer = statistics("action_normalizer", actionDim);
      this.#statistics = {
        mean: w.host(`${own("action_normalizer")}.mean`, [actionDim]),
        std: w.host(`${own("action_normalizer")}.std`, [actionDim]),
      };
    }
    if (config.jointNormalized) this.#jointNormalizer = statistics("joint_normalizer", jointDim);
    const map = (key: string, inner: number): Projection => ({
      weight: w.linear(`${key}.weight`, dim, inner),
      bias: w.tensor(`${key}.bias`, [dim]),
    });
    this.#actions = map(own("to_action_tokens"), actionDim);
    this.#joint = map(own("to_joint_state_token"), jointDim);
    for (let e = 0; e < bodies; e++) if (e !== body) w.ignore(new RegExp(`(?:${OWN.join("|")})\\.${e}\\.`));
    if (config.taskIds > 0) this.#task = w.tensor("task_embed.weight", [config.taskIds, dim]);
    if (config.advantageIds > 0)
      this.#advantage = w.tensor("advantage_embed.weight", [config.advantageIds + 1, dim]);
    if (config.bodyIds > 0) {
      this.#bodies = w.tensor("body_embed.weight", [config.bodyIds, dim]);
      // With a table no other body can be described.
      w.ignore(/to_body_cond\./);
    } else if (config.bodyCondDim > 0) {
      this.#bodyCond = map("to_body_cond", config.bodyCondDim);
    }
    if (config.registers > 0) this.#registers = w.tensor("register_tokens", [config.registers, dim]);
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
          ? { kind: "adaptive", column: (3 * i + branch) * 3 * dim, gateBias: this.edition.gateBias }
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

  /** A key of what each embodiment has for itself: "to_pred" → "to_pred.1", or as it is where keys carry no number. */
  ownKey(key: string): string {
    return this.edition.indexed ? `${key}.${this.config.body}` : key;
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
    const conditions = countConditions(this.config, inputs);
    const tokens = conditions + chunkLength;

    const actions = this.normalize(inputs.actions);
    const history = result([3 * depth + 1, batch, tokens, dim], "history");
    this.#placeConditions(inputs, history);
    const u = project(actions, this.#actions); // (B, n, D)
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

  /** The first tokens of the sequence, in this order: body, advantage, task, joint state, registers. */
  #placeConditions({ taskIds, advantageRows, bodyCond, jointState }: TowerInputs, history: Tensor): void {
    const { dim, body, registers } = this.config;
    const [, batch, tokens] = history.shape;
    let at = 0;
    /** @param from where in x a batch's tokens begin, and how far apart those of two items lie; 0: all have the same */
    const place = (
      x: Tensor,
      count: number,
      from: { readonly start?: number; readonly apart: number },
    ): void => {
      copyBox(
        x,
        history,
        [batch, count * dim],
        { start: from.start, strides: [from.apart, 1] },
        { start: at * dim, strides: [tokens * dim, 1] },
      );
      at += count;
    };
    const each = { apart: dim };
    if (this.#bodies) place(this.#bodies, 1, { start: body * dim, apart: 0 });
    else if (bodyCond) place(project(bodyCond, this.#bodyCond!), 1, each);
    if (advantageRows) place(gather(this.#advantage!, advantageRows), 1, each);
    if (taskIds) place(gather(this.#task!, taskIds), 1, each);
    const n = this.#jointNormalizer;
    place(
      project(n ? standardize(jointState, n.mean, n.std, NORMALIZER_FLOOR) : jointState, this.#joint),
      1,
      each,
    );
    if (this.#registers) place(this.#registers, registers, { apart: 0 });
  }

  #check({ actions, jointState, taskIds, advantageRows, bodyCond, context, memory }: TowerInputs): void {
    const { chunkLength, actionDim, jointDim, bodyCondDim } = this.config;
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
    if (bodyCond && this.#bodies)
      throw new UsageError(
        "a description of the body was given to a model with a table of bodies; leave it out",
      );
    if (bodyCond && (!this.#bodyCond || showShape(bodyCond.shape) !== showShape([batch, bodyCondDim])))
      throw new UsageError(
        `the description of the body is ${showShape(bodyCond.shape)}, expected ${this.#bodyCond ? showShape([batch, bodyCondDim]) : "none by this model"}`,
      );
    for (const kv of context.keysValues) {
      if (kv.dim(0) !== batch)
        throw new UsageError(`the video context has a batch of ${kv.dim(0)}, the actions of ${batch}`);
    }
    if (memory && memory.hidden.size !== batch * this.config.dim)
      throw new UsageError(`a memory of ${showShape(memory.hidden.shape)} for a batch of ${batch}`);
  }
}

const project = (x: Tensor, { weight, bias }: Projection): Tensor => linear(x, weight, { bias });
