/**
 * The actor of flow steering (lucidrains mimic-video `create_actor_from`, `FlowSteering`; docs/references.md, "steering"): the same
 * tower without times, fed with learned queries, gives a Gaussian over the noise that the action decoder starts from.
 *
 * Axes: B batch, n actions of width A, N = conditions + n tokens.
 */
import { expand, slice } from "../../kernels/copy.ts";
import { gaussian } from "../../kernels/elementwise.ts";
import { linear } from "../../kernels/linear.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { ActionConfig } from "./config.ts";
import { ActionTower, type TowerInputs, type VideoContext } from "./tower.ts";

/** Two (B, n, A) tensors. */
export interface NoiseDistribution {
  readonly mean: Tensor;
  readonly logVariance: Tensor;
}

export class Actor {
  readonly config: ActionConfig;
  readonly #tower: ActionTower;
  readonly #queries: Tensor;
  readonly #head: Matrix;

  /** @param config of the action decoder that the actor was made from */
  constructor(config: ActionConfig, w: WeightLoader) {
    const model = w.within("model");
    this.config = config;
    const { chunkLength, actionDim, dim, bodies, body } = config;
    this.#tower = new ActionTower(config, false, model);
    this.#queries = w.tensor(this.#tower.ownKey("action_queries"), [chunkLength, actionDim]);
    for (let e = 0; e < bodies; e++) if (e !== body) w.ignore(new RegExp(`action_queries\\.${e}$`));
    this.#head = model.linear(`${this.#tower.ownKey("to_pred")}.0.weight`, 2 * actionDim, dim);
    if (config.views > 1) model.ignore(/view_emb$/);
  }

  /** See `ActionDecoder.prepareContext`; the actor has projections of its own. */
  prepareContext(hiddens: readonly Tensor[], mask?: Tensor): VideoContext {
    return this.#tower.prepareContext(hiddens, mask);
  }

  /** Records the distribution of the noise. @throws UsageError when shapes do not fit together */
  forward(
    inputs: Pick<TowerInputs, "jointState" | "context" | "taskIds" | "advantageRows" | "bodyCond">,
  ): NoiseDistribution {
    const { chunkLength, actionDim } = this.config;
    const batch = inputs.jointState.dim(0);
    const actions = expand(this.#queries.reshape(1, chunkLength, actionDim), batch, chunkLength, actionDim);
    const { embedded } = this.#tower.forward({ ...inputs, actions });
    const tokens = embedded.dim(1);
    const own = slice(embedded, 1, tokens - chunkLength, tokens);
    // Channels are pairs (mean, log variance), one an action dimension.
    const pairs = linear(own, this.#head).reshape(batch, chunkLength, actionDim, 2);
    const [mean, logVariance] = [0, 1].map((part) =>
      slice(pairs, 3, part, part + 1).reshape(batch, chunkLength, actionDim),
    );
    return { mean, logVariance };
  }

  /**
   * Records the noise to start from: mean + e^(½·logVariance) · draw, to be given to the sampler.
   * @param draw (B, n, A) from the standard Gaussian
   */
  steer({ mean, logVariance }: NoiseDistribution, draw: Tensor): Tensor {
    return gaussian(mean, logVariance, draw);
  }
}
