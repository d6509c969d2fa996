import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Measure } from "../../bench/measure.ts";
import { writePage } from "../../bench/page.ts";
import {
  compareRuns,
  describeRow,
  describeStep,
  readRun,
  type Row,
  type Run,
  tail,
} from "../../bench/report.ts";
import { FormatError, UsageError } from "../../src/errors.ts";

const timed = (name: string, seconds: number, ratio = 1): Measure => ({
  ...{ name, times: 4, rounds: 5, seconds, lowest: seconds / 2, highest: seconds * 2 },
  ...{ cpuSeconds: seconds, ratio, cpuRatio: 2 * ratio },
});

const row = (name: string, kernel: string, ...measures: Measure[]): Row => ({
  ...{ name, kernel, flop: 2e9, bytes: 1e9, boundBy: "arithmetic", variant: "quads", dispatches: 1 },
  ...{ rejected: [], measures },
});

const roof = { flopPerSecond: 8e9, flopPerCpuSecond: 16e9, bytesPerSecond: 1e9, bytesPerCpuSecond: 1e9 };

const run = (rows: Row[]): Run => ({
  ...{
    format: 2,
    cores: 2,
    load: 0.5,
    versions: { node: "v1" },
    notes: ["tfjs: slow"],
    sameAdapter: ["tfjs"],
  },
  adapter: {
    ...{ vendor: "v", architecture: "a", device: "d", description: "A card" },
    ...{ software: true, origin: "test" },
  },
  ...{ date: "2026-11-22", command: "npm run bench", roof, rows },
  steps: [{ name: "a step", dispatches: 130, dispatchLimit: 120, flop: 4e9, measure: timed("a step", 1) }],
  skipped: [{ name: "a large step", reason: "it needs 12 GB" }],
});

const folder = await mkdtemp(path.join(tmpdir(), "bench-report-"));
afterAll(() => rm(folder, { recursive: true }));

describe("describeRow", () => {
  it("has time, rate, part of the roof, variant, and others' times over ours", () => {
    const line = describeRow(row("matmul", "linear", timed("ours", 0.5), timed("tfjs", 2, 4)), roof);
    for (const part of [
      "500 ms (250 ms to 1.00 s, 5 × 4)",
      "4.00 GFLOP/s, 50 % (25 %) of the roof",
      "[quads]",
    ])
      expect(line).toContain(part);
    expect(line).toContain("tfjs 4.00 (8.00)");
  });

  it("tells why a contender is left out, and that ours may be it", () => {
    const wrong = { ...row("matmul", "linear"), rejected: ["ours: relative error 4e-1"] };
    expect(describeRow(wrong, roof)).toBe("matmul\n    left out: ours: relative error 4e-1");
  });
});

describe("tail", () => {
  it("is the median over the sizes against the faster of tfjs and jax-js, and of no other", () => {
    const rows = [
      row("a", "linear", timed("ours", 1), timed("tfjs", 9, 9), timed("jax-js", 2, 2), timed("onnx", 1, 1.5)),
      row("b", "linear", timed("ours", 1), timed("tfjs", 3, 3), timed("jax-js", 7, 7)),
      row("c", "linear", timed("ours", 1), timed("jax-js", 8, 8)),
      row("d", "linear", timed("ours", 1), timed("torch cpu", 1, 0.1)),
      row("e", "attention", timed("ours", 1), timed("jax-js", 5, 5)),
    ];
    expect(tail({ rows })).toContain(
      "matmul: the faster of tfjs and jax-js takes 3.00 times as long as ours",
    );
    expect(tail({ rows })).toContain("median of 3 sizes, 2.00 to 8.00; processor time 6.00");
    expect(tail({ rows })).toContain("attention: the faster of tfjs and jax-js takes 5.00 times");
  });
});

