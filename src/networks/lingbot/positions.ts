/**
 * Where LingBot-VA's tokens stand. Video tokens on the patch grid, frames counted through the episode; the j-th of n action tokens of a frame
 * a fraction (j + 1)/(n + 1) behind it, at row and column −1.
 */
import { gridPositions, type Position } from "../wan/positions.ts";

/** Positions of F·h·w video tokens from frame `first` on. */
export const videoPositions = (first: number, frames: number, rows: number, columns: number): Position[] =>
  gridPositions(frames, rows, columns, first);

/** Positions of F·n action tokens from frame `first` on. */
export const actionPositions = (first: number, frames: number, perFrame: number): Position[] =>
  Array.from({ length: frames * perFrame }, (_, i): Position => {
    const j = i % perFrame;
    return [first + Math.floor(i / perFrame) + (j + 1) / (perFrame + 1), -1, -1];
  });
