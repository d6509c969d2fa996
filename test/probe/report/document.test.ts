/** The page as text: the same for the same result, its command, and words that contain markup. */
import { execFileSync } from "node:child_process";
import { JSDOM } from "jsdom";
import { describe, expect, it } from "vitest";
import { readOptions } from "../../../src/commands/probe/options.ts";
import { probeCommand } from "../../../src/commands/probe/settings.ts";
import { reportHtml } from "../../../src/probe/report/report.ts";
import { composedCommand } from "../../../src/probe/report/settings.ts";
import type { ProbeResult } from "../../../src/probe/result/result.ts";
import { withoutInnerSteps } from "../fixture.ts";
import { countOf, FULL_RUN, fullResult, HOSTILE, hostile, resultOf, withoutTruth } from "./cases.ts";

describe("the document", () => {
  const plain = { plotly: "window.Plotly = { react: async () => {} };" };
  const domOf = (text: string) => new JSDOM(text).window.document;

  it("is the same for the same result, with a command whether or not one is known", () => {
    const result = resultOf();
    expect(reportHtml(result, plain)).toBe(reportHtml(structuredClone(result), plain));
    expect(domOf(reportHtml(result, { ...plain, command: "other" })).querySelector("pre")!.textContent).toBe(
      "other",
    );
    const text = domOf(reportHtml(result, plain)).querySelector("pre")!.textContent;
    expect(text).toBe(composedCommand(result));
  });

  it("says the seconds of the run, where it says them by part", () => {
    const result = fullResult();
    const page = domOf(reportHtml(result, { ...plain, ...FULL_RUN })).body.textContent;
    // 40.8 s of 8 × 2 trajectories of 51 calls; 11.2 s of 16 × 7 read-outs.
    expect(page).toContain("Seconds: 0.0500 a call and 0.100 a read-out");
    expect(page).toContain("trajectory, this run");
    expect(page).toContain("1.00 GFLOP");
    const resumed = { ...plain, ...FULL_RUN, resumed_episodes: 1 };
    expect(domOf(reportHtml(result, resumed)).body.textContent).not.toContain("a read-out on");
  });

  it("composes a command that asks for policy, text, noise, arithmetic and budgets too", () => {
    const result = fullResult();
    result.model.stamp = { policy: "bridge", layer: "17", "state-time": "r", text: "7e47".repeat(16) };
    result.model.name = "release";
    result.arithmetic = "f16";
    const words = composedCommand(result).split(" ");
    const { settings } = probeCommand(readOptions(words.slice(2).map((w) => w.replaceAll("'", ""))), "");
    expect(settings).toMatchObject({
      ...{ policy: "bridge", stateTime: "r", straightness: true, arithmetic: "f16", budgets: [5, 10, 50] },
      ...{ text: "text-7e477e477e47.safetensors", noiseFile: "noise-015301530153.safetensors" },
    });
    const bare = {
      ...result,
      model: { ...result.model, stamp: {} },
      arithmetic: null,
      budget_axis: null,
      straightness: null,
    };
    bare.data.noise_sha256 = null;
    expect(composedCommand(bare)).not.toMatch(
      /--(policy|state-time|straightness|arithmetic|budgets|text|noise)/,
    );
  });

  it("composes a command that asks for the same settings", () => {
    const result = resultOf();
    result.model.name = "it's $(here) `now`";
    // As a shell takes it apart.
    const words = execFileSync(
      "sh",
      ["-c", `for w in ${composedCommand(result)}; do printf '%s\\n' "$w"; done`],
      {
        encoding: "utf8",
      },
    );
    const { settings } = probeCommand(readOptions(words.trimEnd().split("\n").slice(2)), "");
    expect(settings).toMatchObject({
      modelDir: result.model.name,
      episodes: result.episodes.map(({ index }) => index),
      videoSteps: 50,
      probeSteps: result.probe_steps,
      videoSeeds: [0, 1],
      actionSeeds: [0],
      actionSteps: 16,
      dtype: "f32",
    });
  });

  it.each([
    ["whole", resultOf()],
    ["without a truth", withoutTruth()],
    ["without inner steps", countOf(withoutInnerSteps())],
    ["of one episode", resultOf({ episodes: 1 })],
    ["with everything", fullResult()],
  ])("%s: shows words that contain markup, and adds no element for them", (_, result) => {
    const kinds = (document: Document) => {
      const counts: Record<string, number> = {};
      for (const { localName } of Array.from(document.querySelectorAll("*")))
        counts[localName] = (counts[localName] ?? 0) + 1;
      return counts;
    };
    const clean = hostile(result);
    const harmless = JSON.parse(
      JSON.stringify(clean).replaceAll(JSON.stringify(HOSTILE).slice(1, -1), "word"),
    ) as ProbeResult;
    const shown = domOf(reportHtml(clean, plain));
    expect(kinds(shown)).toEqual(kinds(domOf(reportHtml(harmless, plain))));
    for (const element of Array.from(shown.querySelectorAll("*")))
      for (const { name } of Array.from(element.attributes)) expect(name).not.toMatch(/^on/);
    expect(shown.querySelectorAll("[src], a[href], form, img, iframe")).toHaveLength(0);
    expect(shown.body.textContent).toContain(HOSTILE);
    const cells = Array.from(shown.querySelectorAll("td"), (cell) => cell.textContent);
    expect(cells.some((text) => text === HOSTILE)).toBe(true);
  });
});
