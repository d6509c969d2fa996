/** What PyTorch found on the toy's episodes, as reference.json has it. */
import { expect } from "vitest";

export interface Reference {
  video_axis_per_episode: Record<"mse_to_truth" | "mse_to_last", number[][]>;
}

/** Every error of these episodes, of every probed step and against both references, within 0.01 %. */
export function expectErrors(result: Reference, reference: Reference, episodes: readonly number[]): void {
  for (const axis of ["mse_to_truth", "mse_to_last"] as const) {
    expect(result.video_axis_per_episode[axis].length).toBe(episodes.length);
    episodes.forEach((episode, e) => {
      reference.video_axis_per_episode[axis][episode].forEach((truth, k) => {
        const ours = result.video_axis_per_episode[axis][e][k];
        const where = `${axis}, episode ${episode}, step ${k}`;
        expect(Math.abs(ours - truth), where).toBeLessThanOrEqual(1e-4 * truth);
      });
    });
  }
}
