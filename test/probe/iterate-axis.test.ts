/** The trajectory's own state beside its read-out, and the null that the noise schedule gives. */
import { describe, expect, it } from "vitest";
import { convergenceFigure } from "../../src/probe/figure/figure.ts";
import { readResult } from "../../src/probe/result/read-result.ts";
import { formatJson } from "../../src/probe/result/json.ts";
import { probeResult } from "../../src/probe/result/result.ts";
import { summaryText } from "../../src/probe/result/summary.ts";
import type { ProbeMeasurement } from "../../src/probe/experiment/measurement.ts";
import { withoutInnerSteps } from "./fixture.ts";

/** Iterates that are the last decode plus ± the noise that is left, the same of every episode. */
function planted(scale: number): ProbeMeasurement {
  const measurement = withoutInnerSteps();
  const { probeSteps } = measurement.settings;
  const K = probeSteps.length;
  const stopNull = probeSteps.map((_, k) => (1 - k / (K - 1)) ** 3);
  const size = measurement.chunkLength * measurement.actionNames.length;
  const episodes = measurement.episodes.map((episode) => {
    const iterates = Float32Array.from(episode.actions, (_, i) => {
      const [run, k, at] = [Math.floor(i / (K * size)), Math.floor(i / size) % K, i % size];
      const last = episode.actions[(run * K + K - 1) * size + at];
      return last + (at % 2 === 0 ? 1 : -1) * Math.sqrt(scale * stopNull[k]);
    });
    return { ...episode, iterates };
  });
  return { ...measurement, episodes, stopNull };
}

describe("the iterate", () => {
  it("that is the noise left in it lies on its null, to the last bit that float32 keeps", () => {
    const { iterate_axis: axis, probe_steps } = probeResult(planted(0.25));
    expect(axis!.mse_to_last[0]).toBeCloseTo(0.25, 5);
    probe_steps.forEach((_, k) =>
      expect(axis!.mse_to_last[k]).toBeCloseTo(axis!.null_curve.mse_to_last[k], 5),
    );
    expect(axis!.mse_to_last.at(-1)).toBe(0);
    // To the truth both begin and end where the iterate does.
    const { mse_to_truth: truth, null_curve } = axis!;
    expect(null_curve.mse_to_truth![0]).toBeCloseTo(truth![0], 6);
    expect(null_curve.mse_to_truth!.at(-1)).toBeCloseTo(truth!.at(-1)!, 6);
  });

  it("stands in result, summary and figure, and is read again", () => {
    const result = probeResult(planted(1));
    expect(readResult(formatJson(result), "probe.json")).toEqual(result);
    expect(summaryText(result, [])).toMatch(/iterate\s+its null/);
    const names = convergenceFigure(result).data.map(({ name }) => name);
    expect(names).toContain("null of the iterate: the noise that is left, whatever was learned");
    expect(names.filter((name) => String(name).startsWith("the iterate itself"))).toHaveLength(2);
  });

  it("is no axis where the read-out has its own, or the system does not say what noise is left", () => {
    const result = probeResult(withoutInnerSteps());
    expect(result.iterate_axis).toBeNull();
    expect(summaryText(result, [])).not.toMatch(/its null/);
    // A file that was written before there was this key.
    const older = formatJson(result).replace(/,\s*"iterate_axis": null/, "");
    expect(older).not.toContain("iterate_axis");
    expect(readResult(older, "probe.json").iterate_axis).toBeNull();
  });
});
