/** `node dist/generate.js`, end to end: sheets of digits, numbers, refusals that say what to write instead. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { decode } from "fast-png";
import { afterAll, describe, expect, test, vi } from "vitest";
import { openWeights } from "../../../src/weights/open.node.ts";
import { readWholeNumbers } from "../../../src/weights/whole-numbers.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import {
  contactSheet,
  readNormalisation,
  toBytes,
  toLevels,
} from "../../../src/systems/meanflow/pictures.ts";
import { joined } from "../../../src/systems/arrays.ts";
import { sideBySide } from "../../../src/systems/side-by-side.ts";
import { encodeSafetensors } from "../../../src/weights/safetensors.ts";
import { relativeError } from "../../support/numbers.ts";
import { DIGITS, openDigits, stored } from "./digits.ts";

// Whole runs of the command, a second or two each on two quiet cores.
vi.setConfig({ testTimeout: 600_000 });

const folder = mkdtempSync(path.join(tmpdir(), "generate-"));
afterAll(() => rmSync(folder, { recursive: true }));
const place = (name: string): string => path.join(folder, name);

function run(...words: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((done) => {
    const child = spawn(process.execPath, ["dist/generate.js", ...words]);
    let [out, err] = ["", ""];
    child.stdout.on("data", (text) => (out += String(text)));
    child.stderr.on("data", (text) => (err += String(text)));
    child.on("close", (code) => done({ code, out, err }));
  });
}

async function samplesIn(file: string): Promise<{ samples: Float32Array; labels: number[] }> {
  const source = await openWeights(file);
  const samples = toFloat32(await source.read("samples"), "F32");
  const labels = await readWholeNumbers(source, "labels");
  await source.close();
  return { samples, labels };
}

describe("samples", () => {
  test("a sheet of a class: crisp pixels of seventeen greys", async () => {
    const { code, out, err } = await run(
      ...["--class", "7", "--count", "6", "--per-row", "3", "--scale", "5", "--out", place("sevens.png")],
    );
    expect([code, err.includes("samples: 6 of 6")]).toEqual([0, true]);
    expect(out).toMatch(/6 pictures, 1 call each/);
    const { width, height, channels, data } = decode(readFileSync(place("sevens.png")));
    expect([width, height, channels]).toEqual([(3 * 9 + 1) * 5, (2 * 9 + 1) * 5, 1]);
    const greys = Array.from({ length: 17 }, (_, level) => Math.round((level * 255) / 16));
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const value = data[y * width + x];
        const gap = Math.floor(x / 5) % 9 === 0 || Math.floor(y / 5) % 9 === 0;
        if (gap) expect(value).toBe(128);
        else expect(greys).toContain(value);
        // Every pixel of a picture is a square of equal ones.
        expect(value).toBe(data[(y - (y % 5)) * width + x - (x % 5)]);
      }
    expect(readdirSync(folder).filter((name) => name.includes("incomplete"))).toEqual([]);
  });

  test("from a file's noise, as numbers: the reference's", async () => {
    for (const [rule, calls] of [
      ["average", "1"],
      ["instant", "2"],
    ]) {
      const { code, err } = await run(
        ...["--noise", `${DIGITS}/noise.safetensors`, "--count", "100", "--rule", rule, "--calls", calls],
        ...["--out", place(`${rule}.safetensors`), "--quiet"],
      );
      expect([code, err]).toEqual([0, ""]);
      const { samples, labels } = await samplesIn(place(`${rule}.safetensors`));
      expect(labels).toEqual(Array.from({ length: 100 }, (_, i) => i % 10));
      expect(relativeError(samples, await stored("reference", `${rule}.${calls}`))).toBeLessThan(2e-5);
    }
  });

  test("one class of a file's rows; a seed on gives the noise of the next sample", async () => {
    await run(
      "--noise",
      `${DIGITS}/noise.safetensors`,
      "--class",
      "3",
      "--count",
      "4",
      "--out",
      place("threes.safetensors"),
    );
    const { samples, labels } = await samplesIn(place("threes.safetensors"));
    expect(labels).toEqual([3, 3, 3, 3]);
    const expected = await stored("reference", "average.1");
    const rows = [3, 13, 23, 33].flatMap((row) => [...expected.subarray(row * 64, row * 64 + 64)]);
    expect(relativeError(samples, rows)).toBeLessThan(2e-5);

    for (const [seed, name] of ["0", "1"].map((seed) => [seed, place(`seed-${seed}.safetensors`)]))
      await run("--class", "5", "--count", "3", "--seed", seed, "--out", name);
    const [from0, from1] = await Promise.all(
      ["0", "1"].map((seed) => samplesIn(place(`seed-${seed}.safetensors`))),
    );
    expect(relativeError(from1.samples.subarray(0, 128), from0.samples.subarray(64))).toBeLessThan(1e-5);
  });

  test("guidance is heard, and 1 is none", async () => {
    const drawn = async (...words: string[]) => {
      await run("--count", "10", "--out", place("guided.safetensors"), ...words);
      return (await samplesIn(place("guided.safetensors"))).samples;
    };
    const plain = await drawn();
    expect(relativeError(await drawn("--cfg-scale", "1"), plain)).toBe(0);
    expect(relativeError(await drawn("--cfg-scale", "2"), plain)).toBeGreaterThan(0.01);
  });
});

describe("refusals", () => {
  test.each([
    [["--out", "digits.jpg"], /name a file for the samples, FILE\.png or FILE\.safetensors/],
    [["--out", "nowhere/at/all.png"], /there is no folder nowhere\/at/],
    [["--class", "10", "--out", "x.png"], /knows the classes 0 to 9/],
    [["--class", "x", "--out", "x.png"], /not a whole number/],
    [["--calls", "0", "--out", "x.png"], /at least 1/],
    [["--rule", "heun", "--out", "x.png"], /use average or instant/],
    [["--cfg-interval", "0.4,0.6", "--out", "x.png"], /is not told when to be guided/],
    [["--model", "weights/toy", "--out", "x.png"], /makes no samples of its own/],
    [["--state-time", "t", "--out", "x.png"], /model\.json says r \(convention\.state_time\)/],
    [
      ["--noise", `${DIGITS}/noise.safetensors`, "--count", "1001", "--out", "x.png"],
      /has 1000 rows of noise/,
    ],
    [
      ["--noise", `${DIGITS}/eval.safetensors`, "--out", "x.png"],
      /"noise" is missing, expected F32 \[rows, 1, 8, 8\]/,
    ],
    [["digits.png"], /belongs to no option/],
  ])("%j", async (words, message) => {
    const { code, out, err } = await run("--quiet", ...words);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at /);
    expect([code, out]).toEqual([1, ""]);
    expect(readdirSync(".").filter((name) => /^x\.|digits\.(png|jpg)/.test(name))).toEqual([]);
  });

  test("latents and vectors are no pictures: their numbers are written", async () => {
    const source = await openWeights("test/golden-meanflow/zoo-mlp/weights.safetensors");
    const tensors = await Promise.all(
      [...source.tensors.values()].map(async ({ name, dtype, shape }) => ({
        name,
        dtype,
        shape,
        data: await source.read(name),
      })),
    );
    await source.close();
    const model = mkdtempSync(path.join(folder, "mlp-"));
    writeFileSync(path.join(model, "weights.safetensors"), await encodeSafetensors(tensors));
    const json = { kind: "meanflow", architecture: "zoo_mlp", config: { feature_dim: 2, hidden_dim: 32 } };
    writeFileSync(path.join(model, "model.json"), JSON.stringify(json));
    const refused = await run("--model", model, "--out", place("v.png"), "--state-time", "r", "--quiet");
    expect(refused.err).toMatch(
      /makes vectors of 2 numbers and no pictures\. Write them: --out .*v\.safetensors/,
    );
    const unsaid = await run("--model", model, "--out", place("v.safetensors"), "--quiet");
    expect(unsaid.err).toMatch(/Say --state-time r .* or t/);
    const literal = await run(
      "--model",
      model,
      "--out",
      place("v.safetensors"),
      "--state-time",
      "t",
      "--quiet",
    );
    expect(literal.err).toMatch(/N\(m\/σ, \(2 − 1\/σ\)²\)/);
    const written = await run(
      "--model",
      model,
      "--out",
      place("v.safetensors"),
      "--state-time",
      "r",
      "--count",
      "5",
    );
    expect([written.code, written.out]).toEqual([0, expect.stringMatching(/5 vectors, 1 call each/)]);
  });
});

describe("pictures", () => {
  const grey = { channels: 1, rows: 1, columns: 2, top: 16, rounding: "nearest" } as const;
  test("pixels as the data have them: to the nearest of 17, or down of 256", () => {
    const states = Float32Array.of(-1, 1, 0, 0.06, -3, 3);
    expect([...toLevels(states, grey)]).toEqual([0, 16, 8, 8, 0, 16]);
    expect([...toBytes(Float32Array.of(0, 0.9999), { ...grey, top: 255, rounding: "down" })]).toEqual([
      127, 254,
    ]);
    expect(readNormalisation("pixel / 127.5 - 1", "x")).toEqual({ top: 255, rounding: "nearest" });
    expect(() => readNormalisation("z-scored", "model.json")).toThrow(/expected "pixel \/ N - 1"/);
  });

  test("colours stand together, and no other number of channels is shown", () => {
    const rgb = { channels: 3, rows: 1, columns: 1, top: 255, rounding: "nearest" } as const;
    const { data, width, height } = contactSheet(Float32Array.of(1, -1, 0), rgb, { perRow: 1, scale: 1 });
    expect([width, height, ...data.slice(12, 15)]).toEqual([3, 3, 255, 0, 128]);
    expect(() => contactSheet(new Float32Array(4), { ...rgb, channels: 4 }, { perRow: 1, scale: 1 })).toThrow(
      /4 channels/,
    );
  });
});

test("side by side: every rule from the same noise, in turn, as it is computed", async () => {
  const opened = await openDigits();
  const sampler = opened.sampler!();
  const labels = [4, 4, 4];
  const noise = joined([9, 10, 11].map((seed) => sampler.noise(4, seed)));
  const seen: string[] = [];
  for await (const drawn of sideBySide(sampler, { labels, noise, calls: 2 }, sampler.rules)) {
    seen.push(`${drawn.rule} ${drawn.step}/${drawn.steps} ${drawn.noiseLevel}`);
    if (drawn.step === 0) expect([...(await drawn.read())]).toEqual([...noise]);
  }
  expect(seen).toEqual(
    [0, 1, 2].flatMap((step) => ["average", "instant"].map((rule) => `${rule} ${step}/2 ${1 - step / 2}`)),
  );
  const stopped = sideBySide(sampler, { labels, noise, calls: 8 }, ["average"]);
  expect((await stopped.next()).value).toMatchObject({ rule: "average", step: 0, steps: 8 });
  await stopped.return();
  await expect(sideBySide(sampler, { labels, noise, calls: 1 }, ["other"]).next()).rejects.toThrow(
    /the rule other/,
  );
  await opened.release();
});
