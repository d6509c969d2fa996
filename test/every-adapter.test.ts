/**
 * The kernel tests run on the adapter that is found first. Here they run again, in a process of their own, on every other
 * one that this machine has: an installed software driver behind a GPU, and the packaged one behind either. And a software adapter is
 * taken for a real GPU once, because there are other workgroups and lanes on those.
 */
import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { AdapterError } from "../src/errors.ts";
import { openGpu } from "../src/gpu/open.node.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The adapter's name, or nothing where there is none of that kind. */
async function nameOf(adapter?: string): Promise<string | undefined> {
  try {
    const gpu = await openGpu({ adapter });
    const { name } = gpu;
    gpu.destroy();
    return name;
  } catch (error) {
    if (error instanceof AdapterError) return undefined;
    throw error;
  }
}

const first = await nameOf(process.env.MIMIC_VIDEO_ADAPTER);
const others: string[] = [];
for (const adapter of ["software", "swiftshader"]) {
  const name = await nameOf(adapter);
  if (name !== undefined && name !== first && !others.includes(name)) others.push(name);
}

/** Runs kernel tests in another process. @throws when one fails */
async function kernelTests(files: readonly string[], environment: Record<string, string>): Promise<void> {
  const { stdout } = await promisify(execFile)("npx", ["vitest", "run", ...files], {
    cwd: root,
    env: { ...process.env, ...environment },
    maxBuffer: 1 << 26,
  });
  expect(stdout).toMatch(/Tests.*passed/);
  expect(stdout).not.toMatch(/failed/);
}

describe("kernels on every adapter", () => {
  it("has a first adapter, which the other tests run on", () => {
    expect(first).toBeTruthy();
  });

  it.each(others)("%s", { timeout: 1_200_000 }, (name) =>
    kernelTests(["test/kernels"], { MIMIC_VIDEO_ADAPTER: name }),
  );

  // Tests of linear, conv3d and attention force each variant by name already; gru and history-pool pass too, but their programs take
  // SwiftShader 5.0.0 minutes to build with so many invocations a workgroup (2026-11-22), and copy moves a million elements one by one.
  it("with the workgroups and lanes of a real GPU", { timeout: 600_000 }, async () => {
    const forced = /^(linear|attention|conv3d|autotune|subgroup-matrix|gru|history-pool|copy|nan)\.test/;
    const files = (await readdir(`${root}/test/kernels`)).filter((name) => !forced.test(name));
    await kernelTests(
      files.map((name) => `test/kernels/${name}`),
      { MIMIC_VIDEO_TEST_AS_GPU: "on" },
    );
  });
});
