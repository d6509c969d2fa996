/**
 * The T5 encoder through little GPU memory: one layer's weights at a time, all prompts carried through it, then the next. T5-11B's
 * encoder is 19.5 GB in float32, a layer of it 0.8 GB.
 *
 * Axes: B prompts of a batch, S tokens, d model width, F feed-forward width, H heads of width d_kv.
 */
import { FormatError, UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { record, type Replay } from "../../gpu/recording.ts";
import { assign } from "../../kernels/copy.ts";
import { gather } from "../../kernels/gather.ts";
import { norm } from "../../kernels/norm.ts";
import { constant, createTensor, readTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import { WeightLoader } from "../../weights/loader.ts";
import { asFloat32, piecesOf } from "../../weights/pieces.ts";
import type { TensorSource } from "../../weights/source.ts";
import type { T5Config } from "./encoder.ts";
import { relativeBuckets } from "./buckets.ts";
import { sharedBias, T5Layer } from "./layer.ts";

export interface EncodeOptions {
  /** after each layer, with the layers done and in all */
  readonly onLayer?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Prompts that go through a layer together, padded to the longest. */
interface Batch {
  /** which prompts */
  readonly prompts: readonly number[];
  /** (B, S, d) */
  readonly x: Tensor;
  /** (B, S) */
  readonly mask: Tensor;
}

const EMBEDDING_KEY = "shared.weight";

/** Of a whole T5: its decoder, and the embedding under its other names. */
const NOT_OF_THE_ENCODER = [/decoder\./, /lm_head\./, /encoder\.embed_tokens\.weight$/];

/** Bytes of the widest intermediate result; more tokens go in several batches. */
const WIDEST_BYTES = 1 << 27;

export class StreamedT5 {
  readonly config: T5Config;
  readonly #gpu: Gpu;
  readonly #source: TensorSource;

  /**
   * Compares the checkpoint with the configuration; reads no tensor.
   * @param source encoder or whole T5, under transformers' names
   * @throws WeightsError naming every missing, unexpected and wrongly shaped key of the encoder
   */
  constructor(gpu: Gpu, config: T5Config, source: TensorSource) {
    this.config = config;
    this.#gpu = gpu;
    this.#source = source;
    const all = this.#loader("refuse");
    for (let i = 0; i < config.layers; i++) new T5Layer(config, all, i);
    this.#ends(all);
    all.tensor(EMBEDDING_KEY, [config.vocabulary, config.width]);
    all.ignore(...NOT_OF_THE_ENCODER);
    all.compare();
  }

  /**
   * Token ids of each prompt → (S, d) float32 of each, in order, without padding.
   * @throws UsageError for an id beyond the vocabulary or a prompt without tokens; AdapterError when memory runs out
   */
  async encode(
    prompts: readonly (readonly number[])[],
    options: EncodeOptions = {},
  ): Promise<Float32Array[]> {
    const { vocabulary, width, layers } = this.config;
    for (const ids of prompts) {
      const bad = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
      if (bad !== undefined)
        throw new UsageError(`token id ${bad} is not in the vocabulary of ${vocabulary}`);
      if (ids.length === 0) throw new UsageError("a prompt without tokens cannot be encoded");
    }
    const rows = await this.#embeddings(new Set(prompts.flat()));
    const ends = this.#loader("ignore");
    const { shared, finalNorm } = this.#ends(ends);
    const batches: Batch[] = [];
    try {
      for (const indices of this.#grouped(prompts)) batches.push(this.#batch(indices, prompts, rows));
      await ends.load({ signal: options.signal });
      for (let i = 0; i < layers; i++) {
        const loader = this.#loader("ignore");
        const layer = new T5Layer(this.config, loader, i);
        try {
          await loader.load({ signal: options.signal });
          await this.#each(batches, `T5 layer ${i}`, ({ x, mask }) => {
            const [, S] = x.shape;
            const { buckets: count, maxDistance } = this.config;
            const buckets = constant([2 * S - 1], relativeBuckets(S, count, maxDistance), "buckets");
            const relativeBias = gather(shared ?? layer.relativeBias!, buckets);
            assign(x, layer.forward(x, { relativeBias, mask }));
          });
        } finally {
          loader.release();
        }
        options.onLayer?.(i + 1, layers);
      }
      await this.#each(batches, "T5 final norm", ({ x }) => {
        assign(x, norm(x, { kind: "rms", epsilon: this.config.epsilon, weight: finalNorm }));
      });
      const found: Float32Array[] = [];
      for (const { prompts: indices, x } of batches) {
        const values = await readTensor(this.#gpu, x);
        const stride = x.dim(1) * width;
        indices.forEach((prompt, b) => {
          found[prompt] = values.slice(b * stride, b * stride + prompts[prompt].length * width);
        });
      }
      return found;
    } finally {
      ends.release();
      for (const { x, mask } of batches) {
        releaseTensor(this.#gpu, x);
        releaseTensor(this.#gpu, mask);
      }
    }
  }

  #loader(unexpected: "refuse" | "ignore"): WeightLoader {
    return WeightLoader.from(this.#gpu, this.#source, { unexpected });
  }

  /** What is not part of a layer and stays. */
  #ends(w: WeightLoader): { shared: Tensor | undefined; finalNorm: Tensor } {
    const finalNorm = w.tensor("encoder.final_layer_norm.weight", [this.config.width]);
    return { shared: sharedBias(this.config, w), finalNorm };
  }

  async #each(batches: readonly Batch[], label: string, body: (batch: Batch) => void): Promise<void> {
    for (const batch of batches) {
      const replay: Replay<void> = await record(this.#gpu, label, () => {
        body(batch);
      });
      try {
        await replay.run();
        await this.#gpu.idle();
      } finally {
        replay.dispose();
      }
    }
  }

  /** Prompts of similar length together, few enough tokens that no intermediate result is too large. */
  #grouped(prompts: readonly (readonly number[])[]): number[][] {
    const { feedForward, heads, headDim } = this.config;
    const widest = Math.min(WIDEST_BYTES, this.#gpu.maxBindingBytes);
    const mostTokens = Math.floor(widest / (4 * Math.max(feedForward, heads * headDim)));
    const byLength = prompts.map((_, i) => i).sort((a, b) => prompts[b].length - prompts[a].length);
    const groups: number[][] = [];
    for (const i of byLength) {
      const last = groups.at(-1);
      if (last && (last.length + 1) * prompts[last[0]].length <= mostTokens) last.push(i);
      else groups.push([i]);
    }
    return groups;
  }

  #batch(
    indices: readonly number[],
    prompts: readonly (readonly number[])[],
    rows: ReadonlyMap<number, Float32Array>,
  ): Batch {
    const { width } = this.config;
    const S = prompts[indices[0]].length;
    const x = new Float32Array(indices.length * S * width);
    const mask = new Uint32Array(indices.length * S);
    indices.forEach((prompt, b) => {
      prompts[prompt].forEach((id, s) => {
        x.set(rows.get(id)!, (b * S + s) * width);
        mask[b * S + s] = 1;
      });
    });
    return {
      prompts: indices,
      x: createTensor(this.#gpu, [indices.length, S, width], x, "T5 hidden states"),
      mask: createTensor(this.#gpu, [indices.length, S], mask, "T5 mask"),
    };
  }

  /** The rows of some ids; the table itself streams by. */
  async #embeddings(ids: ReadonlySet<number>): Promise<ReadonlyMap<number, Float32Array>> {
    const { width } = this.config;
    const { dtype, bytes, shape } = this.#source.tensors.get(EMBEDDING_KEY)!;
    const rows = new Map<number, Float32Array>();
    let first = 0;
    for await (const piece of piecesOf(this.#source, EMBEDDING_KEY, bytes / shape[0])) {
      const values = asFloat32(piece, dtype);
      const count = values.length / width;
      for (const id of ids) {
        if (id >= first && id < first + count)
          rows.set(id, values.slice((id - first) * width, (id - first + 1) * width));
      }
      first += count;
      if (rows.size === ids.size) break;
    }
    if (rows.size < ids.size)
      throw new FormatError(`${this.#source.name}: ${EMBEDDING_KEY} ended after row ${first}.`);
    return rows;
  }
}
