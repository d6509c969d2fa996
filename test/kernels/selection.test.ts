import { describe, expect, it } from "vitest";
import { linear } from "../../src/kernels/linear.ts";
import { linearReference } from "../../src/kernels/linear.reference.ts";
import { select, selectionKey, selectVariants } from "../../src/kernels/selection.ts";
import { PackedWeight } from "../../src/tensor/packed-weight.ts";
import { release, testGpu, upload } from "../support/gpu.ts";
import { uniform } from "../support/numbers.ts";

describe("selection of variants", () => {
  it("never chooses a candidate that differs, or one that does not run", async () => {
    const gpu = await testGpu();
    const [rows, inner, out] = [3, 12, 9];
    const [x, w] = [uniform(1, rows * inner), uniform(2, out * inner)];
    const wrong = Float32Array.from(w);
    wrong[out * inner - 1] += 0.001;
    const weights = [w, wrong].map((values, i) => {
      const packed = new PackedWeight(gpu, out, inner, "f32", `w${i}`);
      packed.upload(gpu, values);
      return packed;
    });
    const tx = upload(gpu, [rows, inner], x);
    const { winner, rejected, seconds } = await select(
      gpu,
      new Map([
        ["wrong", () => linear(tx, weights[1])],
        ["broken", () => linear(tx, weights[0], { bias: tx })],
        ["right", () => linear(tx, weights[0], { variant: "naive" })],
      ]),
      linearReference(x, w, rows, inner, out),
    );
    expect(winner).toBe("right");
    expect([...rejected.keys()]).toEqual(["wrong", "broken"]);
    expect(rejected.get("wrong")).toMatch(/relative error/);
    expect([...seconds.keys()]).toEqual(["right"]);
    release(gpu, tx);
    for (const packed of weights) packed.release(gpu);
  });

  it("has no winner when every candidate is wrong", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [1, 4], uniform(1, 4));
    const weight = new PackedWeight(gpu, 4, 4, "f32", "w");
    weight.upload(gpu, uniform(2, 16));
    const { winner } = await select(gpu, new Map([["only", () => linear(x, weight)]]), [1, 2, 3, 4]);
    expect(winner).toBeUndefined();
    release(gpu, x);
    weight.release(gpu);
  });

  it("is fixed on a software adapter: neither store nor clock is asked", async () => {
    const gpu = await testGpu({ adapter: "software" });
    const refuse = (): never => {
      throw new Error("asked");
    };
    await selectVariants(gpu, "1.0.0", { read: refuse, write: refuse });
    expect(gpu.selected.size).toBe(0);
    expect(selectionKey(gpu, "1.0.0")).not.toBe(selectionKey(gpu, "1.0.1"));
  });
});
