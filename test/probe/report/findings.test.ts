/** What the report says against the numbers it is made of. */
import { describe, expect, it } from "vitest";
import { videoChart } from "../../../src/probe/report/axes.ts";
import { findings } from "../../../src/probe/report/findings.ts";
import type { ProbeResult } from "../../../src/probe/result/result.ts";
import { short } from "../../../src/probe/result/words.ts";
import { probeResult } from "../../../src/probe/result/result.ts";
import { summaryText } from "../../../src/probe/result/summary.ts";
import { withoutInnerSteps } from "../fixture.ts";
import { countOf, fullResult, resultOf, withoutTruth } from "./cases.ts";

describe("findings", () => {
  const about = (result: ProbeResult, name: string) =>
    findings(result).find((finding) => finding.about === name)?.says ?? "";

  it("carry the result's own numbers", () => {
    const result = resultOf();
    const last = result.probe_steps.length - 1;
    const error = result.video_axis.mse_to_truth![last];
    const still = result.floors.hold_still!.to_truth!.mean;
    expect(about(result, "Size of the error")).toContain(short(error));
    expect(about(result, "Size of the error")).toContain(
      `${Number(((100 * error) / still).toPrecision(2))} % of the error of holding still`,
    );
    expect(about(result, "Regret")).toContain(short(result.verdict.regret_of_last!.mean));
    expect(about(result, "Intervals")).toContain("95 to 97 % hold the truth in simulation");
    expect(about(result, "What does not follow")).toContain(result.statement);
  });

  it("name better and worse steps with their numbers, and only those", () => {
    const result = resultOf();
    const { verdict } = result;
    expect(about(result, "Steps against the last")).toMatch(/^No earlier .*None is shown to be worse/);
    verdict.better_steps = [40];
    verdict.worse_steps = [0];
    verdict.difference![5] = -0.5;
    verdict.difference_interval![5] = { low: -0.75, high: -0.25 };
    const says = about(result, "Steps against the last");
    expect(says).toContain("Better than step 50: 40 by 0.500 [0.250, 0.750].");
    expect(says).toContain("Worse: 0 by ");
    expect(says).toContain("Of steps 5, 10, 20, 30 neither is shown");
  });

  it("doubt a control that is no worse, and one whose difference may be none", () => {
    const result = resultOf();
    const says = () => about(result, "Does the action use the context");
    const own = result.video_axis.mse_to_truth![6];
    const zeroed = result.controls.zeroed_context!.to_truth!;
    expect(says()).toMatch(/^With a zeroed context the error is [^.]*\.\d+[^:]*: it is worse\. With another/);
    result.control_differences!.zeroed_context = { mean: 0.1, interval: { low: -0.01, high: 0.2 } };
    expect(says()).toMatch(
      /larger by 0\.100 \[[^\]]*\]; the interval of the difference holds 0, so this is a hint/,
    );
    Object.assign(zeroed, { mean: own });
    expect(says()).toContain("nothing shows that the action uses it");
    result.controls.zeroed_context = null;
    expect(says()).toContain("was not measured");
  });

  it("compare intervals where older files know no difference", () => {
    const result = resultOf();
    result.control_differences = null;
    const says = () => about(result, "Does the action use the context");
    const own = result.video_axis.mse_to_truth![6];
    const ends = result.video_axis_interval.mse_to_truth![6];
    const zeroed = result.controls.zeroed_context!.to_truth!;
    Object.assign(zeroed, { mean: 2 * own, interval: { low: ends.high, high: 3 * own } });
    expect(says()).toMatch(/zeroed.*the intervals overlap, so this is a hint at most\. With another/);
    Object.assign(zeroed, { mean: 9, interval: { low: 1.01 * ends.high, high: 10 } });
    expect(says()).toMatch(/zeroed[^;]*: it is worse\. With another/);
  });

  it("say of single runs, of each episode and of the oracle what was counted", () => {
    const result = resultOf();
    result.non_monotone!.to_truth = {
      any: { mean: 0.5, interval: { low: 0.25, high: 0.75 } },
      beyond: { mean: 0.125, interval: { low: 0, high: 0.3 } },
    };
    expect(about(result, "Single runs")).toMatch(
      /^Of 16 single curves .* 50 % \[25, 75\] rise.*, 13 % \[0, 30\]\./,
    );
    result.leave_one_out = { runs: 8, left_out: 1, same: 1, range: { least: 20, most: 20 }, undetermined: 0 };
    expect(about(result, "Does one episode decide")).toMatch(
      /stays 20 in 8 of 8 runs: no single one decides it/,
    );
    result.leave_one_out = {
      runs: 8,
      left_out: 1,
      same: 0.5,
      range: { least: 5, most: 20 },
      undetermined: 1,
    };
    expect(about(result, "Does one episode decide")).toMatch(
      /in 4 of 8 runs; the answers lie between step 5 and 20, and 1 run has none\./,
    );
    result.oracle_step!.per_episode = [0, 5, 5, 5, 20, 20, 50, 50];
    result.oracle_step!.regret = [9, 8, 0.25, 7, 6, 5, 4];
    result.oracle_step!.regret_interval = null;
    expect(about(result, "Oracle step")).toContain("5 in 3, 20 in 2, 50 in 2, 0 in 1");
    expect(about(result, "Oracle step")).toContain(
      "the best single step, 10, misses that by 0.250, the last by 4.00",
    );
  });

  it("do not say that the best step differs where it is the same in every episode", () => {
    const result = resultOf();
    result.oracle_step!.per_episode = result.oracle_step!.per_episode.map(() => 5);
    expect(about(result, "Oracle step")).toMatch(/^The best probed step is 5 in each of the 8 episodes\. /);
    result.oracle_step!.per_episode = [5];
    expect(about(result, "Oracle step")).toMatch(/^The best probed step is 5\. /);
  });

  it("speak of prompts that were not run with several seeds only where they were not", () => {
    const result = fullResult();
    // Two kinds of ambiguity, and nothing unambiguous to hold them against.
    for (const spread of result.spread_by_label) spread.contrast = null;
    expect(about(result, "Ambiguous prompts")).toBe("");
  });

  it("name steps that were left out only where some were", () => {
    const result = resultOf();
    expect(about(result, "What does not follow")).toContain("Video steps between the probed ones");
    // The release can be read after 0 to 34 of its 35 steps.
    Object.assign(result, { probe_steps: [28, 29, 30, 31, 32, 33, 34], video_steps: 35 });
    expect(about(result, "What does not follow")).not.toContain("between the probed ones");
  });

  it("say of the recorded future what its interval says", () => {
    const result = resultOf();
    const k = result.probe_steps.length - 1;
    const own = result.video_axis.mse_to_truth![k];
    const ends = result.video_axis_interval.mse_to_truth![k];
    const known = (error: number, high: number | null) => {
      const interval = high === null ? null : result.probe_steps.map(() => ({ low: 0, high }));
      result.oracle_axis = { mse_to_last: [], mse_to_truth: result.probe_steps.map(() => error) };
      result.oracle_axis_interval = { mse_to_last: null, mse_to_truth: interval };
      return about(result, "Recorded future");
    };
    expect(known(ends.low / 2, 0.9 * ends.low)).toMatch(/imagined one: part of the error lies in what/);
    expect(known(ends.low / 2, ends.high)).toMatch(/may lie in .*; the intervals overlap/);
    expect(known(ends.low / 2, null)).toMatch(/may lie in .*; without intervals this is a hint at most\.$/);
    expect(known(own, ends.high)).toMatch(/nothing shows that the error lies in what was imagined\.$/);
  });

  it("say of whole schedules how far they end from the last decode where the truth is not known", () => {
    const result = fullResult();
    result.budget_axis!.mse_to_truth = null;
    result.budget_axis!.equal_cost = null;
    const { steps, mse_to_last } = result.budget_axis!;
    expect(about(result, "Shorter schedules")).toContain(
      `lie from the last decode by: ${steps[0]} steps ${short(mse_to_last[0])}`,
    );
  });

  it("speak of no video where what is denoised is what is read", () => {
    const measurement = withoutInnerSteps();
    const settings = { ...measurement.settings, actionSeeds: "same" } as const;
    const episodes = measurement.episodes.map((episode) => ({ ...episode, iterates: episode.actions }));
    const stopNull = settings.probeSteps.map((_, k, all) => 1 - k / (all.length - 1));
    const result = probeResult({ ...measurement, settings, episodes, stopNull });
    const said = [summaryText(result, []), ...findings(result).map(({ says }) => says)].join("\n");
    expect(said).not.toMatch(/video/i);
    expect(said).toMatch(/Denoising axis:[^]*Sufficient denoising step/);
    expect(said).toMatch(/noise seed/);
    const chart = videoChart(result);
    expect([chart.title, chart.x.title].join(" ")).toMatch(/^Denoising axis: .* denoising step k of 50/);
    // A null is a line without marks, in its legend too.
    for (const { name, symbol } of chart.curves)
      expect(symbol === undefined, name).toBe(name.startsWith("null of the iterate"));
  });

  it("name a rule that beats one step for all, and only then", () => {
    const result = resultOf();
    expect(about(result, "Stopping by a signal")).toContain("No rule is shown to err less");
    for (const rule of result.exit_rules!.rules)
      if (rule.signal === "action_change")
        rule.against_fixed = { error: { mean: -0.1, interval: { low: -0.2, high: -0.05 } }, steps: -3 };
    expect(about(result, "Stopping by a signal")).toContain(
      "Shown to err less than one step for all: change of the action (not corrected",
    );
    expect(about(resultOf({ episodes: 7 }), "Stopping by a signal")).toMatch(/it takes 8 .* there are 7\.$/);
  });

  it("speak of what only a full measurement has", () => {
    const result = fullResult();
    expect(about(result, "Ambiguous prompts")).toMatch(/^Over video seeds ambiguous prompts .* \[/);
    expect(about(result, "Hidden states")).toContain(
      "step 40 and 50 have a centred cosine of 0.900 (shuffled: −0.0100)",
    );
    expect(about(result, "Shorter schedules")).toMatch(
      /5 steps .*10 steps .*At equal cost a whole schedule of 5 .* than stopping at 5/,
    );
    expect(about(result, "By what dimensions mean")).toMatch(
      /position by [^;]* \(m\); gripper switches .* positions off/,
    );
    expect(about(result, "Does the action use the context")).toContain("With its own frames shuffled");
    result.spread_by_label = [];
    expect(about(result, "Ambiguous prompts")).toContain("but one seed was run");
    for (const { says } of findings(result)) expect(says).not.toMatch(/NaN|undefined|null\b|Infinity/);
  });

  it("compare change with chance", () => {
    const result = resultOf();
    const change = result.video_axis.mse_to_last;
    result.between_seeds.video = (change[3] + change[2]) / 2;
    expect(about(result, "Change and chance")).toContain("From step 20 on");
    result.between_seeds.video = 1e-9;
    expect(about(result, "Change and chance")).toContain(
      "The decode of step 40, the last but one that was probed, is no nearer to its last than that.",
    );
    Object.assign(result.between_seeds, { video: null, action: null });
    expect(about(result, "Change and chance")).toContain("not known how far apart");
  });

  it("call an iterate that follows its null arithmetic", () => {
    const result = resultOf();
    expect(about(result, "Inside the action")).toContain("not the sampler's arithmetic alone");
    result.action_axis_at_last_video_step!.iterate_to_final = [...result.null_curve!.iterate_to_final];
    expect(about(result, "Inside the action")).toContain(
      "1.00 to 1.00 times that of a straight flow: within",
    );
  });

  it("say what is not known instead of a number", () => {
    const blind = withoutTruth();
    expect(about(blind, "Size of the error")).toContain("not known");
    expect(about(blind, "Does the action use the context")).toMatch(
      /^With a zeroed context the action moves by/,
    );
    expect(findings(blind).map((finding) => finding.about)).not.toContain("Regret");
    expect(findings(countOf(withoutInnerSteps())).map((f) => f.about)).not.toContain("Inside the action");
    const one = resultOf({ episodes: 1 });
    expect(about(one, "Intervals")).toContain("no intervals");
    for (const { says } of [...findings(blind), ...findings(one)])
      expect(says).not.toMatch(/NaN|undefined|null\b/);
  });
});
