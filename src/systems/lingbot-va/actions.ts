/** A chunk's actions: as tokens (F·n, A), as the reference lays them out (A, F, n), and as the robot takes them, (positions, used channels). */
import type { LingbotModel } from "./model.ts";

/** (A, F, n) → (F·n, A) */
export function actionTokens(
  { actionShape: [A, F, n] }: LingbotModel,
  grid: Float32Array,
): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: A * F * n }, (_, i) => grid[(i % A) * F * n + Math.floor(i / A)]);
}

/** (F·n, A) → (A, F, n) */
export function actionGrid(
  { actionShape: [A, F, n] }: LingbotModel,
  tokens: Float32Array,
): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    { length: A * F * n },
    (_, i) => tokens[(i % (F * n)) * A + Math.floor(i / (F * n))],
  );
}

/** Actions of a chunk that begins at frame `start`: those of the first frame of all are no part of it. */
export const chunkPositions = ({ actionShape: [, F, n] }: LingbotModel, start: number): number =>
  (start === 0 ? F - 1 : F) * n;

/** (F·n, A) → (positions, used) */
export function usedActions(
  model: LingbotModel,
  tokens: Float32Array,
  start: number,
): Float32Array<ArrayBuffer> {
  const { actionShape, config } = model;
  const [A, F, n] = actionShape;
  const used = config.usedChannels;
  const positions = chunkPositions(model, start);
  const first = F * n - positions;
  return Float32Array.from(
    { length: positions * used.length },
    (_, i) => tokens[(first + Math.floor(i / used.length)) * A + used[i % used.length]],
  );
}

/** (positions, used) → (F·n, A), zero everywhere else */
export function tokensOf(
  model: LingbotModel,
  actions: Float32Array,
  start: number,
): Float32Array<ArrayBuffer> {
  const { actionShape, config } = model;
  const [A, F, n] = actionShape;
  const used = config.usedChannels;
  const first = F * n - chunkPositions(model, start);
  const tokens = new Float32Array(F * n * A);
  actions.forEach((value, i) => {
    tokens[(first + Math.floor(i / used.length)) * A + used[i % used.length]] = value;
  });
  return tokens;
}
