/**
 * What judges samples: `eval.safetensors` beside the weights. A classifier, real pictures (those that the network was trained on, and held-out ones),
 * and the spaces in which distributions are compared.
 *
 * Axes: n pictures of P pixels, Q principal directions, F features of the classifier, C classes.
 */
import { FormatError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { record } from "../../gpu/recording.ts";
import { ReluClassifier } from "../../networks/relu-classifier/classifier.ts";
import { createTensor, readTensor, releaseTensor, sizeOf } from "../../tensor/tensor.ts";
import { toFloat32 } from "../../weights/convert.ts";
import { WeightLoader } from "../../weights/loader.ts";
import type { TensorSource } from "../../weights/source.ts";
import { readWholeNumbers } from "../../weights/whole-numbers.ts";
import type { Moments } from "./frechet.ts";
import { fromLevels, type Pictures } from "./pictures.ts";

/** Pictures as states hold them, with their classes. */
export interface RealPictures {
  /** (n, P), −1 to 1 */
  readonly pixels: Float32Array;
  /** (n) */
  readonly labels: readonly number[];
}

export interface Evaluation {
  readonly classifier: ReluClassifier;
  readonly training: RealPictures;
  readonly heldOut: RealPictures;
  /** of pixels: (Q, P) directions, their origin, and the held-out pictures there */
  readonly directions: {
    readonly projection: Float32Array;
    readonly centre: Float32Array;
    readonly heldOut: Moments;
  };
  /** of the classifier's features: the held-out pictures there */
  readonly features: { readonly heldOut: Moments };
  /** What the classifier says of pictures (n, P): features (n, F) and logits (n, C). */
  classify(pixels: Float32Array): Promise<{ readonly features: Float32Array; readonly logits: Float32Array }>;
  release(): void;
}

/**
 * Reads it and loads the classifier.
 * @param shape of a sample
 * @throws FormatError for a tensor that is missing or does not fit, WeightsError for weights that do not
 */
export async function openEvaluation(
  gpu: Gpu,
  source: TensorSource,
  {
    pictures,
    shape,
    classes,
  }: { readonly pictures: Pictures; readonly shape: readonly number[]; readonly classes: number },
): Promise<Evaluation> {
  const P = sizeOf(shape);
  const loader = WeightLoader.from(gpu, source);
  loader.ignore(/(training|heldout|pca)\./);
  const classifier = new ReluClassifier(loader, source.tensors, "classifier", source.name);
  const [F, C] = classifier.widths.slice(-2);
  if (classifier.widths[0] !== P || C !== classes)
    throw new FormatError(
      `${source.name}: its classifier takes ${classifier.widths[0]} pixels and tells ${C} classes apart; the model's pictures have ${P} pixels and ${classes} classes.`,
    );
  const floats = async (name: string, ...expected: number[]): Promise<Float32Array> => {
    const info = source.tensors.get(name);
    if (info?.dtype !== "F32" || info.shape.join() !== expected.join()) {
      const has = info ? `${info.dtype} [${info.shape.join(", ")}]` : "missing";
      throw new FormatError(`${source.name}: "${name}" is ${has}, expected F32 [${expected.join(", ")}].`);
    }
    return toFloat32(await source.read(name), "F32");
  };
  const Q = source.tensors.get("pca.projection")?.shape[0] ?? 0;
  const momentsOf = async (name: string, D: number): Promise<Moments> => ({
    mean: Float64Array.from(await floats(`heldout.${name}.mean`, D)),
    covariance: Float64Array.from(await floats(`heldout.${name}.covariance`, D, D)),
  });
  const real = async (name: string): Promise<RealPictures> => {
    const n = source.tensors.get(`${name}.labels`)?.shape[0] ?? 0;
    const labels = await readWholeNumbers(source, `${name}.labels`, [n]);
    const levels = await readWholeNumbers(source, `${name}.images`, [n, ...shape]);
    const beyond = levels.find((level) => level > pictures.top);
    const strange = labels.find((label) => label < 0 || label >= classes);
    if (beyond !== undefined || strange !== undefined)
      throw new FormatError(
        `${source.name}: "${name}" has ${beyond === undefined ? `the class ${strange}, of ${classes}` : `a pixel of ${beyond}, of 0 to ${pictures.top}`}.`,
      );
    return { labels, pixels: fromLevels(levels, pictures) };
  };
  const evaluation = {
    classifier,
    training: await real("training"),
    heldOut: await real("heldout"),
    directions: {
      projection: await floats("pca.projection", Q, P),
      centre: await floats("pca.centre", P),
      heldOut: await momentsOf("pca", Q),
    },
    features: { heldOut: await momentsOf("feat", F) },
  };
  await loader.load();
  return {
    ...evaluation,
    classify: async (pixels) => {
      const x = createTensor(gpu, [pixels.length / P, P], pixels, "pictures to be classified");
      const replay = await record(gpu, "classify", () => classifier.forward(x));
      try {
        await replay.run();
        const { features, logits } = replay.outputs;
        return { features: await readTensor(gpu, features), logits: await readTensor(gpu, logits) };
      } finally {
        replay.dispose();
        releaseTensor(gpu, x);
      }
    },
    release: () => loader.release(),
  };
}
