/** What was measured of a thousand samples of the digits, and what it means in sentences. */
import type { RuleView } from "./protocol.ts";
import { CALLS } from "./settings.ts";

/** Of a set of samples; `reference.json` defines each. */
export interface SetFigures {
  readonly frechet_pca20: number;
  readonly accuracy: number;
  /** that of the held-out images is 1 */
  readonly within_class_variance_ratio: number;
}

export interface Figures {
  readonly heldout_images: number;
  /** "average.N" and "instant.N" */
  readonly sets: Readonly<Record<string, SetFigures>>;
  readonly floors: Readonly<Record<string, SetFigures>>;
}

export const figuresOf = ({ sets }: Figures, rule: RuleView["name"], calls: number): SetFigures =>
  sets[`${rule}.${calls}`];

/** What real images of the training reach: the same digits, and what a finite number of them differs by. */
export const floorOf = ({ floors }: Figures): number =>
  floors["training images against held-out images"].frechet_pca20;

export const percent = (share: number): string => `${Math.round(100 * share)}\u00a0%`;

/** Two digits, as sampling moves the second. */
export const rounded = (distance: number): string => String(Number(distance.toPrecision(2)));

/** Samples that vary less than this within their class are all but its mean. */
const ALIKE = 0.05;

/** What is to be seen after `calls` calls, with the numbers. */
export function sentence(figures: Figures, calls: number): string {
  const [average, instant] = [figuresOf(figures, "average", calls), figuresOf(figures, "instant", calls)];
  const one = figuresOf(figures, "average", 1);
  const by = (at: SetFigures): string => rounded(at.frechet_pca20);
  const called = calls === 1 ? "One call" : `${calls} calls`;
  if (instant.within_class_variance_ratio < ALIKE)
    return (
      `${called} of the average velocity ${calls === 1 ? "draws" : "draw"} digits; as an Euler step the same network, from the same noise, draws the mean of each class: ` +
      `${percent(instant.within_class_variance_ratio)} of the variety that real digits have. A classifier takes ${percent(instant.accuracy)} of those for what they should be, so ` +
      "accuracy alone would call them the better ones; their distance from real digits says otherwise."
    );
  if (instant.frechet_pca20 > one.frechet_pca20)
    return (
      `${called}: Euler has come to a distance of ${by(instant)}, still further from real digits than one call of MeanFlow is (${by(one)}). ` +
      `Its digits have ${percent(instant.within_class_variance_ratio)} of the real variety; MeanFlow’s, with ${percent(average.within_class_variance_ratio)}, hardly change any more.`
    );
  return (
    `${called}: only now Euler (${by(instant)}) has passed one call of MeanFlow (${by(one)}), and both draw nearly the same digits. ` +
    `All these calls brought MeanFlow from ${by(one)} to ${by(average)}.`
  );
}

/** @throws when the figures have not those of every number of calls */
export function checkFigures(figures: Figures): Figures {
  for (const calls of CALLS)
    for (const rule of ["average", "instant"] as const)
      if (!figuresOf(figures, rule, calls)) throw new Error(`reference.json has no ${rule}.${calls}`);
  return figures;
}
