/** docs/add-a-system.md: its example is the file that is compiled, and the probe finds the answer that is known. */
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { points } from "../../docs/example-system.ts";
import { runProbe } from "../../src/probe/experiment/run.ts";
import { probeStatistics } from "../../src/probe/statistics/statistics.ts";
import { recognise } from "../../src/systems/registry.ts";
import { bytesSource } from "../../src/weights/blob.ts";
import { modelFilesOf } from "../../src/weights/model-files.browser.ts";
import { testGpu } from "../support/gpu.ts";

const folder = (name: string, text: string) =>
  modelFilesOf("some-points", new Map([[name, bytesSource(new TextEncoder().encode(text), name)]]));

describe("the example of docs/add-a-system.md", () => {
  it("stands in the document as it is compiled", async () => {
    const [page, code] = await Promise.all(
      ["docs/add-a-system.md", "docs/example-system.ts"].map((path) => readFile(path, "utf8")),
    );
    expect(page).toContain(code);
    expect(page.split("\n").length - code.split("\n").length).toBeLessThan(60);
  });

  it("is recognised by its files, or says what it misses", async () => {
    expect(await recognise(folder("points.json", "[]"), [points])).toBe(points);
    await expect(recognise(folder("other.json", "[]"), [points])).rejects.toThrow(
      /some-points is no model .* 1 files:\n {2}points: points\.json/,
    );
  });

  it("gives the errors of a straight flow: τ² of the first", async () => {
    const gpu = await testGpu();
    const files = folder("points.json", "[3, -2, 0.5]");
    const opened = await points.open(gpu, files, {});
    await opened.load({});
    const subject = await opened.subject(files);
    const model = {
      name: "",
      revision: "",
      weightsSha256: "",
      trainedOn: "toy",
      system: "",
      stamp: {},
    } as const;
    const device = { name: "", driver: "", adapter: "", software: true };
    const provenance = {
      model,
      device,
      data: { name: "", sha256: "" },
      noiseSha256: null,
      dtype: "f32",
      versions: {},
    } as const;
    const before = gpu.memory.usage.inUse;
    const settings = { modelDir: "", probeSteps: [0, 3, 8], episodes: "all" } as const;
    const measurement = await runProbe({ subject, provenance }, { ...settings, videoSeeds: [0, 1] }, {});
    expect(measurement.settings.probeSteps).toEqual([0, 3, 8, 10]);
    expect(measurement.taus).toEqual([1, Math.fround(0.7), Math.fround(0.2), 0]);
    const { toTruth } = probeStatistics(measurement).videoAxis;
    for (const perEpisode of toTruth!.perEpisode) {
      measurement.taus.forEach((tau, k) => expect(perEpisode[k]).toBeCloseTo(tau ** 2 * perEpisode[0], 5));
    }
    // Three episodes, each with its own truth; nothing is left on the device.
    expect(measurement.episodes.map(({ truth }) => truth![0])).toEqual([3, -2, 0.5]);
    expect(gpu.memory.usage.inUse).toBe(before);
    await subject.close();
  });
});
