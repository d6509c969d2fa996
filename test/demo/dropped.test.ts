/** What dropped files are taken for. */
import { describe, expect, test } from "vitest";
import { whatIsDropped } from "../../demo/dropped.ts";
import { openReport, reportDocument } from "../../demo/report-view.ts";
import { formatJson } from "../../src/probe/result/json.ts";
import { readResult } from "../../src/probe/result/read-result.ts";
import { resultOf } from "../probe/report/cases.ts";

const files = (...named: (string | [string, string])[]) =>
  named.map((one) => {
    const [path, text] = typeof one === "string" ? [one, ""] : one;
    return { path, file: new File([text], path.split("/").at(-1)!) };
  });

const kindOf = async (...named: (string | [string, string])[]): Promise<string> => {
  const dropped = await whatIsDropped(files(...named));
  return dropped.kind === "wrong" ? dropped.why : dropped.kind;
};

describe("what was dropped", () => {
  test("is a model, in either layout", async () => {
    expect(await kindOf("toy/model.json", "toy/vae/config.json")).toBe("model");
    expect(await kindOf("p/config.json", "p/model.safetensors")).toBe("model");
    // A model that brings data is opened as the model.
    expect(await kindOf("m/model.json", "m/data/meta/info.json")).toBe("model");
  });

  test("is a data set", async () => {
    expect(await kindOf("set/meta/info.json", "set/data/chunk-000/file-000.parquet")).toBe("data");
  });

  test("is a result, by its name or by what it says of itself", async () => {
    expect(await kindOf(["probe.json", "not even JSON"])).toBe("report");
    expect(await kindOf("results/run/probe.json", "results/run/run.json", "results/run/report.html")).toBe(
      "report",
    );
    expect(await kindOf(["renamed.json", '{\n "schema": "mimic-video-probe"'])).toBe("report");
  });

  test("is nothing that can be opened, with a reason", async () => {
    expect(await kindOf("holiday.jpg")).toMatch(/“holiday\.jpg” cannot be opened here\. Drop the folder/);
    expect(await kindOf("a/x.bin", "a/y.bin", "a/z.bin")).toMatch(
      /of 3 files \(a\/x\.bin, a\/y\.bin, …\) none/,
    );
    expect(await kindOf(["run.json", '{"schema":"mimic-video-probe-run"}'])).toMatch(
      /“run\.json” is no result/,
    );
    expect(await kindOf("a/probe.json", "b/probe.json")).toMatch(/2 results/);
    // A configuration without its weights is no model.
    expect(await kindOf("p/config.json", "q/model.safetensors")).toMatch(/none can|cannot/);
  });
});

describe("a result that is opened", () => {
  test("is refused before anything is shown, naming the file and the key", async () => {
    await expect(openReport(new File(["{"], "probe.json"), "probe.json")).rejects.toThrow(/“probe\.json”/);
    const other = { ...resultOf(), probe_steps: [5, 3] };
    await expect(openReport(new File([JSON.stringify(other)], "x"), "a.json")).rejects.toThrow(
      /a\.json.*probe_steps|a\.json/,
    );
  });

  test("becomes the document of the command line, whose scripts alone may run", async () => {
    const result = readResult(formatJson(resultOf()), "probe.json");
    const html = await reportDocument(result, {});
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)![1];
    expect(policy.match(/sha256-[A-Za-z0-9+/]{43}=/g)).toHaveLength(2);
    expect(policy).not.toMatch(/script-src[^;]*unsafe-inline/);
    expect(html).toContain(result.verdict.reason.slice(0, 30));
  });

  test("shows markup in its words and does not run it", async () => {
    const markup = "<img src=x onerror=alert(1)>";
    const sent = { ...resultOf(), episodes: resultOf().episodes.map((one) => ({ ...one, prompt: markup })) };
    const html = await reportDocument(readResult(formatJson(sent), "probe.json"), {});
    expect(html).not.toContain(markup);
    expect(html).toMatch(/&lt;img src=x|\\u003cimg src=x/);
  });
});
