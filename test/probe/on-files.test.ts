/** `plot` and `compare` on files that others send: drawn again from the numbers alone, and refused by file and key when a key is not what it must be. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCommand } from "../../src/commands/probe/command.node.ts";
import { convergenceFigure, type Figure } from "../../src/probe/figure/figure.ts";
import { figureToPng, figureToSvg, svgToPng } from "../../src/probe/figure/plot.node.ts";
import { formatJson } from "../../src/probe/result/json.ts";
import { runRecord } from "../../src/probe/result/run-record.ts";
import { readResult } from "../../src/probe/result/read-result.ts";
import { probeResult } from "../../src/probe/result/result.ts";
import { referenceMeasurement, withoutInnerSteps } from "./fixture.ts";
import { fullMeasurement } from "./report/cases.ts";

let folder: string;
let drawn: Figure[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "on-files-"));
  drawn = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const RESULT = probeResult(referenceMeasurement());
const TEXT = formatJson(RESULT);
const at = (name: string): string => join(folder, name);

async function command(words: string[], drawPng?: (figure: Figure) => Promise<Uint8Array>) {
  let [stdout, stderr] = ["", ""];
  const code = await runCommand(words, {
    program: ["node", "dist/probe.js"],
    loadRunner: () => Promise.reject(new Error("a GPU was asked for")),
    drawPng:
      drawPng ??
      (async (figure) => {
        drawn.push(figure);
        return new Uint8Array([1]);
      }),
    writeReport: async (result, run) => `report of ${result.model.name} ${JSON.stringify(run ?? null)}`,
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    signal: new AbortController().signal,
  });
  return { code, stdout, stderr };
}

type Tree = Record<string, unknown>;

/** The result with one key changed; `path` as in messages. */
function changed(path: string, value: unknown, text = TEXT): string {
  const document = JSON.parse(text) as Tree;
  const keys = path.replaceAll("[", ".").replaceAll("]", "").split(".");
  let place = document;
  for (const key of keys.slice(0, -1)) place = place[key] as Tree;
  place[keys[keys.length - 1]] = value;
  return JSON.stringify(document);
}

/** What version 3 gained without another number: null in files that lack it, or what this measurement says anyway. */
const GAINED = [
  "arithmetic",
  "control_differences",
  "non_monotone",
  "straightness",
  "oracle_step",
  "leave_one_out",
  "exit_rules",
  "pareto",
];

const LATER = [
  ...["iterate_axis", "tap_similarity", "signals", "by_part", "flops"],
  ...["words", "other_rules", "population"],
];

