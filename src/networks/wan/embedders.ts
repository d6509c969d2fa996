/**
 * What the Wan transformer is told besides its latents: times, text, images. Axes: B batch, R distinct times, S text rows, I image tokens,
 * D width.
 */
import { scope } from "../../gpu/recording.ts";
import { linear } from "../../kernels/linear.ts";
import { activation } from "../../kernels/elementwise.ts";
import { norm } from "../../kernels/norm.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { LinearOptions } from "../../kernels/linear.ts";

/** A linear map with its bias. */
export interface Dense {
  readonly weight: Matrix;
  readonly bias: Tensor;
}

/** The weights `key.weight` and `key.bias`. */
export const dense = (w: WeightLoader, key: string, out: number, inner: number): Dense => ({
  weight: w.linear(`${key}.weight`, out, inner),
  bias: w.tensor(`${key}.bias`, [out]),
});

/** x·Wᵀ + b */
export const through = (x: Tensor, { weight, bias }: Dense, options: LinearOptions = {}): Tensor =>
  linear(x, weight, { ...options, bias });

/**
 * Sinusoids (R, width) of times in 0 … 1000: cosines, then sines, of t · 10000^(−k/half). In float64: diffusers' float32 angles are
 * off by up to 1e-4 rad near t = 1000.
 */
export function timeSinusoids(times: readonly number[], width: number): Float32Array<ArrayBuffer> {
  const half = width / 2;
  const values = new Float32Array(times.length * width);
  times.forEach((t, row) => {
    for (let k = 0; k < half; k++) {
      const angle = t * 10_000 ** (-k / half);
      values[row * width + k] = Math.cos(angle);
      values[row * width + half + k] = Math.sin(angle);
    }
  });
  return values;
}

/** Times embedded: what the head is modulated with, and what the blocks are. */
export interface EmbeddedTimes {
  /** (R, D) */
  readonly temb: Tensor;
  /** (R, 6·D): shift, scale and gate of the self-attention, then of the feed-forward, before a block's own table is added */
  readonly modulation: Tensor;
}

/** e = lin(silu(lin(s))), and 6·D numbers of silu(e). */
export class TimeEmbedder {
  readonly #in: Dense;
  readonly #out: Dense;
  readonly #projection: Dense;

  constructor(w: WeightLoader, timeDim: number, width: number) {
    this.#in = dense(w, "time_embedder.linear_1", width, timeDim);
    this.#out = dense(w, "time_embedder.linear_2", width, width);
    this.#projection = dense(w, "time_proj", 6 * width, width);
  }

  /** sinusoids (R, timeDim) */
  forward(sinusoids: Tensor): EmbeddedTimes {
    return scope("time_embedder", () => {
      const temb = through(through(sinusoids, this.#in, { activation: "silu" }), this.#out); // (R, D)
      return { temb, modulation: through(activation(temb, "silu"), this.#projection) };
    });
  }
}

/** lin(gelu(lin(c))), with the GELU's approximation */
export class TextEmbedder {
  readonly #in: Dense;
  readonly #out: Dense;

  constructor(w: WeightLoader, textDim: number, width: number) {
    this.#in = dense(w, "text_embedder.linear_1", width, textDim);
    this.#out = dense(w, "text_embedder.linear_2", width, width);
  }

  /** (B, S, textDim) → (B, S, D) */
  forward(text: Tensor): Tensor {
    return scope("text_embedder", () =>
      through(through(text, this.#in, { activation: "geluTanh" }), this.#out),
    );
  }
}

/** Of the norms around the image's linear maps; everywhere else it is the model's own. */
const IMAGE_EPSILON = 1e-5;

/** LN → lin → gelu → lin → LN */
export class ImageEmbedder {
  readonly #norms: readonly { readonly weight: Tensor; readonly bias: Tensor }[];
  readonly #in: Dense;
  readonly #out: Dense;

  constructor(w: WeightLoader, imageDim: number, width: number) {
    const image = w.within("image_embedder");
    this.#norms = [imageDim, width].map((channels, i) => ({
      weight: image.tensor(`norm${i + 1}.weight`, [channels]),
      bias: image.tensor(`norm${i + 1}.bias`, [channels]),
    }));
    this.#in = dense(image, "ff.net.0.proj", imageDim, imageDim);
    this.#out = dense(image, "ff.net.2", width, imageDim);
  }

  /** (B, I, imageDim) → (B, I, D) */
  forward(image: Tensor): Tensor {
    const [before, after] = this.#norms.map(
      (gains) => (x: Tensor) => norm(x, { kind: "layer", epsilon: IMAGE_EPSILON, ...gains }),
    );
    return scope("image_embedder", () =>
      after(through(through(before(image), this.#in, { activation: "gelu" }), this.#out)),
    );
  }
}
