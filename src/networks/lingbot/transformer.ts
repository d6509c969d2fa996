/**
 * LingBot-VA's transformer (LeRobot `WanTransformer3DModel` of its policy `lingbot_va`; docs/references.md, "LingBot-VA"): Wan's blocks on
 * tokens of a latent video or of actions, each stream with a map of its own at both ends and an embedding of its own times. Streams see one
 * another through keys and values that calls leave in a cache.
 *
 * Axes: B items, N tokens of a call, D width, R distinct times, S text rows, C latent channels, A numbers of an action.
 */
import { UsageError } from "../../errors.ts";
import { recording, scope } from "../../gpu/recording.ts";
import { attention } from "../../kernels/attention.ts";
import { copyBox } from "../../kernels/copy.ts";
import type { Rotary } from "../../kernels/qk-norm.ts";
import { around } from "../../kernels/rows.ts";
import { showShape, Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { type Attend, type BlockContext, WanBlock } from "../wan/block.ts";
import { widthOf } from "../wan/config.ts";
import { type Dense, dense, TextEmbedder, through, TimeEmbedder } from "../wan/embedders.ts";
import { Head } from "../wan/head.ts";
import type { Workspace } from "./cache.ts";
import type { LingbotConfig } from "./config.ts";

export type Stream = "video" | "action";

/** Keys and values of a text for every block, (B, S, D) each. */
export type TextContext = readonly BlockContext[];

export interface LingbotInput {
  readonly stream: Stream;
  /** (B, N, C·p_h·p_w) patches of latents, the channel slowest; or (B, N, A) actions */
  readonly tokens: Tensor;
  /** (R, timeDim), from `timeSinusoids` */
  readonly sinusoids: Tensor;
  /** (B·N) u32: the row of sinusoids of each token */
  readonly rowOf: Tensor;
  /** of N tokens */
  readonly angles: Rotary;
  /** of B items, or of fewer: then each serves as many consecutive ones */
  readonly text: TextContext;
  /** what the tokens see besides themselves, and where their keys and values go; default: nothing, nowhere */
  readonly workspace?: Workspace;
  /** blocks behind which the residual stream is wanted, 0-based */
  readonly capture?: readonly number[];
}

export interface LingbotOutput {
  /** (B, N, p_h·p_w·C), the channel fastest, or (B, N, A): the velocity, noise − data */
  readonly velocity: Tensor;
  /** block number → (B, N, D) */
  readonly captured: ReadonlyMap<number, Tensor>;
}

/** The ends of one stream. */
interface Ends {
  readonly in: Dense;
  readonly out: Dense;
  readonly time: TimeEmbedder;
}

/** Weights and forward pass; methods record operations and must be called inside `record`. */
export class LingbotTransformer {
  readonly config: LingbotConfig;
  readonly #text: TextEmbedder;
  readonly #ends: Readonly<Record<Stream, Ends>>;
  readonly #blocks: readonly WanBlock[];
  readonly #head: Head;

  /** Asks for the weights by the policy's keys without `transformer.`. */
  constructor(config: LingbotConfig, w: WeightLoader) {
    const { inChannels, outChannels, actionDim, patchSize, timeDim, textDim, epsilon } = config;
    const [, ph, pw] = patchSize;
    const D = widthOf(config);
    const [video, action] = [w.within("condition_embedder"), w.within("condition_embedder_action")];
    this.config = config;
    this.#text = new TextEmbedder(video, textDim, D);
    // Files have it; both streams read the text that the video's has embedded.
    action.ignore(/text_embedder\./);
    this.#ends = {
      video: {
        in: dense(w, "patch_embedding_mlp", D, inChannels * ph * pw),
        out: dense(w, "proj_out", outChannels * ph * pw, D),
        time: new TimeEmbedder(video, timeDim, D),
      },
      action: {
        in: dense(w, "action_embedder", D, actionDim),
        out: dense(w, "action_proj_out", actionDim, D),
        time: new TimeEmbedder(action, timeDim, D),
      },
    };
    this.#blocks = Array.from(
      { length: config.layers },
      (_, i) => new WanBlock(config, w.within(`blocks.${i}`)),
    );
    this.#head = new Head(w, D, epsilon);
  }

  /** Keys and values of a text (B, S, textDim) for every block. Rows of zeros behind it are attended to, and are no zeros any more then. */
  textContext(text: Tensor): TextContext {
    const embedded = scope("condition_embedder", () => this.#text.forward(text));
    return this.#blocks.map((block, i) => scope(`blocks.${i}`, () => block.context(embedded)));
  }

  /** One evaluation. @throws UsageError when tokens, times or positions do not fit one another, or there is no room behind what is held */
  forward(input: LingbotInput): LingbotOutput {
    const { stream, tokens, sinusoids, rowOf, angles, text, workspace, capture = [] } = input;
    const ends = this.#ends[stream];
    const [B, N] = tokens.shape;
    if (rowOf.size !== B * N || angles.cos.rows !== N)
      throw new UsageError(
        `LingBot-VA: ${rowOf.size} times and ${angles.cos.rows} positions for ${stream} tokens ${showShape(tokens.shape)}`,
      );
    const { temb, modulation } = scope(`${stream} times`, () => ends.time.forward(sinusoids));
    let x = scope(`${stream} tokens`, () => through(tokens, ends.in)); // (B, N, D)
    const captured = new Map<number, Tensor>();
    this.#blocks.forEach((block, i) => {
      const attend = workspace && this.#attendWith(workspace, i);
      x = scope(`blocks.${i}`, () => block.forward(x, { modulation, rowOf }, angles, text[i], attend));
      if (capture.includes(i)) captured.set(i, x);
    });
    return {
      velocity: scope(`${stream} velocity`, () => this.#head.forward(x, temb, rowOf, ends.out)),
      captured,
    };
  }

  /** The first `at` tokens and the call's own, which are written behind them; nothing is hidden but what the mask says. */
  #attendWith({ keys, values, at, mask }: Workspace, block: number): Attend {
    const { heads, headDim } = this.config;
    return (q, own) => {
      const [B, N] = q.shape;
      const [k, v] = [itemsOf(keys[block], B), itemsOf(values[block], B)];
      if (at + N > k.dim(1))
        throw new UsageError(`${N} tokens behind ${at} do not fit into ${showShape(k.shape)}`);
      writeTokens(own.k, k, at);
      writeTokens(own.v, v, at);
      return attention({ tensor: q }, { tensor: k }, { tensor: v }, { heads, headDim, keys: at + N, mask });
    };
  }
}

/** The first items of a tensor, as a view. */
export const itemsOf = (tensor: Tensor, items: number): Tensor =>
  new Tensor([items, ...tensor.shape.slice(1)], tensor.dtype, tensor.storage, tensor.offset);

/** Tokens (B, N, D) from token `at` of each item of `into` (B, room, D) on; item by item where all of them exceed a binding. */
function writeTokens(x: Tensor, into: Tensor, at: number): void {
  const { gpu } = recording();
  const [B, N, D] = x.shape;
  const room = into.dim(1);
  if (into.bytes <= gpu.maxBindingBytes) {
    copyBox(x, into, [B, N * D], { strides: [N * D, 1] }, { start: at * D, strides: [room * D, 1] });
    return;
  }
  for (let b = 0; b < B; b++) {
    const place = around(gpu, into, { from: b * room + at, to: b * room + at + N });
    copyBox(x, place.view, [N * D], { start: b * N * D, strides: [1] }, { start: place.at, strides: [1] });
  }
}
