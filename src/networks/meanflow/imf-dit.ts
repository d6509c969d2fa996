/**
 * Improved MeanFlow (Lyy-iiis/imeanflow): a transformer that is told its conditions as tokens before those of the picture, without
 * modulation. Times: 0 data, 1 noise, state at t; of the times it sees t − r only. Guidance is an input: its strength ω as 1 − 1/ω, and the
 * interval of times in which it holds.
 *
 *   x ← x + attention(RMS(x)·w₁) ⊙ attn_scale;  x ← x + W₂(silu(W₁ y) ⊙ W₃ y) ⊙ mlp_scale,  y = RMS(x)·w₂
 *
 * Axes: B pictures, P tokens of conditions and N patches, S = P + N, D = heads · d width.
 */
import { UsageError } from "../../errors.ts";
import { attention } from "../../kernels/attention.ts";
import { concat, expand, slice } from "../../kernels/copy.ts";
import { multiply, scaleShift } from "../../kernels/elementwise.ts";
import { gather } from "../../kernels/gather.ts";
import { linear } from "../../kernels/linear.ts";
import { modulate } from "../../kernels/modulate.ts";
import { norm } from "../../kernels/norm.ts";
import { qkNorm, type Rotary } from "../../kernels/qk-norm.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import { constant, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { ImfDiTConfig } from "./config.ts";
import { Convolution, Linear, TimeEmbedder, toPixels, unpatchify } from "./layers.ts";
import {
  checkState,
  classRows,
  durations,
  type Feature,
  hears,
  type MeanFlowNetwork,
  type Rates,
  sinusoids,
  sinusoidTangents,
  type Told,
  type Velocity,
} from "./network.ts";

const EPSILON = 1e-6;
const SINUSOIDS = 256;
/** What stands between the name of a linear map and its weight. */
const WRAPPED = "._flax_linear";

const rms = (x: Tensor, weight: Tensor): Tensor => norm(x, { kind: "rms", epsilon: EPSILON, weight });

/** The angle of position n and pair i: n · 10000^(−2i/d). */
function rotary(positions: number, headDim: number): Rotary {
  const half = headDim / 2;
  const table = (of: (angle: number) => number, name: string): Tensor =>
    constant(
      [positions, half],
      Float32Array.from({ length: positions * half }, (_, k) =>
        of(Math.floor(k / half) * 10000 ** ((-2 * (k % half)) / headDim)),
      ),
      name,
    );
  return { cos: table(Math.cos, "cosines"), sin: table(Math.sin, "sines"), pairs: "neighbours" };
}

class Block {
  readonly #heads: { readonly heads: number; readonly headDim: number };
  readonly #w: Readonly<Record<"q" | "k" | "v" | "out" | "w1" | "w2" | "w3", Matrix>>;
  readonly #gains: Readonly<Record<"norm1" | "norm2" | "q" | "k" | "attention" | "mlp", Tensor>>;

  constructor(w: WeightLoader, { width: D, heads, hidden }: ImfDiTConfig) {
    const headDim = D / heads;
    const matrix = (key: string, out: number, inner: number) =>
      w.linear(`${key}${WRAPPED}.weight`, out, inner);
    this.#heads = { heads, headDim };
    this.#w = {
      ...{ q: matrix("attn.q_proj", D, D), k: matrix("attn.k_proj", D, D), v: matrix("attn.v_proj", D, D) },
      out: matrix("attn.out_proj", D, D),
      w1: matrix("mlp.w1", hidden, D),
      w2: matrix("mlp.w2", D, hidden),
      w3: matrix("mlp.w3", hidden, D),
    };
    this.#gains = {
      ...{ norm1: w.tensor("norm1.weight", [D]), norm2: w.tensor("norm2.weight", [D]) },
      ...{ q: w.tensor("attn.q_norm.weight", [headDim]), k: w.tensor("attn.k_norm.weight", [headDim]) },
      ...{ attention: w.tensor("attn_scale", [D]), mlp: w.tensor("mlp_scale", [D]) },
    };
  }

  /** x (B, S, D) */
  forward(x: Tensor, angles: Rotary): Tensor {
    const { heads } = this.#heads;
    const { q, k, v, out, w1, w2, w3 } = this.#w;
    const gains = this.#gains;
    const y = rms(x, gains.norm1);
    const queries = qkNorm(linear(y, q), heads, gains.q, EPSILON, angles); // (B, S, D)
    const keys = qkNorm(linear(y, k), heads, gains.k, EPSILON, angles);
    const mixed = attention({ tensor: queries }, { tensor: keys }, { tensor: linear(y, v) }, this.#heads);
    x = scaleShift(linear(mixed, out), gains.attention, x);

    const z = rms(x, gains.norm2);
    const risen = multiply(linear(z, w1, { activation: "silu" }), linear(z, w3)); // (B, S, hidden)
    return scaleShift(linear(risen, w2), gains.mlp, x);
  }
}

/** The learned rows of a condition's tokens, and what embeds the condition. */
interface Condition {
  readonly name: string;
  /** (tokens, D) */
  readonly rows: Tensor;
  readonly embed: (feature: Tensor) => Tensor;
}

