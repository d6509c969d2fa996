/** The plot library in slices: what vite makes of the published bundle. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, expect, test } from "vitest";
import { inSlices, PLOTLY } from "../../demo/plotly-in-slices.ts";

const bundle = readFileSync(createRequire(import.meta.url).resolve(PLOTLY), "utf8");

describe("inSlices", () => {
  test("is a module with the library's modules on a list, none of them evaluated", async () => {
    // There is no window here: evaluating nearly any of the library's modules would fail.
    const url = `data:text/javascript;base64,${Buffer.from(inSlices(bundle)).toString("base64")}`;
    const { modules, plotly } = (await import(/* @vite-ignore */ url)) as {
      modules: (() => unknown)[];
      plotly: () => unknown;
    };
    expect(modules.length).toBeGreaterThan(300);
    // The last one needs all the others.
    expect(modules.at(-1)).toBe(plotly);
  });

  test("no slice is large", () => {
    const starts = [...bundle.matchAll(/var \w+=W\(/g)].map(({ index }) => index);
    const sizes = starts.map((start, i) => (starts[i + 1] ?? bundle.length) - start);
    expect(Math.max(...sizes) / bundle.length).toBeLessThan(0.12);
  });

  test("refuses a bundle that is made otherwise", () => {
    expect(() => inSlices(bundle.replace("var Plotly=(()=>{", "var Plotly=(function(){"))).toThrow(
      /bundled in another way/,
    );
    expect(() => inSlices(bundle.replace("return r||e(", "return r??e("))).toThrow(/bundled in another way/);
  });
});
