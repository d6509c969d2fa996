/**
 * Subgroup matrices run on no software GPU. Dawn's null backend knows their WGSL, though: it compiles and validates, and computes
 * nothing. So this proves that the text is a valid shader, and that it is never chosen unasked; what it computes is proved by
 * linear.test.ts where a GPU has them.
 */
import { create, globals } from "webgpu";
import { describe, expect, it } from "vitest";
import { ON_CPU, ON_GPU, VARIANTS } from "../../src/kernels/linear/variants.ts";
import { READ_WEIGHT } from "../../src/kernels/terms.ts";

Object.assign(globalThis, globals);

const NAMES = ["subgroupMatrix", "subgroupMatrixF32"] as const;
const dtypes = Object.keys(READ_WEIGHT) as (keyof typeof READ_WEIGHT)[];
// The collector must not take it while its devices live.
const instance = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);

async function nullDevice(): Promise<GPUDevice> {
  const adapter = await instance.requestAdapter();
  const features = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[];
  return adapter!.requestDevice({ requiredFeatures: features });
}

/** The compiler's errors. */
async function errors(device: GPUDevice, code: string): Promise<string[]> {
  device.pushErrorScope("validation");
  const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
  await device.popErrorScope();
  return messages.filter(({ type }) => type === "error").map((m) => `line ${m.lineNum}: ${m.message}`);
}

describe.each(NAMES)("%s", (name) => {
  const { plan, source, needs } = VARIANTS[name];

  it.each(dtypes)("compiles for weights in %s", async (dtype) => {
    const device = await nullDevice();
    for (const inner of [64, 7]) {
      const { form, element } = plan({ rows: 130, inner, columns: 200 });
      for (const [activation, gated] of [["identity", true] as const, ["gelu", false] as const]) {
        const text = source({ dtype, activation, gated, element, arithmetic: "f32", ...form });
        expect(await errors(device, text)).toEqual([]);
        // The compiler does look: with one name misspelt it refuses.
        expect(
          await errors(device, text.replace("subgroupMatrixLoad<Left", "subgroupMatrixLoad<Lost")),
        ).not.toEqual([]);
      }
    }
    device.destroy();
  });

  it("keeps within the workgroup memory it asks for", () => {
    const text = source({
      dtype: "f32",
      activation: "identity",
      gated: false,
      element: "vec4f",
      arithmetic: "f32",
    });
    const [size, side] = [name === "subgroupMatrix" ? 2 : 4, name === "subgroupMatrix" ? 16 : 8];
    const depth = Number(/const DEPTH = (\d+)u/.exec(text)![1]);
    const pitch = depth + Number(/const PITCH = DEPTH \+ (\d+)u/.exec(text)![1]);
    const subgroups = Number(/array<f32, (\d+)u \* SIDE/.exec(text)![1]);
    expect(2 * 128 * pitch * size + subgroups * side * side * 4).toBe(needs!.workgroupBytes);
  });
});

it("half precision is not among the candidates of any class", () => {
  const candidates = [ON_CPU, ON_GPU].flatMap((order) => Object.values(order).flat());
  expect(candidates).not.toContain("subgroupMatrix");
  expect(candidates).toContain("subgroupMatrixF32");
});
