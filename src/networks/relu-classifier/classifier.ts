/**
 * A classifier of linear layers with ReLU between them, as torch's Sequential stores it (`0`, `2`, `4` …): small, for pictures of a few pixels.
 *
 *   h₀ = x,  h_(i+1) = max(0, W_i h_i + b_i),  logits = W_L h_L + b_L
 *
 * Axes: B pictures, P their pixels, F features (what the last layer sees), C classes.
 */
import { FormatError } from "../../errors.ts";
import { linear } from "../../kernels/linear.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { TensorInfo } from "../../weights/source.ts";

export interface Classified {
  /** (B, F) */
  readonly features: Tensor;
  /** (B, C) */
  readonly logits: Tensor;
}

export class ReluClassifier {
  /** P, widths of the hidden layers, C */
  readonly widths: readonly number[];
  readonly #layers: readonly { readonly weight: Matrix; readonly bias: Tensor }[];

  /**
   * @param tensors of the file, of which shapes are taken
   * @throws FormatError when there are fewer than two layers, or they do not fit one another
   */
  constructor(w: WeightLoader, tensors: ReadonlyMap<string, TensorInfo>, prefix: string, name: string) {
    const shapes: (readonly number[])[] = [];
    for (let i = 0; tensors.has(`${prefix}.${i}.weight`); i += 2)
      shapes.push(tensors.get(`${prefix}.${i}.weight`)!.shape);
    const broken = shapes.findIndex(
      (shape, i) => shape.length !== 2 || (i > 0 && shape[1] !== shapes[i - 1][0]),
    );
    if (shapes.length < 2 || broken >= 0)
      throw new FormatError(
        `${name}: ${prefix}.0, ${prefix}.2 … are weights of ${shapes.map((shape) => `[${shape.join(", ")}]`).join(", ") || "no layer"}; expected at least two layers, each as wide as the one before gives`,
      );
    this.widths = [shapes[0][1], ...shapes.map(([out]) => out)];
    this.#layers = shapes.map(([out, inner], i) => ({
      weight: w.linear(`${prefix}.${2 * i}.weight`, out, inner),
      bias: w.tensor(`${prefix}.${2 * i}.bias`, [out]),
    }));
  }

  /** x (B, P) */
  forward(x: Tensor): Classified {
    const last = this.#layers.length - 1;
    const features = this.#layers
      .slice(0, last)
      .reduce((h, { weight, bias }) => linear(h, weight, { bias, activation: "relu" }), x);
    const { weight, bias } = this.#layers[last];
    return { features, logits: linear(features, weight, { bias }) };
  }
}
