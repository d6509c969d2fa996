/** Straightness in a result: means of ratios, what it says, and what it is left out without. */
import { describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { completeSettings } from "../../src/probe/experiment/settings.ts";
import type { Subject } from "../../src/probe/subject.ts";
import { formatJson } from "../../src/probe/result/json.ts";
import { readResult } from "../../src/probe/result/read-result.ts";
import { probeResult } from "../../src/probe/result/result.ts";
import { straightnessSentence } from "../../src/probe/result/sentences.ts";
import { summaryText } from "../../src/probe/result/summary.ts";
import { straightnessResult } from "../../src/probe/statistics/straightness.ts";
import { referenceMeasurement } from "./fixture.ts";
import { fullMeasurement } from "./report/cases.ts";

const OPTIONS = { level: 0.95, resamples: 1000, seed: 0 };

describe("straightness", () => {
  it("is the mean of residual over speed, trajectories first, then episodes", () => {
    const measurement = referenceMeasurement({ episodes: 2 });
    measurement.flow = { of: "a flow", times: [0, 0.5] };
    measurement.episodes.forEach((episode, e) => {
      episode.flowSpeed = Float32Array.of(1, 2, 4, 0);
      episode.flowResidual = Float32Array.of(1, 1, 2, 0).map((v) => v * (e + 1));
    });
    const found = straightnessResult(measurement, OPTIONS)!;
    // Trajectories (1/1, 1/2) and (2/4, nothing moves).
    expect(found.per_episode).toEqual([
      [0.75, 0.25],
      [1.5, 0.5],
    ]);
    expect(found.residual).toEqual([1.125, 0.375]);
    expect(found.interval).toHaveLength(2);
    expect(found.bend).toBeNull();
  });

  it("is null where any episode was not measured", () => {
    const measurement = referenceMeasurement();
    expect(straightnessResult(measurement, OPTIONS)).toBeNull();
    measurement.flow = { of: "a flow", times: [0] };
    expect(straightnessResult(measurement, OPTIONS)).toBeNull();
    const plain = probeResult(referenceMeasurement());
    expect(plain.straightness).toBeNull();
    expect(straightnessSentence(plain)).toBe("");
    expect(summaryText(plain, [])).not.toContain("Straightness");
  });

  it("stands in the result, the summary and a file that is read again", () => {
    const result = probeResult(fullMeasurement());
    expect(result.straightness!.residual[0]).toBeGreaterThan(0.8);
    expect(result.straightness!.bend![0]).toBeCloseTo(0.1, 6);
    const words = straightnessSentence(result);
    expect(words).toMatch(
      /^Straightness of the action decoder's flow: .* at time 0, .* at time 0\.75 \(0: a straight way/,
    );
    expect(summaryText(result, []).replaceAll(/\s+/g, " ")).toContain(words);
    const text = formatJson(result);
    expect(readResult(text, "probe.json").straightness).toEqual(result.straightness);
    const wrong = text.replace(/"residual": \[[^\]]*\]/, '"residual": [1]');
    expect(() => readResult(wrong, "probe.json")).toThrow(/straightness\.residual.*4/);
  });

  it("is refused in words where a flow cannot be differentiated", () => {
    const subject = {
      axes: { stop: () => ({ steps: 1, times: [0, 1] }) },
      items: { count: 1 },
    } as unknown as Subject;
    const settings = { modelDir: "m", straightness: true };
    expect(() => completeSettings(settings, { ...subject, gpu: {} as Gpu })).toThrow(
      /--straightness: the flow of this system cannot be differentiated/,
    );
  });
});
