/**
 * Many pictures together, as reference.json of weights/digits defines it:
 *
 *   frechet_pca20, frechet_features32   Fréchet distance to the held-out pictures, of pixels in principal directions and of the classifier's features
 *   accuracy                            share that the classifier gives the class asked for
 *   within_class_variance_ratio         mean over classes of the summed variance of pixels (n − 1), over that of the held-out pictures
 *   nearest_training_distance           mean distance to the nearest picture of the training, in pixels from −1 to 1
 *
 * One Euler call of a class-conditional flow gives the mean of each class: every one is classified right, and there is no variety. So distances and
 * variance judge, and accuracy never does.
 *
 * Axes: n samples of P pixels, Q directions, F features, C classes. A sample's numbers are [P pixels | F features | C logits], pixels clamped to −1 … 1.
 */
import type { Population, PopulationMeasure, PopulationSamples } from "../../probe/subject.ts";
import type { Evaluation } from "./evaluation.ts";
import { frechetTo, moments } from "./frechet.ts";

/** Fewer in a class say nothing of its variance. */
const FEWEST_IN_A_CLASS = 10;

type Measured = (counts?: ArrayLike<number>) => Readonly<Record<string, number>>;

/** @returns the population, floors included, which classifies the real pictures on the GPU */
export async function populationOf(evaluation: Evaluation): Promise<Population> {
  const { classifier, directions, training, heldOut } = evaluation;
  const [P] = classifier.widths;
  const [F, C] = classifier.widths.slice(-2);
  const Q = directions.heldOut.mean.length;
  const measures: readonly PopulationMeasure[] = [
    { name: `frechet_pca${Q}`, words: `Fréchet distance of pixels in ${Q} principal directions`, target: 0 },
    { name: `frechet_features${F}`, words: `Fréchet distance of the classifier's ${F} features`, target: 0 },
    {
      name: "within_class_variance_ratio",
      words: "variance within a class over that of real pictures",
      target: 1,
    },
    { name: "accuracy", words: "share that the classifier gives the class asked for" },
    { name: "nearest_training_distance", words: "distance to the nearest training picture" },
  ];
  const [toDirections, toFeatures] = [frechetTo(directions.heldOut), frechetTo(evaluation.features.heldOut)];
  const spread = withinClass(heldOut.pixels, heldOut.labels, P)();
  const width = P + F + C;

  function of({ items, values }: PopulationSamples): Measured {
    const n = items.length;
    const part = (from: number, size: number): Float32Array => {
      const out = new Float32Array(n * size);
      for (let i = 0; i < n; i++)
        out.set(values.subarray(i * width + from, i * width + from + size), i * size);
      return out;
    };
    const pixels = part(0, P);
    const features = Float64Array.from(part(P, F));
    const projected = project(pixels, directions, P, Q);
    const right = Float64Array.from(items, (label, i) =>
      Number(largest(values.subarray(i * width + P + F, (i + 1) * width)) === label),
    );
    const nearest = nearestDistances(pixels, training.pixels, P);
    const variance = withinClass(pixels, items, P);
    return (counts) => ({
      [measures[0].name]: toDirections(moments(projected, Q, counts)),
      [measures[1].name]: toFeatures(moments(features, F, counts)),
      within_class_variance_ratio: variance(counts) / spread,
      accuracy: mean(right, counts),
      nearest_training_distance: mean(nearest, counts),
    });
  }

  const measured = async (pixels: Float32Array, labels: readonly number[]) => {
    const { features, logits } = await evaluation.classify(pixels);
    const values = new Float32Array(labels.length * width);
    labels.forEach((_, i) => {
      values.set(pixels.subarray(i * P, (i + 1) * P), i * width);
      values.set(features.subarray(i * F, (i + 1) * F), i * width + P);
      values.set(logits.subarray(i * C, (i + 1) * C), i * width + P + F);
    });
    return of({ items: labels, values })();
  };
  const means = classMeans(training.pixels, training.labels, P);
  return {
    ...{ features: width, measures, of, fewest: C * FEWEST_IN_A_CLASS },
    against: `${heldOut.labels.length} held-out pictures`,
    floors: [
      {
        words: `${training.labels.length} training pictures (what ${heldOut.labels.length} held-out ones leave of a distance)`,
        values: await measured(training.pixels, training.labels),
      },
      {
        words: "the mean picture of each class, over and over",
        values: await measured(means.pixels, means.labels),
      },
    ],
    worst: 1,
  };
}

