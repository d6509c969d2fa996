/**
 * How much worse than the last step a step may be and still count as not worse: a share of an error that needs no video,
 * because "90 % converged" means nothing without something that cannot act.
 */

/** The margin as a share of the floor's error to the truth. */
export const MARGIN_FRACTION = 0.05;

/** Errors to the truth that need no knowledge of the scene, in the order in which they give the margin. */
export type FloorName = "hold_still" | "dataset_mean" | "zeroed_context";

/** "option": it was asked for. */
export type MarginSource = "option" | FloorName;

export interface Floor {
  readonly name: FloorName;
  /** Mean squared error to the truth, squared normalised units. */
  readonly error: number;
}

export interface Margin {
  /** Squared normalised units. */
  readonly value: number;
  readonly source: MarginSource;
}

/**
 * @param asked squared normalised units; undefined: a share of the first floor.
 * @param floors those that are known, in the order above.
 * @returns null where nothing was asked and no floor is known.
 */
export function marginOf(asked: number | undefined, floors: readonly Floor[]): Margin | null {
  if (asked !== undefined) return { value: asked, source: "option" };
  if (floors.length === 0) return null;
  return { value: MARGIN_FRACTION * floors[0].error, source: floors[0].name };
}
