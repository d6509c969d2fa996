/**
 * For adapters without subgroups: one invocation owns 8 pixels × 8 channels, as in linear/tile.ts. Sums of a tap, at most 64
 * channels of it, go to a second accumulator.
 */
import { FOUR_OF_W } from "../terms.ts";
import { convolutionVariant } from "./program.ts";

export const tile = convolutionVariant({
  name: "tile",
  plan: ({ pixels, channels }) => ({ form: {}, perFrame: Math.ceil(pixels / 8) * Math.ceil(channels / 8) }),
  functions: () => /* wgsl */ `
${FOUR_OF_W}
struct Four { at: array<Pixel, 4> }

// Four channels of four pixels, one pixel a column.
fn pixels4(four: Four, n: u32) -> mat4x4f {
  var pixels: mat4x4f;
  for (var i = 0u; i < 4u; i++) {
    let pixel = four.at[i];
    pixels[i] = select(vec4f(), xEnd(pixel.at, n), pixel.inside);
  }
  return pixels;
}
// Where tap (i, j) of output pixels m to m + 3 reads.
fn fourOfX(frame: u32, m: u32, i: u32, j: u32) -> Four {
  var four: Four;
  for (var e = 0u; e < 4u; e++) {
    let pixel = pixelIndex(m + e);
    four.at[e] = pixelOf(frame, pixel / p.outWidth * p.strideH + i, pixel % p.outWidth * p.strideW + j);
  }
  return four;
}
fn storeTile(frame: u32, m: u32, n: u32, tile: mat4x4f) {
  for (var i = 0u; i < 4u; i++) { store4(frame, m + i, n, tile[i]); }
}`,
  main: () => /* wgsl */ `
  let groups = (p.columns + 7u) / 8u;
  let frame = outFrameOf(group);
  let tile = indexInFrame(group, lane);
  let n = tile % groups * 8u;
  let m = tile / groups * 8u;
  if (frame >= p.batch * p.outFrames || m >= p.outHeight * p.outWidth) { return; }
  let left = fourOfW(n); let right = fourOfW(n + 4u);
  let depth = (p.channels + 3u) / 4u; // groups of four channels
  var sum00 = mat4x4f(); var sum01 = mat4x4f();
  var sum10 = mat4x4f(); var sum11 = mat4x4f();
  for (var a = 0u; a < p.kernelT; a++) {
    let source = frameOf(frame % p.outFrames, a);
    if (source < 0) { continue; }
    let read = frame / p.outFrames * p.frames + u32(source);
    for (var ij = 0u; ij < p.kernelH * p.kernelW; ij++) {
      let upper = fourOfX(read, m, ij / p.kernelW, ij % p.kernelW);
      let lower = fourOfX(read, m + 4u, ij / p.kernelW, ij % p.kernelW);
      let tap = (a * p.kernelH * p.kernelW + ij) * depth;
      for (var c0 = 0u; c0 < depth; c0 += 16u) {
        var part00 = mat4x4f(); var part01 = mat4x4f();
        var part10 = mat4x4f(); var part11 = mat4x4f();
        for (var c = c0; c < min(c0 + 16u, depth); c++) {
          let a0 = pixels4(upper, c); let a1 = pixels4(lower, c);
          let b0 = terms4(left, tap + c); let b1 = terms4(right, tap + c);
          part00 += b0 * a0; part01 += b1 * a0;
          part10 += b0 * a1; part11 += b1 * a1;
        }
        sum00 += part00; sum01 += part01;
        sum10 += part10; sum11 += part11;
      }
    }
  }
  storeTile(frame, m, n, sum00); storeTile(frame, m, n + 4u, sum01);
  storeTile(frame, m + 4u, n, sum10); storeTile(frame, m + 4u, n + 4u, sum11);`,
});
