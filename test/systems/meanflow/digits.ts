/** The digits that ship, and what their reference says of them. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { openWeights } from "../../../src/weights/open.node.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import type { Population } from "../../../src/probe/subject.ts";
import type { Evaluation } from "../../../src/systems/meanflow/evaluation.ts";
import type { Opened } from "../../../src/systems/system.ts";
import { meanFlowSystem } from "../../../src/systems/meanflow/system.ts";
import { testGpu } from "../../support/gpu.ts";

export const DIGITS = "weights/digits";

export interface ReferenceFigures {
  readonly frechet_pca20: number;
  readonly frechet_features32: number;
  readonly accuracy: number;
  readonly within_class_variance_ratio: number;
  readonly nearest_training_distance: number;
}

export const reference = JSON.parse(readFileSync(`${DIGITS}/reference.json`, "utf8")) as {
  readonly sets: Readonly<Record<string, ReferenceFigures>>;
  readonly floors: Readonly<Record<string, ReferenceFigures>>;
};

/** The model, loaded. */
export async function openDigits(): Promise<Opened> {
  const opened = await meanFlowSystem.open(await testGpu(), await openModelFolder(DIGITS), {});
  await opened.load({});
  return opened;
}

/** A tensor of one of the files as float32. */
export async function stored(file: string, name: string): Promise<Float32Array<ArrayBuffer>> {
  const source = await openWeights(`${DIGITS}/${file}.safetensors`);
  try {
    return Float32Array.from(toFloat32(await source.read(name), source.tensors.get(name)!.dtype));
  } finally {
    await source.close();
  }
}

/** Within 0.5 % of every figure, and of what is 0 or a share within its printed digits. */
export function expectFigures(found: Readonly<Record<string, number>>, expected: ReferenceFigures): void {
  for (const [name, value] of Object.entries(expected) as [string, number][]) {
    if (name === "torch_float32_relative_error") continue;
    expect(Math.abs(found[name] - value), `${name}: ${found[name]} for ${value}`).toBeLessThanOrEqual(
      Math.max(0.005 * Math.abs(value), 1e-4),
    );
  }
}

/** The measures of pictures (n, P), clamped as the reference does. */
export async function figuresOf(
  pixels: Float32Array,
  labels: readonly number[],
  evaluation: Evaluation,
  population: Population,
): Promise<Readonly<Record<string, number>>> {
  const clamped = pixels.map((x) => Math.min(1, Math.max(-1, x)));
  const { features, logits } = await evaluation.classify(clamped);
  const values = new Float32Array(labels.length * population.features);
  labels.forEach((_, i) => {
    const row = [
      clamped.subarray(i * 64, i * 64 + 64),
      features.subarray(i * 32, i * 32 + 32),
      logits.subarray(i * 10, i * 10 + 10),
    ];
    values.set(
      row.flatMap((part) => [...part]),
      i * 106,
    );
  });
  return population.of({ items: labels, values })();
}
