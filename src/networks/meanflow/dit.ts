/**
 * The transformer with adaptive layer norms (DiT, Peebles & Xie 2023), told t and t − r: the SiT of zhuyu-cs/MeanFlow (state at t) and the DiT
 * of kylevedder/DenoisingZoo, whose patches also hold planes of r and t (state at r).
 *
 *   c = E_t(t) + E_r(t − r) + class[y]
 *   x ← x + gate₁ ⊙ attention(LN(x)·(1 + scale₁) + shift₁);  x ← x + gate₂ ⊙ mlp(LN(x)·(1 + scale₂) + shift₂)
 *
 * Axes: B pictures of s × s patches, N = s², D width. Position embeddings are read from the weights.
 */
import { attention } from "../../kernels/attention.ts";
import { activation, add } from "../../kernels/elementwise.ts";
import { gatedResidual } from "../../kernels/gated-residual.ts";
import { gather } from "../../kernels/gather.ts";
import { type Modulation, modulatedNorm } from "../../kernels/norm.ts";
import { constant, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { DiTConfig } from "./config.ts";
import { Convolution, Linear, TimeEmbedder, toPixels, unpatchify, withTimePlanes } from "./layers.ts";
import {
  checkState,
  classRows,
  durations,
  each,
  type Feature,
  hears,
  type MeanFlowNetwork,
  type Rates,
  sinusoids,
  sinusoidTangents,
  type StateTime,
  type Told,
  type Velocity,
} from "./network.ts";

const EPSILON = 1e-6;
/** Columns of a time's sinusoids. */
const SINUSOIDS = 256;

/** Which row of the condition belongs to which token: (B·N) u32. */
function rowsOfTokens(batch: number, tokens: number): Tensor {
  const rows = Uint32Array.from({ length: batch * tokens }, (_, i) => Math.floor(i / tokens));
  return constant([rows.length], rows, "rows of the tokens");
}

class Block {
  readonly #heads: { readonly heads: number; readonly headDim: number };
  readonly #width: number;
  readonly #told: Linear;
  readonly #w: Readonly<Record<"qkv" | "proj" | "fc1" | "fc2", Linear>>;

  constructor(w: WeightLoader, { width: D, heads, hidden }: DiTConfig) {
    this.#width = D;
    this.#heads = { heads, headDim: D / heads };
    this.#told = new Linear(w, "adaLN_modulation.1", D, 6 * D);
    this.#w = {
      qkv: new Linear(w, "attn.qkv", D, 3 * D),
      proj: new Linear(w, "attn.proj", D, D),
      fc1: new Linear(w, "mlp.fc1", D, hidden),
      fc2: new Linear(w, "mlp.fc2", hidden, D),
    };
  }

  /** x (B, N, D), silu of the condition (B, D) */
  forward(x: Tensor, condition: Tensor, rowOf: Tensor): Tensor {
    const D = this.#width;
    const told: Modulation = { table: this.#told.forward(condition), rowOf }; // (B, 6·D)
    const { qkv, proj, fc1, fc2 } = this.#w;

    const tensor = qkv.forward(modulatedNorm(x, "layer", EPSILON, told, { shift: 0, scale: D })); // (B, N, 3·D)
    const mixed = attention({ tensor }, { tensor, offset: D }, { tensor, offset: 2 * D }, this.#heads);
    x = gatedResidual(x, proj.forward(mixed), told, 2 * D);

    const y = modulatedNorm(x, "layer", EPSILON, told, { shift: 3 * D, scale: 4 * D });
    const risen = fc1.forward(y, { activation: "geluTanh" }); // (B, N, hidden)
    return gatedResidual(x, fc2.forward(risen), told, 5 * D);
  }
}

export class DiT implements MeanFlowNetwork {
  readonly stateTime: StateTime;
  readonly state: readonly number[];
  readonly #config: DiTConfig;
  readonly #patches: Convolution;
  readonly #positions: Tensor;
  readonly #time: TimeEmbedder;
  readonly #duration: TimeEmbedder | undefined;
  readonly #classes: Tensor;
  readonly #blocks: readonly Block[];
  readonly #final: { readonly told: Linear; readonly out: Linear };

  constructor(config: DiTConfig, w: WeightLoader) {
    const { arch, size, patch, channels, width: D, depth, classes, nullClass, separateTimes } = config;
    const fused = arch === "zoo_dit";
    this.stateTime = fused ? "r" : "t";
    this.state = [channels, size, size];
    this.#config = config;
    const strided = { stride: patch, padding: 0 };
    this.#patches = fused
      ? new Convolution(w, "x_embedder", channels + 2, D, patch, strided)
      : new Convolution(w, "x_embedder.proj", channels, D, patch, strided);
    this.#positions = w.tensor("pos_embed", [1, (size / patch) ** 2, D]);
    this.#time = new TimeEmbedder(w, "t_embedder.mlp", SINUSOIDS, D);
    if (separateTimes) this.#duration = new TimeEmbedder(w, "r_embedder.mlp", SINUSOIDS, D);
    this.#classes = w.tensor("y_embedder.embedding_table.weight", [classes + Number(nullClass), D]);
    this.#blocks = Array.from({ length: depth }, (_, i) => new Block(w.within(`blocks.${i}`), config));
    this.#final = {
      told: new Linear(w, "final_layer.adaLN_modulation.1", D, 2 * D),
      out: new Linear(w, "final_layer.linear", D, patch ** 2 * channels),
    };
  }

  features(told: Told): Readonly<Record<string, Feature>> {
    const { arch, classes, nullClass, separateTimes } = this.#config;
    hears(arch, told, "labels");
    return {
      time: sinusoids(told.t, SINUSOIDS, "cosine first"),
      other: sinusoids(separateTimes ? durations(told) : told.r, SINUSOIDS, "cosine first"),
      labels: classRows(arch, told, classes, nullClass),
      ...(arch === "zoo_dit" && { r: each(told.r), t: each(told.t) }),
    };
  }

  featureTangents(told: Told, rates: Rates): Readonly<Record<string, Feature>> {
    const { arch, separateTimes } = this.#config;
    const of = (times: ArrayLike<number>, moving: ArrayLike<number>) =>
      sinusoidTangents(times, moving, SINUSOIDS, "cosine first");
    return {
      time: of(told.t, rates.t),
      other: separateTimes ? of(durations(told), durations(rates)) : of(told.r, rates.r),
      ...(arch === "zoo_dit" && { r: each(rates.r), t: each(rates.t) }),
    };
  }

  forward(x: Tensor, { time, other, labels, r, t }: Readonly<Record<string, Tensor>>): Velocity {
    const { arch, patch, size, width: D } = this.#config;
    checkState(arch, x, this.state);
    const B = x.dim(0);
    // Without separate embedders one sees both r and t.
    const times = add(this.#time.forward(time), (this.#duration ?? this.#time).forward(other));
    const condition = activation(add(times, gather(this.#classes, labels)), "silu"); // (B, D)

    const pixels = toPixels(x);
    const patches = this.#patches.forward(arch === "zoo_dit" ? withTimePlanes(pixels, r, t) : pixels);
    let tokens = add(patches.reshape(B, -1, D), this.#positions); // (B, N, D)
    const rowOf = rowsOfTokens(B, tokens.dim(1));
    for (const block of this.#blocks) tokens = block.forward(tokens, condition, rowOf);

    const told = { table: this.#final.told.forward(condition), rowOf }; // (B, 2·D)
    const normed = modulatedNorm(tokens, "layer", EPSILON, told, { shift: 0, scale: D });
    return { u: unpatchify(this.#final.out.forward(normed), patch, size / patch) };
  }
}
