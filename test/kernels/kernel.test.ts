import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { record } from "../../src/gpu/recording.ts";
import { kernel } from "../../src/kernels/kernel.ts";
import { result, type Tensor } from "../../src/tensor/tensor.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";

interface ScaleForm {
  readonly [name: string]: string;
  readonly operator: "+" | "*";
}

/** y = (x ∘ factor) + bias, twice where asked */
const scale = kernel({
  name: "scale",
  params: { size: "u32", factor: "f32", strides: "array<vec4u, 2>" },
  constants: { TWICE: "bool", UNUSED: "u32" },
  read: { x: "f32", "addedBias?": "f32" },
  write: { y: "f32" },
  over: "size",
  main: ({ operator }: ScaleForm) => /* wgsl */ `
  var value = x[index * p.strides[1][3]] ${operator} p.factor;
  if (HAS_ADDED_BIAS) { value += addedBias[index]; }
  if (TWICE) { value *= 2.0; }
  y[index] = value;`,
});

const strides = [0, 0, 0, 0, 0, 0, 0, 2];

describe("a kernel", () => {
  const call = (
    x: Tensor,
    options: { operator?: "+" | "*"; twice?: boolean; addedBias?: Tensor },
  ): Tensor => {
    const y = result([3], "scaled");
    scale({
      form: { operator: options.operator ?? "*" },
      constants: { TWICE: options.twice ?? false, UNUSED: 7 },
      params: { size: 3, factor: 10, strides },
      read: { x, addedBias: options.addedBias },
      write: { y },
    });
    return y;
  };

  it("computes by its form, its constants and what is bound; each has a pipeline of its own, made once", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [6], Float32Array.of(1, 0, 2, 0, 3, 0));
    const addedBias = upload(gpu, [3], Float32Array.of(0.5, 0.5, 0.5));
    const before = gpu.pipelines.created;
    for (let round = 0; round < 2; round++) {
      expect([...(await compute(gpu, () => call(x, {})))]).toEqual([10, 20, 30]);
      expect([...(await compute(gpu, () => call(x, { operator: "+" })))]).toEqual([11, 12, 13]);
      expect([...(await compute(gpu, () => call(x, { addedBias })))]).toEqual([10.5, 20.5, 30.5]);
      expect([...(await compute(gpu, () => call(x, { addedBias, twice: true })))]).toEqual([21, 41, 61]);
    }
    expect(gpu.pipelines.created - before).toBe(4);
    release(gpu, x, addedBias);
  });

  it("of the same name and form as another is another", async () => {
    const gpu = await testGpu();
    const make = (value: string) =>
      kernel({ name: "same", params: {}, read: {}, write: { y: "f32" }, main: `y[index] = ${value};` });
    for (const value of [1, 2]) {
      const write = make(`${value}.0`);
      const y = await compute(gpu, () => {
        const out = result([1], "y");
        write({ params: {}, read: {}, write: { y: out }, workgroup: 1, workgroups: 1 });
        return out;
      });
      expect(y[0]).toBe(value);
    }
  });

  it("refuses what it does not know, by name: at build time, and when recorded", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [6], new Float32Array(6));
    const form = { operator: "*" } as const;
    const constants = { TWICE: false, UNUSED: 0 };
    const params = { size: 3, factor: 1, strides };
    const refused = async (what: () => void, message: RegExp): Promise<void> => {
      const recorded = record(gpu, "refused", what);
      await expect(recorded).rejects.toThrow(UsageError);
      await expect(recorded).rejects.toThrow(message);
    };
    const y = (): Tensor => result([3], "y");
    await refused(() => {
      // @ts-expect-error factor is missing
      scale({ form, constants, params: { size: 3, strides }, read: { x }, write: { y: y() } });
    }, /kernel scale: "factor" is not given; there are size, strides/);
    await refused(() => {
      // @ts-expect-error y is misspelt
      scale({ form, constants, params, read: { x }, write: { z: y() } });
    }, /"y" is not given; there are z/);
    await refused(() => {
      // @ts-expect-error x is missing
      scale({ form, constants, params, read: {}, write: { y: y() } });
    }, /"x" is not given; there are none/);
    await refused(() => {
      // @ts-expect-error TWICE is missing
      scale({ form, constants: { UNUSED: 1 }, params, read: { x }, write: { y: y() } });
    }, /"TWICE" is not given/);
    for (const size of [-1, 2 ** 32, 1.5, Number.NaN]) {
      const wrong = { ...params, size };
      await refused(
        () => scale({ form, constants, params: wrong, read: { x }, write: { y: y() } }),
        /parameter size = .*not a 32-bit unsigned integer|workgroups/,
      );
    }
    const few = { ...params, strides: [1, 2] };
    await refused(
      () => scale({ form, constants, params: few, read: { x }, write: { y: y() } }),
      /2 numbers for parameter strides/,
    );
    release(gpu, x);
  });
});
