/**
 * Digits for browsers that compute none: the reference's samples as the bytes of their pixels, which lie beside the page as
 * digits/recorded.safetensors. vite.config.ts makes them of weights/digits.
 *
 * Axes: B samples, C channels, H rows, W columns.
 */
import { FormatError } from "../../src/errors.ts";
import { type Pictures, readNormalisation, toBytes } from "../../src/systems/meanflow/pictures.ts";
import { bytesSource } from "../../src/weights/blob.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { encodeSafetensors, openSafetensors, type TensorToWrite } from "../../src/weights/safetensors.ts";
import type { TensorSource } from "../../src/weights/source.ts";
import type { RuleView } from "./protocol.ts";

export interface RecordedDigits {
  /** (C, H, W) */
  readonly shape: readonly [number, number, number];
  /** rows of a class, in their order */
  readonly rowsOf: (label: number) => readonly number[];
  readonly classes: number;
  /** One picture (C, H, W): the noise, or what stands after `calls` calls by a rule. */
  readonly picture: (of: "noise" | RuleView["name"], calls: number, row: number) => Uint8Array;
}

/** As model.json says it. */
export interface Described {
  readonly image: { readonly channels: number; readonly height: number; readonly width: number } & {
    readonly normalisation: string;
  };
}

/**
 * @param reference "average.N" and "instant.N", (B, C, H, W), of the first rows of the noise
 * @param start "noise" (rows, C, H, W) and "labels" (rows)
 */
export async function encodeRecorded(
  reference: TensorSource,
  start: TensorSource,
  { image }: Described,
): Promise<Uint8Array> {
  const { channels, height: rows, width: columns, normalisation } = image;
  const pictures: Pictures = { channels, rows, columns, ...readNormalisation(normalisation, "model.json") };
  const sets = [...reference.tensors.keys()];
  const [B] = reference.tensors.get(sets[0])!.shape;
  const size = channels * rows * columns;
  const bytesOf = async (source: TensorSource, name: string): Promise<TensorToWrite> => {
    const states = toFloat32(await source.read(name), source.tensors.get(name)!.dtype);
    const data = toBytes(states.subarray(0, B * size), pictures);
    return { name, dtype: "U8", shape: [B, channels, rows, columns], data };
  };
  const stored = new BigInt64Array(Uint8Array.from(await start.read("labels")).buffer);
  const labels = Uint8Array.from(stored.subarray(0, B), Number);
  return encodeSafetensors([
    ...(await Promise.all(sets.map((name) => bytesOf(reference, name)))),
    await bytesOf(start, "noise"),
    { name: "labels", dtype: "U8", shape: [B], data: labels },
  ]);
}

/** @throws FormatError when the bytes are no such recording */
export async function readRecorded(bytes: Uint8Array): Promise<RecordedDigits> {
  const file = await openSafetensors(bytesSource(bytes, "recorded.safetensors"));
  const shape = file.tensors.get("noise")?.shape;
  if (shape?.length !== 4 || !file.tensors.has("labels"))
    throw new FormatError("recorded.safetensors has no noise and labels. Build the page anew.");
  const [, C, H, W] = shape;
  const labels = await file.read("labels");
  const names = [...file.tensors.keys()];
  const values = new Map(
    await Promise.all(names.map(async (name) => [name, await file.read(name)] as const)),
  );
  const size = C * H * W;
  return {
    shape: [C, H, W],
    classes: 1 + Math.max(...labels),
    rowsOf: (label) => [...labels.keys()].filter((row) => labels[row] === label),
    picture: (of, calls, row) => {
      const set = values.get(of === "noise" ? of : `${of}.${calls}`);
      if (!set) throw new FormatError(`recorded.safetensors has nothing after ${calls} calls by ${of}.`);
      return set.subarray(row * size, (row + 1) * size);
    },
  };
}
