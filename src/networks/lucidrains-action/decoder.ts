/**
 * The action decoder (lucidrains mimic-video `MimicVideo`, flow model; docs/references.md): noisy actions, robot
 * state, times and video to the flow of the actions.
 *
 * Axes: B batch, n actions of width A, N = conditions + n tokens, D width, R distinct times, C time condition, L layers.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { scope } from "../../gpu/recording.ts";
import { add, scaleShift } from "../../kernels/elementwise.ts";
import { expand, permute, slice } from "../../kernels/copy.ts";
import { toFlow } from "../../kernels/flow.ts";
import { linear } from "../../kernels/linear.ts";
import type { Modulation } from "../../kernels/norm.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import { createTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import type { HostWeight, WeightLoader } from "../../weights/loader.ts";
import type { ActionConfig } from "./config.ts";
import { ActionLayer, KV_HEADS } from "./layer.ts";
import { TimeTable } from "./times.ts";
import type { Edition } from "./edition.ts";
import { type ActionMemory, ActionTower, type TowerInputs, type VideoContext } from "./tower.ts";

export interface DecoderInputs extends TowerInputs {
  readonly times: Pick<TimeTable, "features" | "times" | "rowOf">;
}

export interface DecoderOutputs {
  /** (B, n, A) flow of the normalised actions */
  readonly flow: Tensor;
  /** (B, n, A) the actions as the network saw them */
  readonly actions: Tensor;
  /** (B, N, D) embedded tokens, see `jointStateLatent` */
  readonly embedded: Tensor;
  readonly memory: ActionMemory;
}

interface TimeLinear {
  readonly weight: Matrix;
  readonly bias: Tensor;
}

/** Weights and forward pass; methods that take or give tensors record, unless they say otherwise. */
export class ActionDecoder {
  readonly config: ActionConfig;
  readonly #tower: ActionTower;
  readonly #fourier: { readonly weight: HostWeight; readonly bias: HostWeight };
  readonly #time: readonly TimeLinear[];
  readonly #modulation: Matrix;
  readonly #viewEmbedding?: Tensor;
  readonly #head: Matrix;