describe("describeStep", () => {
  it("has the dispatches beside their limit, and why a step was not run", () => {
    const { steps, skipped } = run([]);
    expect(describeStep(steps[0], roof)).toContain("130 dispatches (limit 120);");
    const noted = { ...steps[0], dispatchNote: "fused elsewhere" };
    expect(describeStep(noted, roof)).toContain("130 dispatches (limit 120; fused elsewhere);");
    expect(describeStep(steps[0], roof)).toContain("4.00 GFLOP/s, 50 % of the roof");
    expect(describeStep(skipped[0], roof)).toBe("a large step: not run; it needs 12 GB");
  });
});

describe("stored runs", () => {
  it("are read back, and others refused", () => {
    const stored = run([row("a", "linear", timed("ours", 1))]);
    expect(readRun(JSON.stringify(stored))).toEqual(stored);
    expect(() => readRun('{"rows": [], "steps": []}')).toThrow(FormatError);
    expect(() => readRun("null")).toThrow(/format undefined/);
    expect(() => readRun("{")).toThrow(FormatError);
  });

  it("are compared case by case, in processor time on a software adapter", () => {
    const before = run([row("a", "linear", timed("ours", 2)), row("gone", "linear", timed("ours", 1))]);
    const after = run([row("a", "linear", timed("ours", 1)), row("new", "linear", timed("ours", 1))]);
    const text = compareRuns(before, after);
    expect(text).toMatch(/^processor time ÷ that of 2026-11-22/);
    expect(text).toMatch(/ {2}a +0\.50/);
    expect(text).toMatch(/ {2}a step +1\.00/);
    expect(text).not.toMatch(/gone|new|another adapter/);
    const elsewhere = { ...after, adapter: { ...after.adapter, description: "Another" } };
    expect(compareRuns(before, elsewhere)).toContain("another adapter: A card then, Another now");
    expect(compareRuns({ ...before, rows: [], steps: [] }, after)).toContain("no case is in both runs");
  });
});

describe("writePage", () => {
  const page = path.join(folder, "README.md");
  const file = path.join(folder, "results.json");
  const marks = [
    "<!-- measured: from here on written by `npm run bench -- page` -->",
    "<!-- end of measured -->",
  ];

  it("writes table and figure between the marks, and again the same", async () => {
    const rows = [
      row("matmul 8×8×8", "linear", timed("ours", 0.5), timed("tfjs", 2, 4), timed("torch cpu", 0.1, 0.2)),
      { ...row("conv3d", "conv3d", timed("ours", 0.5)), rejected: ["tfjs: relative error 1e0"] },
    ];
    await writeFile(file, JSON.stringify(run(rows)));
    await writeFile(page, `# Bench\n\n${marks[0]}\nold\n${marks[1]}\n\nend\n`);
    await writePage([file], () => {}, page);
    // Columns are padded to line up.
    const text = (await readFile(page, "utf8")).replace(/ +/g, " ");
    expect(text).not.toContain("old");
    expect(text).toMatch(/^# Bench\n/);
    expect(text).toMatch(/\nend\n$/);
    expect(text).toContain(
      "| matmul 8×8×8 | 500 ms | 250 ms … 1.00 s | 4.00 GFLOP/s | 50 % (25 %) | 4.0 (8.0) | 0.2 (0.4) |",
    );
    expect(text).toContain("torch cpu ran beside the adapter, not on it");
    for (const part of [
      "left out of conv3d: tfjs: relative error 1e0",
      "a large step: not run",
      "tfjs: slow",
    ])
      expect(text).toContain(part);
    expect((await readFile(path.join(folder, "results.png"))).subarray(1, 4).toString()).toBe("PNG");
    const once = await readFile(page, "utf8");
    await writePage([file], () => {}, page);
    expect(await readFile(page, "utf8")).toBe(once);
  });

  it("refuses a page without marks, and no files", async () => {
    await writeFile(page, "# Bench\n");
    await expect(writePage([file], () => {}, page)).rejects.toThrow(UsageError);
    await expect(writePage([], () => {}, page)).rejects.toThrow(/needs the files/);
  });
});