/** The last blocks and the way back to a picture. */
interface Head {
  readonly blocks: readonly Block[];
  readonly gain: Tensor;
  readonly out: Linear;
}

export class ImfDiT implements MeanFlowNetwork {
  readonly stateTime = "t";
  readonly state: readonly number[];
  readonly #config: ImfDiTConfig;
  readonly #patches: Convolution;
  /** in their order before the picture */
  readonly #conditions: readonly Condition[];
  readonly #shared: readonly Block[];
  readonly #u: Head;
  readonly #v: Head | undefined;

  /** @param w keys without the prefix `net.` of the published files */
  constructor(config: ImfDiTConfig, w: WeightLoader) {
    const { size, patch, channels, width: D, classes, intervalTokens, twoHeads } = config;
    this.#config = config;
    this.state = [channels, size, size];
    this.#patches = new Convolution(w, "x_embedder.proj", channels, D, patch, { stride: patch, padding: 0 });
    const table = w.tensor("y_embedder.embedding_table._flax_embedding.weight", [classes + 1, D]);
    const timed = (name: string, tokens: string, count: number, embedder: string): Condition => {
      const mlp = new TimeEmbedder(w, `${embedder}.mlp`, SINUSOIDS, D, WRAPPED);
      return { name, rows: w.tensor(tokens, [count, D]), embed: (feature) => mlp.forward(feature) };
    };
    const classRows = w.tensor("class_tokens", [config.classTokens, D]);
    this.#conditions = [
      { name: "labels", rows: classRows, embed: (labels) => gather(table, labels) },
      timed("omega", "omega_tokens", config.omegaTokens, "omega_embedder"),
      timed("tMin", "t_min_tokens", intervalTokens, "cfg_t_start_embedder"),
      timed("tMax", "t_max_tokens", intervalTokens, "cfg_t_end_embedder"),
      timed("duration", "time_tokens", config.timeTokens, "h_embedder"),
    ];
    const blocks = (key: string, count: number): Block[] =>
      Array.from({ length: count }, (_, i) => new Block(w.within(`${key}.${i}`), config));
    const head = (name: "u" | "v"): Head => ({
      blocks: blocks(`${name}_heads`, config.head),
      gain: w.tensor(`${name}_final_layer.norm.weight`, [D]),
      out: new Linear(w, `${name}_final_layer.linear${WRAPPED}`, D, patch ** 2 * channels),
    });
    this.#shared = blocks("shared_blocks", config.shared);
    this.#u = head("u");
    if (twoHeads) this.#v = head("v");
    // Without blocks of its own the second head's last layer means nothing; the files of inference keep it.
    else w.ignore(/v_final_layer\./);
  }

  features(told: Told): Readonly<Record<string, Feature>> {
    hears("imf_dit", told, "labels", "omega", "tMin", "tMax");
    const { omega, tMin, tMax } = told;
    if (!omega || !tMin || !tMax)
      throw new UsageError(
        "imf_dit is told omega, tMin and tMax: the guidance is an input of this network (ω = 1: none)",
      );
    const of = (values: ArrayLike<number>) => sinusoids(values, SINUSOIDS, "cosine first");
    return {
      labels: classRows("imf_dit", told, this.#config.classes, true),
      ...{ omega: of(Array.from(omega, (w) => 1 - 1 / w)), tMin: of(tMin), tMax: of(tMax) },
      duration: of(durations(told)),
    };
  }

  featureTangents(told: Told, rates: Rates): Readonly<Record<string, Feature>> {
    const [times, moving] = [durations(told), durations(rates)];
    return { duration: sinusoidTangents(times, moving, SINUSOIDS, "cosine first") };
  }

  forward(x: Tensor, features: Readonly<Record<string, Tensor>>): Velocity {
    checkState("imf_dit", x, this.state);
    const { width: D, heads } = this.#config;
    const B = x.dim(0);
    const prefix = this.#conditions.map(({ name, rows, embed }) => {
      const everywhere = expand(rows.reshape(1, -1, D), B, rows.dim(0), D);
      return modulate(everywhere, { table: embed(features[name]), shift: 0 }); // (B, tokens, D)
    });
    const patches = this.#patches.forward(toPixels(x)).reshape(B, -1, D);
    const sequence = concat([...prefix, patches], 1); // (B, S, D)
    const angles = rotary(sequence.dim(1), D / heads);
    const shared = this.#shared.reduce((y, block) => block.forward(y, angles), sequence);
    const u = this.#finish(shared, this.#u, angles, patches.dim(1));
    return this.#v ? { u, v: this.#finish(shared, this.#v, angles, patches.dim(1)) } : { u };
  }

  #finish(shared: Tensor, { blocks, gain, out }: Head, angles: Rotary, patches: number): Tensor {
    const { patch, size } = this.#config;
    const sequence = blocks.reduce((y, block) => block.forward(y, angles), shared);
    const S = sequence.dim(1);
    const tokens = slice(sequence, 1, S - patches, S); // (B, N, D)
    return unpatchify(out.forward(rms(tokens, gain)), patch, size / patch);
  }
}
