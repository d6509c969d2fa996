/** The published schema is what the code says, real results are valid by it, and it leaves no key of them undescribed. */
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { formatJson } from "../../src/probe/result/json.ts";
import { type ProbeResult, probeResult } from "../../src/probe/result/result.ts";
import { resultJsonSchema } from "../../src/probe/result/result-shape.ts";
import { referenceMeasurement, withoutInnerSteps } from "./fixture.ts";
import { fullMeasurement } from "./report/cases.ts";

const published = readFileSync(new URL("../../docs/probe.schema.json", import.meta.url), "utf8");

/** The same schema with unknown keys refused wherever keys are named. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (schema === null || typeof schema !== "object") return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  return "properties" in inner ? { ...inner, additionalProperties: false } : inner;
}

function cases(): [string, ProbeResult][] {
  const blind = referenceMeasurement({ episodes: 1 });
  blind.episodes[0].truth = undefined;
  blind.episodes[0].otherContext = new Float32Array(0);
  const oracle = withoutInnerSteps();
  for (const episode of oracle.episodes) episode.oracle = episode.actions.map((x) => 0.5 * x);
  return [
    ["the toy", probeResult(referenceMeasurement())],
    ["one episode without truth", probeResult(blind)],
    ["no inner steps, a recorded future", probeResult(oracle)],
    ["all that can be measured", probeResult(fullMeasurement())],
  ];
}

describe("docs/probe.schema.json", () => {
  const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true });
  const validate = ajv.compile(JSON.parse(published) as object);
  const strict = new Ajv2020({ strict: false }).compile(closed(JSON.parse(published)) as object);

  it("is what result-shape.ts says", async () => {
    // `npx vitest run test/probe/schema.test.ts -u` writes it.
    await expect(formatJson(resultJsonSchema())).toMatchFileSnapshot("../../docs/probe.schema.json");
  });

  it.each(cases())("accepts and describes all of %s", (_, result) => {
    const document = JSON.parse(formatJson(result)) as object;
    expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
    expect(strict(document), JSON.stringify(strict.errors)).toBe(true);
    expect(validate({ ...document, later: 1 })).toBe(true);
  });

  it("refuses what is no result", () => {
    const document = JSON.parse(formatJson(probeResult(referenceMeasurement()))) as Record<string, unknown>;
    const without = { ...document, tau: undefined };
    for (const wrong of [
      without,
      { ...document, version: 2 },
      { ...document, video_axis: { mse_to_last: [-1], mse_to_truth: null } },
      { ...document, model: { ...(document.model as object), trained_on: "luck" } },
    ])
      expect(validate(wrong)).toBe(false);
  });
});
