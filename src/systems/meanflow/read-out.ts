/** Reading samples: by the classifier that ships with the model, or, where there is none, as they are. */
import { record, type Replay } from "../../gpu/recording.ts";
import { clamp } from "../../kernels/elementwise.ts";
import type { Classified } from "../../networks/relu-classifier/classifier.ts";
import type { Reading } from "../../probe/subject.ts";
import {
  copyTensor,
  createTensor,
  readTensor,
  releaseTensor,
  sizeOf,
  type Tensor,
} from "../../tensor/tensor.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Evaluation } from "./evaluation.ts";

/** The classifier on batches of B, recorded once: logits, and beside them what populations are counted of. */
export class ClassReader {
  readonly #gpu: Gpu;
  /** (B, P) */
  readonly #input: Tensor;
  readonly #replay: Replay<Classified & { readonly pixels: Tensor }>;

  private constructor(gpu: Gpu, input: Tensor, replay: Replay<Classified & { readonly pixels: Tensor }>) {
    this.#gpu = gpu;
    this.#input = input;
    this.#replay = replay;
  }

  static async record(gpu: Gpu, { classifier }: Evaluation, batch: number): Promise<ClassReader> {
    const input = createTensor(gpu, [batch, classifier.widths[0]], undefined, "samples to be read");
    try {
      const replay = await record(gpu, "classify samples", () => {
        const pixels = clamp(input, -1, 1);
        return { pixels, ...classifier.forward(pixels) };
      });
      return new ClassReader(gpu, input, replay);
    } catch (error) {
      releaseTensor(gpu, input);
      throw error;
    }
  }

  /** x (B, …shape) */
  async read(x: Tensor): Promise<Reading> {
    copyTensor(this.#gpu, x.reshape(...this.#input.shape), this.#input);
    await this.#replay.run();
    const { pixels, features, logits } = this.#replay.outputs;
    const parts = await Promise.all(
      [pixels, features, logits].map((tensor) => readTensor(this.#gpu, tensor)),
    );
    const [batch] = this.#input.shape;
    const widths = parts.map((part) => part.length / batch);
    const width = widths.reduce((sum, w) => sum + w, 0);
    const sample = new Float32Array(batch * width);
    for (let b = 0; b < batch; b++) {
      let at = b * width;
      parts.forEach((part, i) => {
        sample.set(part.subarray(b * widths[i], (b + 1) * widths[i]), at);
        at += widths[i];
      });
    }
    return { values: parts[2], sample };
  }

  dispose(): void {
    this.#replay.dispose();
    releaseTensor(this.#gpu, this.#input);
  }
}

/** How a sample is laid out as positions and dimensions: rows of a picture, each with its columns and channels; a vector is one row. */
export function layoutOfSamples(shape: readonly number[]): {
  readonly positions: number;
  readonly dimensions: number;
} {
  if (shape.length !== 3) return { positions: 1, dimensions: sizeOf(shape) };
  const [C, H, W] = shape;
  return { positions: H, dimensions: W * C };
}

/** (B, C, H, W) → (B, H, W·C) */
export function asRows(values: Float32Array, shape: readonly number[]): Float32Array {
  if (shape.length !== 3) return values;
  const [C, H, W] = shape;
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const [b, c] = [Math.floor(i / (C * H * W)), Math.floor(i / (H * W)) % C];
    const [y, x] = [Math.floor(i / W) % H, i % W];
    out[((b * H + y) * W + x) * C + c] = values[i];
  }
  return out;
}