  constructor(config: ActionConfig, w: WeightLoader) {
    const { dim, timeDim, depth, views, videoDim, actionDim } = config;
    this.config = config;
    this.#tower = new ActionTower(config, true, w);
    const fourier = w.within("to_fourier_embed.proj.1");
    this.#fourier = { weight: fourier.host("weight", [dim, 1]), bias: fourier.host("bias", [dim]) };
    // "depth" 2 of the reference's MLP makes three maps, the last under a shorter key.
    this.#time = ["layers.0.0", "layers.1.0", "layers.2"].map((key, i) => ({
      weight: w.linear(`to_time_cond.${key}.weight`, timeDim, i === 0 ? 2 * dim : timeDim),
      bias: w.tensor(`to_time_cond.${key}.bias`, [timeDim]),
    }));
    const parts = Array.from({ length: depth }, (_, i) =>
      [1, 4, 7].map((at) => ({ key: `layers.${i}.${at}.to_modulation.weight`, out: 3 * dim })),
    );
    this.#modulation = w.stacked(parts.flat(), timeDim);
    if (views > 1) this.#viewEmbedding = w.tensor("view_emb", [views, videoDim]);
    this.#head = w.linear(`${this.#tower.ownKey("to_pred")}.weight`, actionDim, dim);
  }

  /** Which edition of the package the checkpoint is of, and what was assumed of it. */
  get edition(): Edition {
    return this.#tower.edition;
  }

  /** Space for the times of B items with `tokens` = B·N tokens and at most `rows` distinct pairs. Allocates. */
  createTimes(gpu: Gpu, rows: number, tokens: number): TimeTable {
    const { weight, bias } = this.#fourier;
    return new TimeTable(gpu, { weight: weight.data, bias: bias.data }, rows, tokens);
  }

  /** Space for a memory of `tokens` = N tokens an item. Allocates; free it with `releaseMemory`. */
  createMemory(gpu: Gpu, batch: number, tokens: number): ActionMemory {
    const { dim, depth } = this.config;
    const width = ActionLayer.projectionWidth(this.config);
    return {
      hidden: createTensor(gpu, [batch, dim], undefined, "memory of the recurrence"),
      projections: Array.from({ length: depth }, (_, i) =>
        createTensor(gpu, [batch, tokens, width], undefined, `memory of layer ${i}`),
      ),
    };
  }

  static releaseMemory(gpu: Gpu, { hidden, projections }: ActionMemory): void {
    for (const tensor of [hidden, ...projections]) releaseTensor(gpu, tensor);
  }

  /** Keys and values of every layer from captured hidden states (B, S, V); they serve every action step. */
  prepareContext(hiddens: readonly Tensor[], mask?: Tensor): VideoContext {
    return this.#tower.prepareContext(hiddens, mask);
  }

  /**
   * Hidden states of several views (B·views, S, V), the view fastest, as one sequence an item (B, views·S, V).
   * @throws UsageError when the rows are not a multiple of the views
   */
  mergeViews(hidden: Tensor): Tensor {
    const { views, videoDim } = this.config;
    const [rows, tokens] = hidden.shape;
    if (rows % views !== 0)
      throw new UsageError(`${rows} rows of hidden states are not a multiple of ${views} views`);
    if (!this.#viewEmbedding) return hidden;
    const embedding = expand(this.#viewEmbedding.reshape(views, 1, videoDim), views, tokens, videoDim);
    return add(hidden, embedding).reshape(rows / views, views * tokens, videoDim);
  }

  /** One evaluation at the actions, times and video given. @throws UsageError when shapes do not fit together */
  forward(inputs: DecoderInputs): DecoderOutputs {
    const { predictsClean, epsilon } = this.config;
    const { times } = inputs;
    const modulation = scope("to_time_cond", () => this.#modulate(times));
    const { actions, embedded, memory } = this.#tower.forward(inputs, modulation);
    // The head runs over the few condition tokens too: cheaper than a dispatch that leaves them out.
    const prediction = linear(embedded, this.#head); // (B, N, A)
    const flow = toFlow(prediction, actions, times, predictsClean ? epsilon : undefined);
    return { flow, actions, embedded, memory };
  }

  /** (B, D): the embedded joint-state token, in front of registers and actions. */
  jointStateLatent(embedded: Tensor): Tensor {
    const { chunkLength, registers } = this.config;
    const at = embedded.dim(1) - chunkLength - registers - 1;
    return slice(embedded, 1, at, at + 1).reshape(embedded.dim(0), embedded.dim(2));
  }

  /** What the reference keeps of a layer's memory: keys and values (2, B, 2, N, h). */
  rememberedKeysValues(memory: ActionMemory, layer: number): Tensor {
    const { heads, headDim } = this.config;
    const projections = memory.projections[layer];
    const [batch, tokens] = projections.shape;
    const keysAt = heads * headDim;
    const both = slice(projections, 2, keysAt, keysAt + 2 * KV_HEADS * headDim);
    return permute(both.reshape(batch, tokens, 2, KV_HEADS, headDim), 2, 0, 3, 1, 4);
  }

  /** Actions (…, A) from the caller's units to the network's. */
  normalize(actions: Tensor): Tensor {
    return this.#tower.normalize(actions);
  }

  /** Actions (…, A) from the network's units to the caller's. */
  denormalize(actions: Tensor): Tensor {
    const { normalizer } = this.#tower;
    return normalizer ? scaleShift(actions, normalizer.std, normalizer.mean) : actions;
  }

  /** True actions and their like (…, A), on the CPU, from the caller's units to the network's. */
  toModel(values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
    return this.#tower.toModel(values);
  }

  /** Read-outs (…, A), on the CPU, from the network's units to the caller's. */
  toData(values: Float32Array): Float32Array {
    return this.#tower.toData(values);
  }

  /** Scale, shift and gate of all 3L norms for each distinct time: (R, 9·L·D), one product for all. */
  #modulate(times: DecoderInputs["times"]): Modulation {
    const [first, second, third] = this.#time;
    const a = linear(times.features, first.weight, { bias: first.bias, activation: "silu" }); // (R, C)
    const b = linear(a, second.weight, { bias: second.bias, activation: "silu" }); // (R, C)
    const c = linear(b, third.weight, { bias: third.bias }); // (R, C)
    return { table: linear(c, this.#modulation), rowOf: times.rowOf };
  }
}
