import { describe, expect, it } from "vitest";
import { AdapterError, DeviceLostError, GpuValidationError, NonFiniteError } from "../../src/errors.ts";
import { type Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/gpu/open.node.ts";
import { fold, record, recording, scope } from "../../src/gpu/recording.ts";
import { add, affine, multiply } from "../../src/kernels/elementwise.ts";
import { kernel } from "../../src/kernels/kernel.ts";
import { createTensor, readTensor, releaseTensor, result, writeTensor } from "../../src/tensor/tensor.ts";
import { testGpu, upload } from "../support/gpu.ts";

describe("record and replay", () => {
  it("runs again on new inputs without making anything", async () => {
    const gpu = await testGpu();
    const x = createTensor(gpu, [3]);
    const replay = await record(gpu, "twice", () => multiply(add(x, x), x));
    const run = async (...values: number[]): Promise<number[]> => {
      writeTensor(gpu, x, Float32Array.from(values));
      await replay.run();
      return [...(await readTensor(gpu, replay.outputs))];
    };
    expect(await run(1, 2, 3)).toEqual([2, 8, 18]);
    const made = (): unknown => [
      gpu.pipelines.created,
      gpu.memory.created,
      gpu.counters.bindGroups,
      gpu.counters.buffers,
    ];
    const before = made();
    expect(await run(4, 5, 6)).toEqual([32, 50, 72]);
    expect(made()).toEqual(before);
    replay.dispose();
    releaseTensor(gpu, x);
  });

  it("shares memory between intermediate results, and never that of a result that is kept", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [1000], new Float32Array(1000).fill(1));
    const before = gpu.memory.created;
    const replay = await record(gpu, "chain", () => {
      let y = x;
      const kept = affine(x, 3);
      for (let i = 0; i < 50; i++) y = affine(y, 1, 1);
      return { kept, y };
    });
    // Two buffers take turns along the chain; two more hold the results.
    expect(gpu.memory.created - before).toBeLessThanOrEqual(4);
    await replay.run();
    expect((await readTensor(gpu, replay.outputs.kept))[7]).toBe(3);
    expect((await readTensor(gpu, replay.outputs.y))[7]).toBe(51);
    replay.dispose();
    releaseTensor(gpu, x);
  });

  it("is only active inside record", async () => {
    const gpu = await testGpu();
    expect(() => recording()).toThrow(GpuValidationError);
    await expect(
      record(gpu, "throws", () => {
        throw new Error("inside");
      }),
    ).rejects.toThrow("inside");
    expect(() => recording()).toThrow(GpuValidationError);
  });

  it("folds large grids", () => {
    expect(fold(65_535)).toEqual([65_535, 1]);
    const [x, y] = fold(200_001);
    expect(x).toBeLessThanOrEqual(65_535);
    expect(x * y).toBeGreaterThanOrEqual(200_001);
  });
});

describe("errors", () => {
  it("prints the line of a shader that is refused", async () => {
    const gpu = await testGpu();
    const broken = kernel({
      name: "broken",
      params: {},
      read: {},
      write: { y: "f32" },
      main: "\n  let x = nothing;\n",
    });
    const refused = record(gpu, "broken", () =>
      broken({ params: {}, read: {}, write: { y: result([4], "y") }, workgroups: 1 }),
    );
    await expect(refused).rejects.toThrow(/line \d+: .*nothing[^]*let x = nothing/);
  });

  it("names the first tensor that is not finite", async () => {
    const gpu = await openGpu();
    const x = upload(gpu, [2], Float32Array.of(1, 3e38));
    const replay = await record(gpu, "overflow", () => scope("block.0", () => affine(affine(x, 10), 0)));
    gpu.checkFinite = true;
    const run = replay.run();
    await expect(run).rejects.toThrow(NonFiniteError);
    await expect(run).rejects.toThrow(/"block\.0\.affine".*element 1 of 2 is Infinity/);
    gpu.destroy();
  });

  it("tells what was running when the device was lost", async () => {
    const gpu = await openGpu();
    const x = createTensor(gpu, [4]);
    const replay = await record(gpu, "the last step", () => add(x, x));
    await replay.run();
    gpu.destroy();
    await gpu.device.lost;
    await expect(replay.run()).rejects.toThrow(DeviceLostError);
    await expect(readTensor(gpu, replay.outputs)).rejects.toThrow(/while running "the last step"/);
  });

  it("says what to do when no adapter has the name", async () => {
    await expect(openGpu({ adapter: "no such card" })).rejects.toThrow(AdapterError);
    await expect(openGpu({ adapter: "no such card" })).rejects.toThrow(/"no such card"; found: /);
  });

  it("refuses a tensor that exceeds a binding, with the numbers", async () => {
    const gpu: Gpu = await testGpu({ maxBindingBytes: 4096 });
    const x = createTensor(gpu, [1024]);
    await expect(record(gpu, "large", () => affine(createTensor(gpu, [1025]), 2))).rejects.toThrow(
      /4100 bytes.*4096/,
    );
    releaseTensor(gpu, x);
  });
});
