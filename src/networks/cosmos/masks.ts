/** The padding mask, which models of the 1.0 and 2.x series take as an extra channel. */

/** A mask (…, rows, columns) in pixels, resized to latents by the nearest pixel (floor), as torchvision does. */
export function nearestMask(
  mask: Float32Array,
  shape: readonly number[],
  height: number,
  width: number,
): Float32Array<ArrayBuffer> {
  const [rows, columns] = shape.slice(-2);
  return Float32Array.from({ length: height * width }, (_, i) => {
    const row = Math.floor((Math.floor(i / width) * rows) / height);
    const column = Math.floor(((i % width) * columns) / width);
    return mask[row * columns + column];
  });
}
