/** One device a test process, opened on first use. */
import { type OpenOptions, openGpu } from "../../src/gpu/open.node.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { record } from "../../src/gpu/recording.ts";
import { createTensor, readTensor, releaseTensor, type Shape, type Tensor } from "../../src/tensor/tensor.ts";

const devices = new Map<string, Promise<Gpu>>();

// every-adapter.test.ts runs the kernel tests once more in this way.
const asGpu = process.env.MIMIC_VIDEO_TEST_AS_GPU === "on";

/** The device with these options; the same object for equal options. */
export function testGpu(given: OpenOptions = {}): Promise<Gpu> {
  const options = { asGpu, ...given };
  const key = JSON.stringify(options);
  let gpu = devices.get(key);
  if (!gpu) devices.set(key, (gpu = openGpu(options)));
  return gpu;
}

/** A tensor on the device from values. */
export const upload = (gpu: Gpu, shape: Shape, data: Float32Array | Uint32Array): Tensor =>
  createTensor(gpu, shape, data, "test input");

/** Records, runs, reads every tensor that `body` returns, and frees everything it made. */
export async function compute(gpu: Gpu, body: () => Tensor): Promise<Float32Array> {
  const replay = await record(gpu, "test", body);
  await replay.run();
  const values = await readTensor(gpu, replay.outputs);
  replay.dispose();
  return values;
}

/** Frees test inputs. */
export const release = (gpu: Gpu, ...tensors: Tensor[]): void => {
  for (const t of tensors) releaseTensor(gpu, t);
};
