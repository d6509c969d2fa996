/**
 * Time grids. Video flow time τ runs from 1 (noise) to 0 (clean), action flow time t from 0 (noise) to 1 (clean).
 */
import { UsageError } from "../errors.ts";

const f32 = Math.fround;

/**
 * `steps + 1` times from `start` to `end` in torch's float32 linspace, which counts from both ends towards the middle.
 * @throws UsageError unless `steps` is a positive whole number
 */
export function linspace(start: number, end: number, steps: number): number[] {
  if (!Number.isInteger(steps) || steps < 1)
    throw new UsageError(`${steps} steps: at least 1 is needed, and a whole number`);
  const step = f32((end - start) / steps);
  const middle = Math.floor((steps + 1) / 2);
  return Array.from({ length: steps + 1 }, (_, i) =>
    f32(i < middle ? start + f32(step * i) : end - f32(step * (steps - i))),
  );
}

/** A video grid from noise: τ_k = 1 − (1 − target)·k/N, k = 0…N. */
export const videoGrid = (steps: number, target = 0): number[] => linspace(1, target, steps);

/** @throws UsageError unless the times move strictly one way */
export function checkGrid(grid: readonly number[]): void {
  const direction = Math.sign(grid[1] - grid[0]);
  for (let i = 1; i < grid.length; i++) {
    if (Math.sign(grid[i] - grid[i - 1]) !== direction || direction === 0) {
      throw new UsageError(`the time grid does not move one way: ${grid[i - 1]} is followed by ${grid[i]}`);
    }
  }
}
