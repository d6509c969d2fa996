/**
 * What the adapter can do at most, measured and not quoted: bytes a second through a plain copy, and float32 operations a
 * second of multiply-adds that never leave registers.
 */
import type { Gpu } from "../src/gpu/gpu.ts";
import { type Kernel } from "../src/gpu/pipelines.ts";
import { record, recording } from "../src/gpu/recording.ts";
import { createTensor, releaseTensor, result } from "../src/tensor/tensor.ts";
import { measure, type MeasureOptions, replaying } from "./measure.ts";

export interface Roof {
  readonly flopPerSecond: number;
  readonly flopPerCpuSecond: number;
  readonly bytesPerSecond: number;
  readonly bytesPerCpuSecond: number;
}

const COPY: Kernel = {
  name: "roof copy",
  key: "vec4",
  inputs: 1,
  outputs: 1,
  wgsl: () => /* wgsl */ `
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * 64u + lane;
  y[i] = x[i];
}`,
};

const STEPS = 1024;
const ACCUMULATORS = 16;
const UNROLLED = 4;
/** A multiply and an add for each of four components. */
const FLOP_PER_INVOCATION = STEPS * UNROLLED * ACCUMULATORS * 4 * 2;

/** Sixteen independent vec4 sums: enough to hide the latency of a multiply-add, few enough for the registers of a GPU. */
const MULTIPLY_ADD: Kernel = {
  name: "roof multiply-add",
  key: `${ACCUMULATORS}`,
  inputs: 1,
  outputs: 1,
  wgsl: () => {
    const each = (line: (i: number) => string): string =>
      Array.from({ length: ACCUMULATORS }, (_, i) => line(i)).join("\n");
    return /* wgsl */ `
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = wg.x * 64u + lane;
  let factor = x[0] * 0.5;
  let step = x[1];
${each((i) => `  var s${i} = step * ${i}.0;`)}
  for (var k = 0u; k < ${STEPS}u; k++) {
${Array.from({ length: UNROLLED }, () => each((i) => `    s${i} = fma(s${i}, factor, step);`)).join("\n")}
  }
  y[i] = ${Array.from({ length: ACCUMULATORS }, (_, i) => `s${i}`).join(" + ")};
}`;
  },
};

/** Measures both roofs; a few seconds on a software adapter. */
export async function measureRoof(gpu: Gpu, options: MeasureOptions): Promise<Roof> {
  const { software } = gpu.adapter;
  const copied = (software ? 2 ** 22 : 2 ** 26) * 4;
  const groups = software ? 4 : 8192;
  const x = createTensor(gpu, [copied / 4], new Float32Array(copied / 4).fill(0.5), "roof");
  const run = async (kernel: Kernel, bytes: number, workgroups: number) => {
    const replay = await record(gpu, kernel.name, () => {
      const y = result([bytes / 4], "roof");
      recording().dispatch({
        kernel,
        params: { u32: [0] },
        inputs: [x.storage],
        outputs: [y.storage],
        workgroups,
      });
      return y;
    });
    // Compiles.
    await replay.run();
    const [m] = await measure([replaying(kernel.name, gpu, replay)], options);
    replay.dispose();
    return m;
  };
  // A copy reads and writes every byte once.
  const copy = await run(COPY, copied, copied / 16 / 64);
  const fma = await run(MULTIPLY_ADD, groups * 64 * 16, groups);
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
