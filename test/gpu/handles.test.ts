/** What must not happen quietly: memory with two owners, runs of what was freed, errors of later runs. */
import { describe, expect, it } from "vitest";
import { GpuValidationError, UsageError } from "../../src/errors.ts";
import { openGpu } from "../../src/gpu/open.node.ts";
import { record } from "../../src/gpu/recording.ts";
import { affine } from "../../src/kernels/elementwise.ts";
import { kernel } from "../../src/kernels/kernel.ts";
import { createTensor, readTensor, releaseTensor, result, writeTensor } from "../../src/tensor/tensor.ts";
import { release, testGpu, upload } from "../support/gpu.ts";

describe("a replay", () => {
  it("disposed twice gives its buffers back once", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [100], new Float32Array(100).fill(1));
    const before = gpu.memory.usage.inUse;
    const replay = await record(gpu, "twice", () => affine(x, 2));
    replay.dispose();
    replay.dispose();
    expect(gpu.memory.usage.inUse).toBe(before);
    const [a, b] = [createTensor(gpu, [100]), createTensor(gpu, [100])];
    writeTensor(gpu, a, new Float32Array(100).fill(5));
    expect((await readTensor(gpu, b))[0]).toBe(0);
    release(gpu, a, b, x);
  });

  it("that was disposed does not run, and its outputs are not read", async () => {
    const gpu = await testGpu();
    const x = createTensor(gpu, [4]);
    const replay = await record(gpu, "gone", () => affine(x, 2));
    await replay.run();
    replay.dispose();
    await expect(replay.run()).rejects.toThrow(UsageError);
    await expect(replay.run()).rejects.toThrow(/"gone" was disposed/);
    await expect(readTensor(gpu, replay.outputs)).rejects.toThrow(/"affine" has no memory/);
    release(gpu, x);
  });

  it("does not run on a tensor that was released", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [4], Float32Array.of(1, 2, 3, 4));
    const replay = await record(gpu, "on x", () => affine(x, 2));
    await replay.run();
    releaseTensor(gpu, x);
    const other = createTensor(gpu, [4]); // takes the same buffer
    await expect(replay.run()).rejects.toThrow(/"on x" uses "test input", which was released/);
    replay.dispose();
    release(gpu, other);
  });

  it("that cannot be planned gives back what it took", async () => {
    const gpu = await testGpu();
    const broken = kernel({ name: "broken", params: {}, read: {}, write: { y: "f32" }, main: "nothing;" });
    const before = gpu.memory.usage.inUse;
    const refused = record(gpu, "broken", () =>
      broken({ params: {}, read: {}, write: { y: result([4096], "y") }, workgroups: 1 }),
    );
    await expect(refused).rejects.toThrow(GpuValidationError);
    expect(gpu.memory.usage.inUse).toBe(before);
  });

  it("is not recorded by an async function", async () => {
    const gpu = await testGpu();
    const x = createTensor(gpu, [4]);
    const late = record(gpu, "late", async () => {
      await Promise.resolve();
      return affine(x, 2);
    });
    await expect(late).rejects.toThrow(UsageError);
    await expect(late).rejects.toThrow(/"late".*must not be async/);
    release(gpu, x);
  });

  it("fails late and is heard: by the next run, wait or reading", async () => {
    const gpu = await openGpu();
    const x = upload(gpu, [4], Float32Array.of(1, 2, 3, 4));
    const replay = await record(gpu, "fails later", () => affine(x, 2));
    await replay.run();
    const asked = [() => replay.run(), () => gpu.idle(), () => readTensor(gpu, x)];
    for (const ask of asked) {
      // Nothing checks what is written behind the engine's back.
      gpu.device.queue.writeBuffer(x.storage.buffer!, 1 << 20, new Float32Array(4));
      await gpu.device.queue.onSubmittedWorkDone();
      const error = await ask().then(
        () => undefined,
        (e: unknown) => e,
      );
      expect(error).toBeInstanceOf(GpuValidationError);
      expect(String(error)).toMatch(/the device refused something/);
      // Said once; the device goes on.
      await ask();
    }
    // A buffer that is gone is noticed by a run that is not the first.
    x.storage.buffer!.destroy();
    await replay.run();
    await expect(gpu.idle()).rejects.toThrow(GpuValidationError);
    gpu.destroy();
  });
});

describe("a tensor", () => {
  it("that was released is neither read nor written, nor released into another's memory", async () => {
    const gpu = await testGpu();
    const x = createTensor(gpu, [4]);
    releaseTensor(gpu, x);
    releaseTensor(gpu, x);
    const other = upload(gpu, [4], Float32Array.of(1, 2, 3, 4));
    await expect(readTensor(gpu, x)).rejects.toThrow(UsageError);
    expect(() => writeTensor(gpu, x, new Float32Array(4))).toThrow(/writing: "tensor" has no memory/);
    await expect(record(gpu, "on freed", () => affine(x, 2))).rejects.toThrow(/has no memory/);
    expect([...(await readTensor(gpu, other))]).toEqual([1, 2, 3, 4]);
    release(gpu, other);
  });

  it.each([[[4, -1]], [[2.5]], [[Number.NaN, 2]]])("has no shape %j", async (shape) => {
    const gpu = await testGpu();
    const before = gpu.memory.usage.inUse;
    expect(() => createTensor(gpu, shape)).toThrow(UsageError);
    await expect(record(gpu, "shape", () => result(shape, "y"))).rejects.toThrow(/is no shape/);
    expect(gpu.memory.usage.inUse).toBe(before);
  });

  it("takes values of its own type and number only", async () => {
    const gpu = await testGpu();
    const before = gpu.memory.usage.inUse;
    const [f32, u32] = [createTensor(gpu, [4]), createTensor(gpu, [4], new Uint32Array(4))];
    const bf16 = createTensor(gpu, [4], new Uint16Array(4));
    expect(() => writeTensor(gpu, u32, new Float32Array(4))).toThrow(
      /holds u32.*Uint32Array, got Float32Array/,
    );
    expect(() => writeTensor(gpu, f32, new Uint32Array(4))).toThrow(UsageError);
    expect(() => writeTensor(gpu, bf16, new Float32Array(4))).toThrow(UsageError);
    expect(() => writeTensor(gpu, f32, new Float32Array(5))).toThrow(/holds 4 elements, got 5/);
    await expect(readTensor(gpu, bf16)).rejects.toThrow(/holds bf16/);
    await expect(readTensor(gpu, u32)).rejects.toThrow(UsageError);
    expect(() => createTensor(gpu, [4], new Float32Array(5))).toThrow(UsageError);
    release(gpu, f32, u32, bf16);
    expect(gpu.memory.usage.inUse).toBe(before);
  });
});
