/** Experiments whose true answer is known: paired differences of independent episodes with mean 0. */
import { type Interval, mulberry32 } from "../../src/probe/statistics/bootstrap.ts";

export type Shape = "normal" | "t3" | "lognormal(1/2)" | "lognormal(1)";
export const SHAPES: readonly Shape[] = ["normal", "t3", "lognormal(1/2)", "lognormal(1)"];

/** Draws from a shape, with mean 0. */
export function draw(shape: Shape, seed: number): () => number {
  const random = mulberry32(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const lognormal = (sigma: number) => Math.exp(sigma * normal()) - Math.exp(sigma ** 2 / 2);
  return {
    normal,
    t3: () => normal() / Math.sqrt((normal() ** 2 + normal() ** 2 + normal() ** 2) / 3),
    "lognormal(1/2)": () => lognormal(0.5),
    "lognormal(1)": () => lognormal(1),
  }[shape];
}

/** How often intervals of `experiments` samples hold their true mean 0, and on which side they miss it. */
export interface Coverage {
  covers: number;
  /** the whole interval is above 0 */
  above: number;
  below: number;
  /** mean over the experiments */
  width: number;
}

export function coverageOf(
  interval: (values: Float64Array) => Interval | null,
  {
    shape,
    episodes,
    experiments,
    seed,
  }: { shape: Shape; episodes: number; experiments: number; seed: number },
): Coverage {
  const value = draw(shape, seed);
  const sample = new Float64Array(episodes);
  const found: Coverage = { covers: 0, above: 0, below: 0, width: 0 };
  for (let i = 0; i < experiments; i++) {
    for (let e = 0; e < episodes; e++) sample[e] = value();
    const { low, high } = interval(sample)!;
    found.width += (high - low) / experiments;
    found[low > 0 ? "above" : high < 0 ? "below" : "covers"] += 1 / experiments;
  }
  return found;
}