/** (n, P) → (n, Q) */
function project(
  pixels: Float32Array,
  { projection, centre }: Evaluation["directions"],
  P: number,
  Q: number,
): Float64Array {
  const n = pixels.length / P;
  const out = new Float64Array(n * Q);
  for (let i = 0; i < n; i++)
    for (let q = 0; q < Q; q++) {
      let sum = 0;
      for (let p = 0; p < P; p++) sum += (pixels[i * P + p] - centre[p]) * projection[q * P + p];
      out[i * Q + q] = sum;
    }
  return out;
}

/** The variance of pixels, summed, in the mean over the classes that have two samples or more. */
function withinClass(
  pixels: Float32Array,
  labels: readonly number[],
  P: number,
): (counts?: ArrayLike<number>) => number {
  const classes = [...new Set(labels)];
  const rows = classes.map((label) => labels.flatMap((own, i) => (own === label ? [i] : [])));
  return (counts) => {
    const variances = rows.flatMap((members) => {
      const total = counts ? members.reduce((n, i) => n + counts[i], 0) : members.length;
      if (total < 2) return [];
      let variance = 0;
      for (let p = 0; p < P; p++) {
        let [sum, squares] = [0, 0];
        for (const i of members) {
          const x = pixels[i * P + p];
          const count = counts ? counts[i] : 1;
          sum += count * x;
          squares += count * x * x;
        }
        // Rounding may leave less than nothing of equal pixels.
        variance += Math.max(0, squares - (sum * sum) / total) / (total - 1);
      }
      return [variance];
    });
    return variances.reduce((sum, v) => sum + v, 0) / variances.length;
  };
}

/** (n) of each to the nearest of `real` */
function nearestDistances(pixels: Float32Array, real: Float32Array, P: number): Float64Array {
  return Float64Array.from({ length: pixels.length / P }, (_, i) => {
    let least = Number.POSITIVE_INFINITY;
    for (let j = 0; j < real.length; j += P) {
      let square = 0;
      for (let p = 0; p < P && square < least; p++) square += (pixels[i * P + p] - real[j + p]) ** 2;
      least = Math.min(least, square);
    }
    return Math.sqrt(least);
  });
}

function mean(values: Float64Array, counts?: ArrayLike<number>): number {
  let [sum, total] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const count = counts ? counts[i] : 1;
    sum += count * values[i];
    total += count;
  }
  return sum / total;
}

const largest = (values: Float32Array): number =>
  values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

/** Times that a mean picture is repeated: it has no variance of its own, and the divisor n − 1 then hardly matters. */
const REPEATS = 100;

function classMeans(
  pixels: Float32Array,
  labels: readonly number[],
  P: number,
): { readonly pixels: Float32Array; readonly labels: readonly number[] } {
  const classes = [...new Set(labels)].sort((a, b) => a - b);
  const out = new Float32Array(classes.length * REPEATS * P);
  classes.forEach((label, c) => {
    const sum = new Float64Array(P);
    let count = 0;
    labels.forEach((own, i) => {
      if (own !== label) return;
      count++;
      for (let p = 0; p < P; p++) sum[p] += pixels[i * P + p];
    });
    for (let r = 0; r < REPEATS; r++)
      out.set(
        sum.map((x) => x / count),
        (c * REPEATS + r) * P,
      );
  });
  return { pixels: out, labels: classes.flatMap((label) => new Array<number>(REPEATS).fill(label)) };
}
