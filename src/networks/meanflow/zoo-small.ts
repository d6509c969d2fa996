/**
 * The two smallest networks of the repository kylevedder/DenoisingZoo: layers with ReLU between them, over [x | plane of r | plane of t], and
 * no other use of time. Axes: B states; D their width, or C channels of H × W pixels.
 */
import { activation } from "../../kernels/elementwise.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { ZooCnnConfig, ZooMlpConfig } from "./config.ts";
import { Convolution, Linear, toPictures, toPixels, withTimePlanes } from "./layers.ts";
import {
  checkState,
  each,
  type Feature,
  hears,
  type MeanFlowNetwork,
  type Rates,
  type Told,
  type Velocity,
} from "./network.ts";

export class ZooMlp implements MeanFlowNetwork {
  readonly stateTime = "r";
  readonly state: readonly number[];
  readonly #layers: readonly Linear[];

  constructor({ features, hidden }: ZooMlpConfig, w: WeightLoader) {
    this.state = [features];
    this.#layers = [
      new Linear(w, "net.0", features + 2, hidden),
      new Linear(w, "net.2", hidden, hidden),
      new Linear(w, "net.4", hidden, features),
    ];
  }

  features(told: Told): Readonly<Record<string, Feature>> {
    hears("zoo_mlp", told);
    return { r: each(told.r), t: each(told.t) };
  }

  featureTangents(_: Told, rates: Rates): Readonly<Record<string, Feature>> {
    return { r: each(rates.r), t: each(rates.t) };
  }

  forward(x: Tensor, { r, t }: Readonly<Record<string, Tensor>>): Velocity {
    checkState("zoo_mlp", x, this.state);
    const last = this.#layers.length - 1;
    const relu = { activation: "relu" } as const;
    const u = this.#layers.reduce(
      (h, layer, i) => layer.forward(h, i < last ? relu : {}),
      withTimePlanes(x, r, t), // (B, D + 2)
    );
    return { u };
  }
}

export class ZooCnn implements MeanFlowNetwork {
  readonly stateTime = "r";
  readonly state: readonly number[];
  readonly #layers: readonly Convolution[];

  /** @param size rows and columns, which the configuration does not say and the weights do not need */
  constructor(config: ZooCnnConfig, w: WeightLoader, size: readonly [number, number]) {
    const { channels, out, hidden, layers, kernelSize } = config;
    this.state = [channels, ...size];
    this.#layers = Array.from({ length: layers }, (_, i) => {
      const [from, to] = [i === 0 ? channels + 2 : hidden, i === layers - 1 ? out : hidden];
      return new Convolution(w, `net.${2 * i}`, from, to, kernelSize);
    });
  }

  features(told: Told): Readonly<Record<string, Feature>> {
    hears("zoo_cnn", told);
    return { r: each(told.r), t: each(told.t) };
  }

  featureTangents(_: Told, rates: Rates): Readonly<Record<string, Feature>> {
    return { r: each(rates.r), t: each(rates.t) };
  }

  forward(x: Tensor, { r, t }: Readonly<Record<string, Tensor>>): Velocity {
    checkState("zoo_cnn", x, this.state);
    const last = this.#layers.length - 1;
    const y = this.#layers.reduce(
      (h, layer, i) => {
        const convolved = layer.forward(h);
        return i < last ? activation(convolved, "relu") : convolved;
      },
      withTimePlanes(toPixels(x), r, t),
    ); // (B, H, W, C + 2)
    return { u: toPictures(y) };
  }
}
