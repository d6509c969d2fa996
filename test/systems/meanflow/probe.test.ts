/** The probe on MeanFlow networks, end to end: the digits, judged by populations, and networks of other shapes that are read as they are. */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, describe, expect, test, vi } from "vitest";
import { convergenceFigure } from "../../../src/probe/figure/figure.ts";
import { reportHtml } from "../../../src/probe/report/report.ts";
import { readResult } from "../../../src/probe/result/read-result.ts";
import type { ProbeResult } from "../../../src/probe/result/result.ts";
import { DIGITS } from "./digits.ts";

// Whole runs of the command: 20 s each on two quiet cores.
vi.setConfig({ testTimeout: 600_000 });

const folder = mkdtempSync(path.join(tmpdir(), "digits-probe-"));
afterAll(() => rmSync(folder, { recursive: true }));
const place = (name: string): string => path.join(folder, name);

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** @param until ends the run by an interrupt once something is true */
function probe(words: readonly string[], until?: () => boolean): Promise<Ran> {
  return new Promise((done) => {
    const child = spawn(process.execPath, ["dist/probe.js", ...words]);
    let [out, err] = ["", ""];
    child.stdout.on("data", (text) => (out += String(text)));
    child.stderr.on("data", (text) => (err += String(text)));
    // A second interrupt would not wait for what runs.
    const watch = until && setInterval(() => until() && child.kill("SIGINT") && clearInterval(watch), 20);
    child.on("close", (code) => {
      clearInterval(watch);
      done({ code, out, err });
    });
  });
}

const resultIn = (out: string): ProbeResult =>
  readResult(readFileSync(path.join(out, "probe.json"), "utf8"), "probe.json");

const SMALL = [
  "--model",
  DIGITS,
  "--video-steps",
  "4",
  "--budgets",
  "1,2",
  "--probe-steps",
  "0,2",
  "--video-seeds",
  "10",
];

