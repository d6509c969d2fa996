/** The read-out streams: GPU memory hardly depends on how many steps are probed. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

async function peak(probeSteps: readonly number[]): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "memory-"));
  const out = join(folder, "out");
  const words = ["--episodes", "2", "--video-seeds", "2", "--probe-steps", probeSteps.join(), "--quiet"];
  await promisify(execFile)(process.execPath, ["dist/probe.js", ...words, "--out", out]);
  const run = JSON.parse(await readFile(join(out, "run.json"), "utf8")) as { peak_gpu_bytes: number };
  await rm(folder, { recursive: true });
  return run.peak_gpu_bytes;
}

it("51 probed steps take less than 1.2 times the memory of 7", async () => {
  const few = await peak([0, 5, 10, 20, 30, 40, 50]);
  const all = await peak(Array.from({ length: 51 }, (_, k) => k));
  expect(all).toBeLessThan(1.2 * few);
});
