/**
 * What the adapter can do at most, measured and not quoted: bytes a second through a plain copy, and float32 operations a
 * second of multiply-adds that never leave registers.
 */
import type { Gpu } from "../src/gpu/gpu.ts";
import { record } from "../src/gpu/recording.ts";
import { kernel } from "../src/kernels/kernel.ts";
import { createTensor, releaseTensor, result } from "../src/tensor/tensor.ts";
import { measure, type MeasureOptions, replaying, warmUpOf } from "./measure.ts";

export interface Roof {
  readonly flopPerSecond: number;
  readonly flopPerCpuSecond: number;
  readonly bytesPerSecond: number;
  readonly bytesPerCpuSecond: number;
}

const COPY = kernel({
  name: "roof copy",
  params: {},
  read: { x: "vec4f" },
  write: { y: "vec4f" },
  main: "  y[index] = x[index];",
});

const STEPS = 1024;
const ACCUMULATORS = 16;
const UNROLLED = 4;
/** A multiply and an add for each of four components. */
const FLOP_PER_INVOCATION = STEPS * UNROLLED * ACCUMULATORS * 4 * 2;

const each = (line: (i: number) => string): string =>
  Array.from({ length: ACCUMULATORS }, (_, i) => line(i)).join("\n");

/** Sixteen independent vec4 sums: enough to hide the latency of a multiply-add, few enough for the registers of a GPU. */
const MULTIPLY_ADD = kernel({
  name: "roof multiply-add",
  params: {},
  read: { x: "vec4f" },
  write: { y: "vec4f" },
  main: /* wgsl */ `
  let factor = x[0] * 0.5;
  let step = x[1];
${each((i) => `  var s${i} = step * ${i}.0;`)}
  for (var k = 0u; k < ${STEPS}u; k++) {
${Array.from({ length: UNROLLED }, () => each((i) => `    s${i} = fma(s${i}, factor, step);`)).join("\n")}
  }
  y[index] = ${Array.from({ length: ACCUMULATORS }, (_, i) => `s${i}`).join(" + ")};`,
});

/** Measures both roofs; a few seconds on a software adapter. */
export async function measureRoof(gpu: Gpu, options: MeasureOptions): Promise<Roof> {
  const { software } = gpu.adapter;
  const copied = (software ? 2 ** 22 : 2 ** 26) * 4;
  const groups = software ? 4 : 8192;
  const x = createTensor(gpu, [copied / 4], new Float32Array(copied / 4).fill(0.5), "roof");
  const run = async (name: string, dispatch: typeof COPY, bytes: number, workgroups: number) => {
    const replay = await record(gpu, name, () => {
      const y = result([bytes / 4], "roof");
      dispatch({ params: {}, read: { x }, write: { y }, workgroup: 64, workgroups });
      return y;
    });
    // Compiles.
    await replay.run();
    const [m] = await measure([replaying(name, gpu, replay)], { ...options, warmUp: warmUpOf(gpu) });
    replay.dispose();
    return m;
  };
  // A copy reads and writes every byte once.
  const copy = await run("roof copy", COPY, copied, copied / 16 / 64);
  const fma = await run("roof multiply-add", MULTIPLY_ADD, groups * 64 * 16, groups);
  releaseTensor(gpu, x);
  const flop = groups * 64 * FLOP_PER_INVOCATION;
  // The best batch, since whatever disturbs only slows.
  return {
    flopPerSecond: flop / fma.lowest,
    flopPerCpuSecond: flop / fma.cpuSeconds,
    bytesPerSecond: (2 * copied) / copy.lowest,
    bytesPerCpuSecond: (2 * copied) / copy.cpuSeconds,
  };
}
