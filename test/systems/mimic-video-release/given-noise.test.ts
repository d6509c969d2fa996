/** Noise from a file: rows by episode and seed, and what does not fit, before anything is computed. */
import { expect, test } from "vitest";
import { FormatError, UsageError } from "../../../src/errors.ts";
import { givenNoise } from "../../../src/systems/mimic-video-release/given-noise.ts";
import { bytesSource } from "../../../src/weights/blob.ts";
import { encodeSafetensors, openSafetensors } from "../../../src/weights/safetensors.ts";
import { uniform } from "../../support/numbers.ts";

const [LATENTS, CHUNK] = [
  [2, 3, 1, 2],
  [4, 10],
];
type Tensors = Record<string, { shape: number[]; values: Float32Array<ArrayBuffer> }>;
const fitting = (): Tensors => ({
  video_noise: { shape: [3, 2, ...LATENTS], values: uniform(1, 72) },
  action_noise: { shape: [3, 1, ...CHUNK], values: uniform(2, 120) },
});

async function read(tensors: Tensors) {
  const list = Object.entries(tensors).map(([name, { shape, values }]) => {
    return { name, dtype: "F32" as const, shape, data: new Uint8Array(values.buffer) };
  });
  const source = await openSafetensors(bytesSource(await encodeSafetensors(list, {}), "noise.safetensors"));
  return givenNoise(source, 3, LATENTS, CHUNK);
}

test("rows by episode and seed", async () => {
  const tensors = fitting();
  const noise = await read(tensors);
  expect(noise.video(2, 1)).toEqual(tensors.video_noise.values.subarray(60, 72));
  expect(noise.action(1, 0)).toEqual(tensors.action_noise.values.subarray(40, 80));
  expect(() => noise.action(1, 1)).toThrow(UsageError);
  expect(() => noise.action(1, 1)).toThrow(/"action_noise" has 1 rows for an episode; seed 1 has none/);
});

test.each<[string, (tensors: Tensors) => void, RegExp]>([
  [
    "one missing",
    (t) => delete t.action_noise,
    /"action_noise" is missing, expected F32 \[3, seeds, 4, 10\]/,
  ],
  [
    "of other latents",
    (t) => (t.video_noise.shape = [3, 2, 3, 2, 1, 2]),
    /"video_noise" is F32 \[3, 2, 3, 2, 1, 2\], expected F32 \[3, seeds, 2, 3, 1, 2\]/,
  ],
  [
    "of other episodes",
    (t) => (t.video_noise.shape = [2, 3, ...LATENTS]),
    /expected F32 \[3, seeds, 2, 3, 1, 2\]/,
  ],
  [
    "not finite",
    (t) => (t.action_noise.values[85] = Number.POSITIVE_INFINITY),
    /"action_noise" of episode 2 holds Infinity, expected finite/,
  ],
])("%s", async (_, change, message) => {
  const tensors = fitting();
  change(tensors);
  await expect(read(tensors)).rejects.toThrow(FormatError);
  await expect(read(tensors)).rejects.toThrow(message);
});
