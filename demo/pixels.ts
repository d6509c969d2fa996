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