describe("the digits", () => {
  let result: ProbeResult;
  test("by populations: MeanFlow beside Euler, in result, schema, words, figure and report", async () => {
    const { code, out, err } = await probe([...SMALL, "--out", place("whole")]);
    expect([code, err]).toEqual([0, expect.stringContaining("probing")]);
    result = resultIn(place("whole"));
    const schema = JSON.parse(readFileSync("docs/probe.schema.json", "utf8")) as object;
    const validate = new Ajv2020({ strict: false }).compile(schema);
    const document: unknown = JSON.parse(readFileSync(path.join(place("whole"), "probe.json"), "utf8"));
    expect(validate(document), JSON.stringify(validate.errors)).toBe(true);

    const { population, other_rules, budget_axis, by_part, verdict } = result;
    expect(by_part).toMatchObject([{ kind: "logits", unit: "share" }]);
    expect(budget_axis?.calls).toEqual([1, 2, 4]);
    expect(budget_axis?.stop_calls).toEqual([1, 3, 4]);
    expect(other_rules).toMatchObject([{ rule: "instant" }]);
    // Single read-outs give no verdict here, whatever they say.
    expect(verdict).toMatchObject({ status: "undetermined", step: null });
    expect(verdict.reason).toMatch(/the same one over and over would be right every time/);

    const [average, instant] = population!.schedules;
    expect(population).toMatchObject({ samples: 100, against: "359 held-out pictures" });
    expect([average.rule, instant.rule]).toEqual(["average", "instant"]);
    const ratio = "within_class_variance_ratio";
    // One Euler call is the mean of the class: right every time, without variety, far off as a set.
    expect(instant.values.accuracy[0]).toBe(1);
    expect(instant.values[ratio][0]).toBeLessThan(0.05);
    expect(average.values[ratio][0]).toBeGreaterThan(0.6);
    expect(instant.values.frechet_pca20[0]!).toBeGreaterThan(4 * average.values.frechet_pca20[0]!);
    expect(population!.measures.map(({ name, target }) => [name, target])).toEqual([
      ["frechet_pca20", 0],
      ["frechet_features32", 0],
      [ratio, 1],
      ["accuracy", null],
      ["nearest_training_distance", null],
    ]);
    expect(population!.verdict.status).toBe("sufficient");
    expect(instant.sufficient).toBeNull();
    // The whole schedule of N is what the stop axis ends in.
    expect(average.values.frechet_pca20[2]).toBe(population!.stop.values.frechet_pca20[2]);
    expect(average.differences.frechet_pca20[2]).toEqual({ mean: 0, interval: { low: 0, high: 0 } });
    expect(average.standard_errors.frechet_pca20[0]).toBeGreaterThan(0);

    expect(out).toMatch(/All samples together: 100 against 359 held-out pictures/);
    expect(out.replace(/\s+/g, " ")).toMatch(/not even 4 by the instantaneous velocity \(Euler\)/);
    expect(out).not.toMatch(/robot/);
    const { data, layout } = convergenceFigure(result);
    expect(data.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "average velocity (MeanFlow): Fréchet distance of pixels in 20 principal directions",
        "instantaneous velocity (Euler): Fréchet distance of pixels in 20 principal directions",
      ]),
    );
    expect(JSON.stringify(layout)).toMatch(
      /After how many calls of the network does the image stop changing/,
    );
    const page = reportHtml(result, { plotly: "" });
    expect(page).toMatch(/<h2>All samples together<\/h2>/);
    expect(page).toMatch(/id="population-frechet-pca20"/);
  });

  test("interrupted and resumed it is the run that was not", async () => {
    const out = place("parts");
    const units = path.join(out, "units");
    const finished = (): number => {
      try {
        return readdirSync(units).filter((name) => name.endsWith(".safetensors")).length;
      } catch {
        return 0;
      }
    };
    const stopped = await probe([...SMALL, "--out", out], () => finished() >= 2);
    expect(stopped.code).toBe(130);
    expect(stopped.err).toMatch(/of 10 episodes saved; continue with/);
    expect(finished()).toBeLessThan(10);
    expect((await probe([...SMALL, "--out", out, "--resume"])).code).toBe(0);
    expect(readFileSync(path.join(out, "probe.json"), "utf8")).toBe(
      readFileSync(path.join(place("whole"), "probe.json"), "utf8"),
    );
  });

  test("too little for a verdict is said; parts of a run are refused", async () => {
    const few = ["--model", DIGITS, "--video-steps", "1", "--budgets", "1"];
    const some = await probe([
      ...few,
      "--video-seeds",
      "2",
      "--episodes",
      "3,8",
      "--out",
      place("some"),
      "--quiet",
    ]);
    expect(some.code).toBe(0);
    expect(resultIn(place("some")).population!.verdict).toEqual({
      status: "undetermined",
      reason: expect.stringMatching(/^Samples of 2 of 10 items were drawn/) as string,
    });
    const shard = await probe([...few, "--shard", "0/2", "--out", place("shard"), "--quiet"]);
    expect([shard.code, shard.err]).toEqual([
      2,
      expect.stringMatching(/cannot be put together from parts\. Run it whole/),
    ]);
    const noise = await probe([
      ...few,
      ...[
        "--noise",
        `${DIGITS}/noise.safetensors`,
        "--video-seeds",
        "100,",
        "--out",
        place("noise"),
        "--quiet",
      ],
    ]);
    expect(noise.err).toMatch(/has 100 rows of noise for class 0; seed 100 has none/);
  });

  test("a result with a population that does not fit is refused", () => {
    const text = readFileSync(path.join(place("whole"), "probe.json"), "utf8");
    const changed = (change: (population: NonNullable<ProbeResult["population"]>) => void): string => {
      const document = JSON.parse(text) as ProbeResult;
      change(document.population!);
      return JSON.stringify(document);
    };
    const read = (change: Parameters<typeof changed>[0]) => () => readResult(changed(change), "sent.json");
    expect(read(({ schedules }) => void schedules[0].values.accuracy.pop())).toThrow(
      /sent\.json: population\.schedules\[0\]\.values\.accuracy has not one entry/,
    );
    expect(read(({ stop }) => void delete stop.differences.frechet_pca20)).toThrow(
      /population\.stop\.differences/,
    );
    expect(read(({ floors }) => void delete floors[1].values.accuracy)).toThrow(/population\.floors/);
    expect(read(({ measures }) => void (measures[3].target = 1))).toThrow(/population\.measures/);
  });
});

describe("other shapes, read as they are", () => {
  test.each([
    ["sample-song-unet", 16, 48, 1],
    ["sample-sit-guided", 8, 32, 10],
    ["zoo-mlp", 1, 2, 1],
  ])("%s", async (name, positions, dimensions, classes) => {
    const model = place(`${name}-model`);
    mkdirSync(model);
    const { config } = JSON.parse(readFileSync(`test/golden-meanflow/${name}/case.json`, "utf8")) as {
      config: Record<string, unknown>;
    };
    const { arch: architecture, ...own } = config;
    writeFileSync(
      path.join(model, "model.json"),
      JSON.stringify({ kind: "meanflow", architecture, config: own, weights_are: "random" }),
    );
    cpSync(`test/golden-meanflow/${name}/weights.safetensors`, path.join(model, "weights.safetensors"));
    const words = ["--model", model, "--video-steps", "2", "--budgets", "1", "--video-seeds", "2"];
    const { code, err } = await probe([
      ...words,
      "--state-time",
      name === "zoo-mlp" ? "r" : "t",
      "--out",
      place(name),
    ]);
    expect([code, err]).toEqual([0, expect.stringContaining("probing")]);
    const result = resultIn(place(name));
    expect([result.chunk_length, result.action_names.length, result.episodes.length]).toEqual([
      ...[positions, dimensions, classes],
    ]);
    expect(result).toMatchObject({ population: null, other_rules: [{ rule: "instant" }] });
    expect(result.video_axis.mse_to_last.at(-1)).toBe(0);
    expect(result.verdict.status).toBe("undetermined");
  });
});