describe("a result that is read", () => {
  it.each([
    ["the toy", referenceMeasurement()],
    ["no inner steps", withoutInnerSteps()],
    ["one episode", referenceMeasurement({ episodes: 1 })],
    ["all that can be measured", fullMeasurement()],
  ])("is what was written: %s", (_, measurement) => {
    const result = probeResult(measurement);
    expect(readResult(formatJson(result), "a.json")).toEqual(result);
  });

  const WRONG: [string, unknown, RegExp][] = [
    ["schema", "something", /schema is not "mimic-video-probe"/],
    ["version", 4, /version is 4; this program reads up to 3/],
    ["version", "3", /version is none of 1 to 3/],
    ["model", null, /model is null; an object/],
    ["model.name", 7, /model\.name is 7; text/],
    ["model.name", "x".repeat(10_001), /model\.name has 10001 characters/],
    ["model.trained_on", "luck", /model\.trained_on is "luck"; it must be "random" or "toy" or "pretrained"/],
    ["device.software", "no", /device\.software is "no"; true or false/],
    ["probe_steps", [], /probe_steps has 0 entries/],
    ["probe_steps", [0, 5, 5, 20, 30, 40, 50], /probe_steps is not ascending/],
    ["probe_steps", [0, 5, 10, 20, 30, 40, 51], /probe_steps goes beyond 50 video_steps/],
    ["probe_steps[2]", 1.5, /probe_steps\[2\] is 1\.5; a whole number/],
    ["tau", [1], /tau has 1 entries; K = 7 are needed/],
    ["action_steps", 1e9, /action_steps is no whole number from 0 to 10000/],
    ["chunk_length", 0, /chunk_length is no whole number from 1/],
    ["action_seeds", "other", /action_seeds is "other"; it must be "same"/],
    ["video_axis.mse_to_last[3]", -1, /video_axis\.mse_to_last\[3\] is -1; a finite number of at least 0/],
    ["video_axis.mse_to_truth[0]", null, /video_axis\.mse_to_truth\[0\] is null/],
    ["video_axis_interval.mse_to_last[1].low", "x", /video_axis_interval\.mse_to_last\[1\]\.low is "x"/],
    ["grid.iterate.to_last[6]", [0], /grid\.iterate\.to_last\[6\] has 1 entries; M \+ 1 = 17 are needed/],
    ["action_axis_per_dimension.one_jump_to_final", [], /one_jump_to_final has 0 entries; M = 16/],
    ["verdict.step", 7, /verdict\.step names step 7, which was not probed/],
    ["verdict.step", null, /verdict\.status is "sufficient" while verdict\.step is null/],
    ["verdict.better_steps", [0, 3], /verdict\.better_steps names step 3/],
    ["verdict.margin_source", null, /verdict\.margin_source is missing/],
    ["variants", { linear: "tiled" }, /variants\.linear is "tiled"; a list/],
    ["floors", [], /floors is a list; an object/],
  ];
  it.each(WRONG)("is refused by key: %s = %j", (path, value, message) => {
    expect(() => readResult(changed(path, value), "sent.json")).toThrow(message);
    expect(() => readResult(changed(path, value), "sent.json")).toThrow(/^sent\.json: /);
  });

  it("is refused with any key missing", () => {
    for (const key of Object.keys(RESULT).filter((one) => !GAINED.includes(one) && !LATER.includes(one)))
      expect(() => readResult(changed(key, undefined), "sent.json"), key).toThrow(
        new RegExp(`sent\\.json: .*${key}`),
      );
  });

  it("says nothing of what its version gained after it was written", () => {
    for (const key of LATER) expect(readResult(changed(key, undefined), "sent.json")).toEqual(RESULT);
    for (const key of GAINED)
      expect(readResult(changed(key, undefined), "sent.json")).toEqual({ ...RESULT, [key]: null });
  });

  it("is refused where JSON holds what is not finite, a key twice, or no end", () => {
    const infinite = TEXT.replace(/"tau": \[1,/, '"tau": [1e999,');
    expect(infinite).not.toBe(TEXT);
    expect(() => readResult(infinite, "sent.json")).toThrow(/sent\.json: tau\[0\]/);
    expect(() => readResult(TEXT.replace("{", '{ "version": 3, '), "s")).toThrow(/second time/);
    expect(() => readResult(TEXT.slice(0, -3), "s")).toThrow(/^s: /);
    expect(() => readResult("[".repeat(1e5), "s")).toThrow(/nesting deeper/);
    expect(() => readResult("[]", "s")).toThrow(/no JSON object/);
  });

  it("brings no keys of its own, and no prototype", () => {
    const hostile = TEXT.replace(
      "{",
      '{ "__proto__": { "polluted": 1 }, "constructor": 1, "extra": { "a": 1 },',
    ).replace(/"software": (true|false)/, '"software": $1, "__proto__": { "polluted": 2 }');
    const result = readResult(hostile, "sent.json");
    expect(result).toEqual(RESULT);
    expect(Object.getPrototypeOf(result.device)).toBe(Object.prototype);
    expect(({} as Tree).polluted).toBeUndefined();
    const record = TEXT.replace('"versions": {', '"versions": { "__proto__": "1",');
    expect(() => readResult(record, "sent.json")).toThrow(/versions has a name that may not be/);
  });
});

describe("older versions", () => {
  const run = { date: "", command: "", seconds: 1, phases: [], resumed_episodes: 0, peak_gpu_bytes: null };

  it("2, with its timing, says the same", () => {
    const second = JSON.stringify({ ...RESULT, version: 2, timing: run });
    expect(readResult(second, "old.json")).toEqual(RESULT);
  });

  it("1: its numbers, but not its verdict, which answered another question", async () => {
    const { verdict, interval, mse_to_truth_data_units } = RESULT;
    // What is undefined is left out of the text, as in files of that time.
    const unknown = { verdict: undefined, mse_to_last_data_units: undefined };
    const first = {
      ...{ ...RESULT, ...unknown, mse_to_truth_data_units: undefined, version: 1, timing: run },
      interval: { ...interval, expected_coverage: undefined },
      sufficient_step: {
        ...{
          step: 20,
          reason: "…",
          tolerance: verdict.margin,
          leaves_again_at: [],
          better_than_last_at: [5],
        },
        ...{ difference: verdict.difference, difference_interval: verdict.difference_interval },
      },
    };
    expect(mse_to_truth_data_units).toBeNull();
    const result = readResult(JSON.stringify(first), "old.json");
    expect(result.verdict).toMatchObject({ status: "undetermined", step: null, better_steps: [] });
    expect(result.verdict.reason).toMatch(/version 1.*measure again/);
    expect({ ...result, verdict, interval }).toEqual({
      ...RESULT,
      ...{ mse_to_last_data_units: null, mse_to_truth_data_units: null },
    });
    writeFileSync(at("old.json"), JSON.stringify(first));
    expect((await command(["plot", at("old.json"), "--out", at("again")])).code).toBe(0);
    expect(drawn[0].data.length).toBeGreaterThan(4);
  });
});

describe("plot", () => {
  it("draws the figure of the run again, without a GPU, from the file or its folder", async () => {
    writeFileSync(at("probe.json"), TEXT);
    for (const [name, out] of [
      [at("probe.json"), "one"],
      [folder, "two"],
    ]) {
      const { code, stdout, stderr } = await command(["plot", name, "--out", at(out)]);
      expect(code, stderr).toBe(0);
      expect(stdout).toMatch(/Sufficient video step: 20 of 50/);
      expect(stdout).toContain(join(at(out), "action_convergence.png"));
      expect(readdirSync(at(out)).sort()).toEqual(["action_convergence.png", "report.html"]);
    }
    expect(drawn).toEqual([convergenceFigure(RESULT), convergenceFigure(RESULT)]);
    await command(["plot", folder, "--reference", "truth", "--out", at("three"), "--quiet"]);
    expect(drawn[2]).toEqual(convergenceFigure(RESULT, "truth"));
    const again = await command(["plot", folder, "--out", at("one")]);
    expect(again).toMatchObject({ code: 2 });
    expect(again.stderr).toMatch(/already holds a action_convergence\.png/);
  });

  it("tells the report when the run was and how long it took, but no command that somebody else wrote", async () => {
    writeFileSync(at("probe.json"), TEXT);
    const parts = [{ name: "trajectory", seconds: 3 }];
    const timing = { phases: [], parts, resumedEpisodes: 0 };
    const facts = { date: "2026-11-26T00:00:00Z", command: "rm -rf /", seconds: 4 };
    writeFileSync(at("run.json"), formatJson(runRecord(timing, facts)));
    await command(["plot", folder, "--out", at("one")]);
    expect(JSON.parse(readFileSync(at("one/report.html"), "utf8").replace(/^[^{]*/, ""))).toEqual({
      ...{ date: facts.date, seconds: 4, parts, resumed_episodes: 0 },
    });
    writeFileSync(at("run.json"), '{ "schema": "something" }');
    const { code, stderr } = await command(["plot", folder, "--out", at("two")]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/run\.json: schema/);
  });

  it("shows markup and control characters as text", async () => {
    const hostile = '<b>bold</b><a href="javascript:alert(1)">x</a>&lt;\u001b[2J\u202e\ud800';
    writeFileSync(at("sent.json"), changed("model.name", hostile));
    let svg = "";
    const { code, stdout } = await command(["plot", at("sent.json"), "--out", at("out")], async (figure) => {
      svg = await figureToSvg(figure);
      return svgToPng(svg);
    });
    expect(code).toBe(0);
    expect(svg).not.toMatch(/<a[\s>]|font-weight[^>]*>bold</);
    expect(svg.replace(/<[^>]*>/g, "")).toContain("&#60;b&#62;bold&#60;/b&#62;");
    for (const character of ["\u001b", "\u202e"]) expect(svg + stdout).not.toContain(character);
    expect(stdout).toContain("<b>bold</b>");
  });

  it("refuses other files by name, and writes nothing", async () => {
    const refused: [string, RegExp][] = [
      [at("none.json"), /none\.json: there is no such file/],
      [at("pipe"), /no regular file|not a regular file|UTF-8/],
      [at("large.json"), /large\.json has .* at most/],
      [at("text.json"), /text\.json: /],
    ];
    writeFileSync(at("text.json"), "hello");
    writeFileSync(at("pipe"), new Uint8Array([0xff, 0xfe, 0x00]));
    writeFileSync(at("large.json"), "");
    truncateSync(at("large.json"), 65 * 2 ** 20);
    for (const [name, message] of refused) {
      const { code, stderr } = await command(["plot", name, "--out", at("out")]);
      expect(code).toBe(1);
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/fault of the program/);
    }
    expect(readdirSync(folder)).not.toContain("out");
  });

  it("refuses words it does not know", async () => {
    for (const words of [
      ["plot", "a", "b", "--out", "c"],
      ["plot", "a"],
      ["plot", "a", "--out", "b", "--episodes", "3"],
      ["compare", "a", "--out", "b"],
      ["compare", "a", "b", "--out", "c", "--model", "d"],
    ]) {
      const { code, stderr } = await command(words);
      expect(code, words.join(" ")).toBe(2);
      expect(stderr).toMatch(/node dist\/probe\.js (plot|compare)/);
    }
    expect((await command(["compare", "--help"])).stdout).toMatch(/compare A\.json B\.json/);
  });
});

describe("compare", () => {
  function others(): string[] {
    const half = referenceMeasurement({ episodes: 8 });
    half.provenance.dtype = "bf16";
    half.provenance.device.name = "another device";
    for (const episode of half.episodes) episode.actions = episode.actions.map((x) => 0.9 * x);
    const other = withoutInnerSteps();
    other.settings.videoSteps = 100;
    for (const [name, result] of [
      ["full", RESULT],
      ["half", probeResult(half)],
      ["long", probeResult(other)],
    ] as const) {
      mkdirSync(at(name));
      writeFileSync(join(at(name), "probe.json"), formatJson(result));
    }
    return ["full", "half", "long"].map(at);
  }

  it("overlays the video axis and says what differs", async () => {
    const [full, half] = others();
    const { code, stdout, stderr } = await command([
      "compare",
      full,
      join(half, "probe.json"),
      "--out",
      at("out"),
    ]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/dtype +A {2}f32\n +B {2}bf16/);
    expect(stdout).toMatch(/device\.name[^\n]*\n +B {2}another device/);
    expect(stdout).not.toMatch(/video_seeds|weights_sha256/);
    const comparison = JSON.parse(readFileSync(join(at("out"), "comparison.json"), "utf8")) as {
      runs: { letter: string; name: string; mse_to_truth: number[] }[];
      differences: { what: string }[];
    };
    expect(comparison.runs.map(({ letter, name }) => [letter, name])).toEqual([
      ["A", "full"],
      ["B", "half"],
    ]);
    expect(comparison.runs[0].mse_to_truth).toEqual(RESULT.video_axis.mse_to_truth);
    expect(comparison.differences.map(({ what }) => what)).toEqual(["device.name", "dtype"]);
    const [figure] = drawn;
    const curves = figure.data.filter(({ mode }) => mode === "lines+markers");
    expect(curves.map(({ x }) => x)).toEqual(Array(4).fill(RESULT.probe_steps));
    expect(curves.filter(({ showlegend }) => showlegend).map(({ name }) => name)).toEqual([
      expect.stringMatching(/^A {2}full/),
      expect.stringMatching(/^B {2}half/),
    ]);
  });

  it("puts schedules of different lengths on one axis, and says that equal runs are equal", async () => {
    const [full, , long] = others();
    const { stdout } = await command(["compare", full, long, "--out", at("out")]);
    expect(stdout).toMatch(/video_steps/);
    expect(stdout).toMatch(/schedules have different lengths/);
    const [, last] = drawn[0].data.filter(({ mode }) => mode === "lines+markers");
    expect(last.x).toEqual(RESULT.probe_steps.map((step) => step / 100));
    const same = await command(["compare", full, full, "--json", "--out", at("same")]);
    expect(same.stderr).toMatch(/Nothing differs in how they were made/);
    expect(JSON.parse(same.stdout)).toMatchObject({ differences: [] });
  });

  it("names the file that is wrong, and draws", async () => {
    const [full] = others();
    writeFileSync(at("bad.json"), changed("dtype", 3));
    const { code, stderr } = await command(["compare", full, at("bad.json"), "--out", at("out")]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/bad\.json: dtype is 3; text/);
    const painted = await command(["compare", full, at("half"), at("long"), "--out", at("out")], figureToPng);
    expect(painted.code, painted.stderr).toBe(0);
    expect(
      readFileSync(join(at("out"), "comparison.png"))
        .subarray(1, 4)
        .toString(),
    ).toBe("PNG");
  });
});
