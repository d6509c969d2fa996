/**
 * The kernel tests run on the adapter that is found first. Here they run again, in a process of their own, on every other
 * one that this machine has: an installed software driver behind a GPU, and the packaged one behind either.
 */
import { execFile } from "node:child_process";
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

describe("kernels on every adapter", () => {
  it("has a first adapter, which the other tests run on", () => {
    expect(first).toBeTruthy();
  });

  it.each(others)("%s", { timeout: 1_200_000 }, async (name) => {
    const { stdout } = await promisify(execFile)("npx", ["vitest", "run", "test/kernels"], {
      cwd: root,
      env: { ...process.env, MIMIC_VIDEO_ADAPTER: name },
      maxBuffer: 1 << 26,
    });
    expect(stdout).toMatch(/Tests.*passed/);
    expect(stdout).not.toMatch(/failed/);
  });
});
