/**
 * For adapters with subgroups: the four invocations of a quad own 4·blocks pixels × 16 channels and hand pixels round by quad
 * swaps, as in linear/quads.ts. Sums of a tap, at most 32 channels of it, go to a second accumulator.
 */
import { ADD_OUTER, addQuads, QUAD, quadBlocks } from "../terms.ts";
import { each, list } from "../text.ts";
import { SUBGROUPS } from "../variants.ts";
import { convolutionVariant } from "./program.ts";

export const quads = convolutionVariant<{ readonly blocks: number }>({
  name: "quads",
  needs: SUBGROUPS,
  plan: ({ pixels, channels }) => {
    const blocks = quadBlocks(pixels);
    return {
      form: { blocks },
      perFrame: Math.ceil(pixels / (4 * blocks)) * Math.ceil(channels / 16) * 4,
    };
  },
  functions: () => /* wgsl */ `
${ADD_OUTER}
${QUAD}

fn x4Of(pixel: Pixel, i: u32) -> vec4f { return select(vec4f(), xEnd(pixel.at, i), pixel.inside); }`,
  main: ({ blocks }) => /* wgsl */ `
  let frame = outFrameOf(group);
  if (frame >= p.batch * p.outFrames) { return; }
  let corner = lane % 4u; // of the quad
  let tile = indexInFrame(group, lane) / 4u;
  let groups = (p.columns + 15u) / 16u;
  let n = tile % groups * 16u + corner * 4u;
  let m = tile / groups * ${4 * blocks}u;
  let w0 = rowOfW(n); let w1 = rowOfW(n + 1u); let w2 = rowOfW(n + 2u); let w3 = rowOfW(n + 3u);
${each(
  blocks,
  (i) => `  let pixel${i} = pixelIndex(m + ${4 * i}u + corner);
  let row${i} = pixel${i} / p.outWidth * p.strideH;
  let column${i} = pixel${i} % p.outWidth * p.strideW;
  var sum${i} = mat4x4f();`,
)}
  let depth = (p.channels + 3u) / 4u; // groups of four channels
  for (var a = 0u; a < p.kernelT; a++) {
    let source = frameOf(frame % p.outFrames, a);
    if (source < 0) { continue; }
    let read = frame / p.outFrames * p.frames + u32(source);
    for (var ij = 0u; ij < p.kernelH * p.kernelW; ij++) {
      let i = ij / p.kernelW;
      let j = ij % p.kernelW;
${each(blocks, (i) => `      let at${i} = pixelOf(read, row${i} + i, column${i} + j);`)}
      let tap = (a * p.kernelH * p.kernelW + ij) * depth;
      for (var c0 = 0u; c0 < depth; c0 += 8u) {
        let end = min(c0 + 8u, depth);
${each(blocks, (i) => `        var part${i} = mat4x4f();`)}
        for (var c = c0; c < end; c++) {
          let k = tap + c;
          let b0 = w4(w0 + k); let b1 = w4(w1 + k); let b2 = w4(w2 + k); let b3 = w4(w3 + k);
${each(blocks, (i) => `          let a${i} = x4Of(at${i}, c);`)}
${addQuads(blocks, "part")}
        }
${each(blocks, (i) => `        sum${i} += part${i};`)}
      }
    }
  }
  // In memory, so that one piece of text stores every pixel.
  var tiles = array(${list(blocks, (i) => `sum${i}`)});
  for (var r = 0u; r < ${4 * blocks}u; r++) {
    store4(frame, m + r / 4u * 4u + (corner ^ (r % 4u)), n, tiles[r / 4u][r % 4u]);
  }`,
});
