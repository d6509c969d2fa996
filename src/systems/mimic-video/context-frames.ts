/**
 * Which of the video the actions attend to (lucidrains mimic-video from 0.5.4 on; docs/references.md, "context frames"): a mask over
 * latent frames becomes one over the tokens of the hidden states, and imagined frames are never attended to.
 *
 * Axes: B batch, v views, f latent frames of the given video, F imagined ones, R tokens of a frame.
 */
import { UsageError } from "../../errors.ts";

/**
 * The mask over f latent frames that "the first `pixels` frames" stands for: the first ⌈pixels / compression⌉ of them. Latent frame 0 holds
 * one frame of pixels alone, so 5 frames at a compression of 4 are exactly two latent frames, and so are 6 to 8.
 * @throws UsageError for less than one frame
 */
export function leadingFrames(pixels: number, compression: number, f: number): boolean[] {
  if (!Number.isInteger(pixels) || pixels < 1)
    throw new UsageError(`${pixels} context frames; a positive whole number is needed`);
  const attended = Math.ceil(pixels / compression);
  return Array.from({ length: f }, (_, i) => i < attended);
}

/** The mask (f + F)·R over tokens of one item, frame after frame: 1 = attended to. */
export function attendedTokens(
  frames: readonly boolean[],
  imagined: number,
  tokensOfFrame: number,
): Uint8Array {
  const mask = new Uint8Array((frames.length + imagined) * tokensOfFrame);
  frames.forEach((attended, i) => {
    if (attended) mask.fill(1, i * tokensOfFrame, (i + 1) * tokensOfFrame);
  });
  return mask;
}
