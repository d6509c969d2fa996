/** Video as the kernels have it, (3, frames, rows, columns) in [0, 1], as RGBA frames one after another. */
export function rgbaFrames(video: Float32Array, frames: number, from = 0): Uint8ClampedArray<ArrayBuffer> {
  const size = video.length / 3 / frames;
  const out = new Uint8ClampedArray((frames - from) * size * 4);
  for (let f = from; f < frames; f++) {
    for (let i = 0; i < size; i++) {
      const at = ((f - from) * size + i) * 4;
      for (let c = 0; c < 3; c++) out[at + c] = 255 * video[(c * frames + f) * size + i];
      out[at + 3] = 255;
    }
  }
  return out;
}

/**
 * How far imagined frames are from recorded ones: mean squared difference of pixels in [0, 1].
 * @param frames RGBA, one after another
 * @param recorded (frames, 3, rows, columns) in 0..255
 * @returns undefined where fewer were recorded than imagined
 */
export function pictureError(
  frames: Uint8ClampedArray,
  recorded: Uint8Array,
  [rows, columns]: readonly [number, number],
): number | undefined {
  const size = rows * columns;
  const count = frames.length / (4 * size);
  if (recorded.length < count * 3 * size) return undefined;
  let sum = 0;
  for (let f = 0; f < count; f++)
    for (let c = 0; c < 3; c++)
      for (let i = 0; i < size; i++)
        sum += ((frames[(f * size + i) * 4 + c] - recorded[(f * 3 + c) * size + i]) / 255) ** 2;
  return sum / (3 * count * size);
}
