import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { CASES } from "../../bench/cases.ts";
import { main } from "../../bench/command.ts";
import type { Measure } from "../../bench/measure.ts";
import { readRun } from "../../bench/report.ts";
import { fault, matches, Rates } from "../../bench/run.ts";
import { STEPS } from "../../bench/steps.ts";

const folder = await mkdtemp(path.join(tmpdir(), "bench-"));
afterAll(() => rm(folder, { recursive: true }));

/** Exit code and what was printed. */
async function bench(...words: string[]): Promise<{ code: number; text: string; errors: string }> {
  const [lines, errors]: string[][] = [[], []];
  const code = await main(words, {
    line: (text) => lines.push(text),
    progress: () => {},
    error: (text) => errors.push(text),
  });
  return { code, text: lines.join("\n"), errors: errors.join("\n") };
}

describe("npm run bench", () => {
  it("lists cases and steps, all or those with a filter in their names", async () => {
    const { code, text } = await bench("--list");
    expect(code).toBe(0);
    expect(text.split("\n")).toEqual([...CASES, ...STEPS].map(({ name }) => name));
    expect((await bench("--list", "matmul 33x512", "DECODER")).text.split("\n")).toEqual([
      "matmul 33×512×1536",
      "matmul 33×512×2730",
      "action decoder step, toy",
      "action decoder step, upstream size",
    ]);
  });

  it("measures what is asked for, keeps it, and compares", async () => {
    const file = path.join(folder, "run.json");
    const wanted = ["norm, modulated 160", "matmul 2×512", "VAE encode, toy", "VAE encode, Wan"];
    const options = ["--peers", "none", "--rounds", "2", "--budget", "0.5"];
    const first = await bench(...wanted, ...options, "--json", file);
    expect(first.errors).toBe("");
    expect(first.text).toMatch(/roof: multiply-add .*FLOP\/s, copy .*B\/s/);
    expect(first.text).toMatch(/matmul 2×512×3072 .* %\) of the roof {2}\[.+\] {2}naive \d+\.\d/);
    expect(first.text).toMatch(/VAE encode, toy: \d+ dispatches; /);
    const run = readRun(await readFile(file, "utf8"));
    expect(run.rows.map(({ name }) => name)).toEqual(["matmul 2×512×3072", "norm, modulated 160×96"]);
    for (const { rejected, measures } of run.rows) {
      expect(rejected).toEqual([]);
      expect(measures[0].name).toBe("ours");
      expect(measures[0].seconds).toBeGreaterThan(0);
    }
    expect(run.steps.map(({ name }) => name)).toEqual(["VAE encode, toy"]);
    if (run.adapter.software) {
      expect(run.skipped).toHaveLength(1);
      expect(run.skipped[0].reason).toMatch(/GFLOP take at least .* at the measured roof of .*GFLOP\/s/);
    }
    const second = await bench("norm, modulated 160", ...options, "--compare", file);
    expect(second.text).toMatch(/time ÷ that of .*\n {2}norm, modulated 160×96 +\d+\.\d\d$/);
  });

  it("forces a variant", async () => {
    const { code, text } = await bench(
      ...["matmul 2×512", "--variant", "linear=naive", "--peers", "none", "--rounds", "1", "--budget", "0.1"],
    );
    expect(code).toBe(0);
    expect(text).toMatch(/\[naive[^\]]*\]/);
  });

  it.each([
    [["no such case"], /no case has "no such case" in its name; --list/],
    [["--rounds", "some"], /--rounds some: a positive whole number/],
    [["--budget", "0"], /positive number/],
    [["--peers", "tfjs,numpy"], /there is no "numpy", only tfjs, jax-js, onnx, torch/],
    [["--variant", "naive"], /KERNEL=NAME/],
    [["--fast"], /--fast/],
    [["page"], /needs the files/],
  ])("refuses %j", async (words, message) => {
    const { code, errors } = await bench(...words);
    expect(code).toBe(2);
    expect(errors).toMatch(message);
  });

  it("says which adapters there are when it is asked for another", async () => {
    const { code, errors } = await bench("norm", "--adapter", "no such card", "--peers", "none");
    expect(code).toBe(1);
    expect(errors).toMatch(/no adapter is called "no such card"; found: /);
  });

  it("refuses a stored run that it cannot read before it measures", async () => {
    const file = path.join(folder, "broken.json");
    await writeFile(file, "{}");
    for (const words of [
      ["norm", "--compare", file],
      ["probe", "--json", file],
    ]) {
      const { code, text, errors } = await bench(...words);
      expect([code, text]).toEqual([1, ""]);
      expect(errors).toMatch(/format undefined/);
    }
  });
});

describe("fault", () => {
  const truth = [
    { at: 0, values: [1, 2] },
    { at: 4, values: [5, 6] },
  ];
  const right = (): Float32Array => Float32Array.of(1, 2, 3, 4, 5, 6);

  it("lets a right result pass", () => {
    expect(fault(right(), truth)).toBeUndefined();
  });

  it("rejects a result that is wrong anywhere that is known, not finite anywhere, or mostly zero", () => {
    expect(fault(right().fill(5.1, 4, 5), truth)).toMatch(/relative error .* from element 4 on/);
    expect(fault(right().fill(Number.NaN, 3, 4), truth)).toBe("1 of 6 values are not finite");
    expect(fault(new Float32Array(6), truth)).toBe("only 0 of 6 values are not zero");
    expect(fault(right().subarray(0, 5), truth)).toMatch(/relative error Infinity/);
  });
});

describe("Rates", () => {
  const measure = (name: string, seconds: number): Measure => ({
    ...{ name, times: 1, rounds: 1, seconds, lowest: seconds, highest: seconds, cpuSeconds: seconds },
    ...{ ratio: 1, cpuRatio: 1 },
  });

  it("leaves out who would take more than three budgets at its best rate", () => {
    const rates = new Rates();
    rates.note({ kernel: "linear", flop: 1e9, measures: [measure("ours", 1), measure("tfjs", 10)] });
    rates.note({ kernel: "linear", flop: 1e8, measures: [measure("tfjs", 2)] });
    expect(rates.tooSlow("tfjs", { kernel: "linear", flop: 2e9 }, 8)).toBeUndefined();
    expect(rates.tooSlow("tfjs", { kernel: "linear", flop: 9e9 }, 8)).toBe(
      "would take 90 s at its best rate so far; a --budget of 30 lets it",
    );
    // Nothing is known of it there.
    expect(rates.tooSlow("tfjs", { kernel: "attention", flop: 9e12 }, 8)).toBeUndefined();
    expect(rates.tooSlow("jax-js", { kernel: "linear", flop: 9e12 }, 8)).toBeUndefined();
  });
});

describe("matches", () => {
  it("takes x for ×, and any case", () => {
    expect(matches("VAE encode, Wan 2.1, 17×480×640", ["vae encode, wan 2.1, 17x480x640"])).toBe(true);
    expect(matches("anything", [])).toBe(true);
    expect(matches("matmul", ["attention", "conv"])).toBe(false);
  });
});
