/** What a tap and its reading take on the GPU. */
import { BYTES_PER_ELEMENT } from "../../tensor/tensor.ts";
import { actionBranches } from "./action-denoiser.ts";
import type { LingbotModel } from "./model.ts";

/** @param history tokens of the episode that are seen beside the chunk's */
export function readingBytes(model: LingbotModel, history: number): { tap: number; readRow: number } {
  const { video, action } = model.tokens;
  const token =
    2 * model.transformer.config.layers * model.width * BYTES_PER_ELEMENT.f32 * actionBranches(model);
  return { tap: token * video + BYTES_PER_ELEMENT.f32 * video, readRow: token * (history + video + action) };
}
