/** One invocation an output: the second reference, and the floor every other variant must beat. */
import { convolutionVariant } from "./program.ts";

export const naive = convolutionVariant({
  name: "naive",
  plan: ({ pixels, channels }) => ({ form: {}, perFrame: pixels * channels }),
  main: () => /* wgsl */ `
  let frame = outFrameOf(group);
  let at = indexInFrame(group, lane);
  let n = at % p.columns;
  let m = at / p.columns;
  if (frame >= p.batch * p.outFrames || m >= p.outHeight * p.outWidth) { return; }
  let row = m / p.outWidth * p.strideH;
  let column = m % p.outWidth * p.strideW;
  var sum = 0.0;
  var tap = rowOfW(n);
  for (var a = 0u; a < p.kernelT; a++) {
    let source = frameOf(frame % p.outFrames, a);
    for (var i = 0u; i < p.kernelH; i++) {
      for (var j = 0u; j < p.kernelW; j++) {
        let pixel = pixelOf(frame / p.outFrames * p.frames + u32(max(source, 0)), row + i, column + j);
        if (source >= 0 && pixel.inside) {
          for (var c = 0u; c < p.channels; c++) { sum += xEnd(pixel.at, c / 4u)[c % 4u] * w4(tap + c / 4u)[c % 4u]; }
        }
        tap += (p.channels + 3u) / 4u;
      }
    }
  }
  store(frame, m, n, sum);`,
});
