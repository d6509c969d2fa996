/**
 * The ends of the Wan transformer: latents to tokens, and tokens to a velocity. Axes: B batch, C channels, T frames, H and W latent rows
 * and columns; t, h, w the same in patches, N = t·h·w tokens of width D; R distinct times.
 */
import { UsageError } from "../../errors.ts";
import { concat, permute } from "../../kernels/copy.ts";
import { add } from "../../kernels/elementwise.ts";
import { modulatedNorm } from "../../kernels/norm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { type Dense, through } from "./embedders.ts";

export type PatchSize = readonly [number, number, number];

/** (t, h, w) of latents in patches. @throws UsageError when they do not divide */
export function tokenGrid([, , T, H, W]: readonly number[], [, ph, pw]: PatchSize): [number, number, number] {
  const grid: [number, number, number] = [T, H / ph, W / pw];
  if (grid.some((n) => !Number.isInteger(n)))
    throw new UsageError(`latents of ${H}×${W} do not divide into patches of ${ph}×${pw}`);
  return grid;
}

/** (B, C, T, H, W) → (B, N, C·p_h·p_w): the channel is the slowest of a token's numbers */
export function patches(latents: Tensor, size: PatchSize): Tensor {
  const [, ph, pw] = size;
  const [B, C] = latents.shape;
  const [t, h, w] = tokenGrid(latents.shape, size);
  const x = latents.reshape(B, C, t, h, ph, w, pw);
  return permute(x, 0, 2, 3, 5, 1, 4, 6).reshape(B, t * h * w, C * ph * pw);
}

/** (B, N, p_h·p_w·C) → (B, C, T, H, W): here the channel is the fastest */
export function unpatched(
  tokens: Tensor,
  [t, h, w]: readonly [number, number, number],
  [, ph, pw]: PatchSize,
): Tensor {
  const B = tokens.dim(0);
  const x = tokens.reshape(B, t, h, w, ph, pw, -1);
  return permute(x, 0, 6, 1, 2, 4, 3, 5).reshape(B, -1, t, h * ph, w * pw);
}

/** LN(x)·(1 + m1) + m0 with m = table + the time's own vector, then a linear map. */
export class Head {
  readonly #table: Tensor;
  readonly #epsilon: number;
  readonly #width: number;

  constructor(w: WeightLoader, width: number, epsilon: number) {
    this.#table = w.tensor("scale_shift_table", [1, 2, width]);
    this.#epsilon = epsilon;
    this.#width = width;
  }

  /** x (B, N, D), temb (R, D), the row of each token (B·N) → (B, N, numbers of a token) */
  forward(x: Tensor, temb: Tensor, rowOf: Tensor, out: Dense): Tensor {
    const table = add(concat([temb, temb], 1), this.#table); // (R, 2·D)
    const y = modulatedNorm(x, "layer", this.#epsilon, { table, rowOf }, { shift: 0, scale: this.#width });
    return through(y, out);
  }
}
