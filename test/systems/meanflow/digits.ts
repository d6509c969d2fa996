/** The digits that ship, and what their reference says of them. */
import { readFileSync } from "node:fs";
import { openWeights } from "../../../src/weights/open.node.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
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

/** ‖a − b‖ / ‖b‖ */
export function relativeError(a: Float32Array, b: Float32Array): number {
  let [error, norm] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    error += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  return Math.sqrt(error / norm);
}
