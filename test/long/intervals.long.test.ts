/** The tables of docs/intervals.md, once more, and the promise with the resamples that a run draws. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { clusterBootstrap } from "../../src/probe/statistics/bootstrap.ts";
import { expectedCoverage } from "../../src/probe/statistics/coverage.ts";
import { coverageOf, type Shape, SHAPES } from "../probe/simulate.ts";
import { METHODS, methods } from "./interval-methods.ts";

const page = readFileSync(new URL("../../docs/intervals.md", import.meta.url), "utf8");
const WORDS: Record<Shape, string> = {
  normal: "normal",
  t3: "t₃",
  "lognormal(1/2)": "lognormal(½)",
  "lognormal(1)": "lognormal(1)",
};

/** Cells of the row of a table that begins with these. */
function row(...start: string[]): number[] {
  const lines = page
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim().replaceAll("*", "")));
  const found = lines.filter((cells) => start.every((cell, i) => cells[i + 1] === cell));
  expect(found, start.join()).toHaveLength(1);
  return found[0].slice(1 + start.length).map(Number);
}

/** Two shares in per cent agree but for chance: four standard errors of both. */
function expectSame(measured: number, written: number, experiments: number) {
  const share = Math.min(written, 99) / 100;
  const error = 100 * Math.sqrt(share * (1 - share) * (1 / experiments + 1 / 10_000));
  expect(Math.abs(100 * measured - written), `${measured} against ${written}`).toBeLessThan(4 * error + 0.05);
}

const SIZES = [8, 16, 24, 64];

describe("the promise", () => {
  it.each(SIZES)(
    "%i episodes: 92 to 98 of a hundred, with the resamples of a run",
    { timeout: 600_000 },
    (episodes) => {
      const interval = clusterBootstrap(episodes);
      for (const shape of ["normal", "t3", "lognormal(1/2)"] as const) {
        const { covers } = coverageOf(interval, { shape, episodes, experiments: 2000, seed: 17 });
        expect(covers, shape).toBeGreaterThan(0.92);
        expect(covers, shape).toBeLessThan(0.98);
      }
    },
  );
});

describe("docs/intervals.md", () => {
  const experiments = 1000;

  it.each([4, ...SIZES])("methods compared at %i episodes", { timeout: 600_000 }, (episodes) => {
    const compared = methods(episodes, 1000);
    const hull = clusterBootstrap(episodes, { resamples: 1000 });
    for (const shape of SHAPES) {
      const written = row(String(episodes), WORDS[shape]);
      [...METHODS.map((name) => compared[name]), hull].forEach((interval, i) => {
        const { covers } = coverageOf(interval, { shape, episodes, experiments, seed: 23 });
        expectSame(covers, written[i], experiments);
      });
    }
  });

  it("what few episodes are worth, as the result has it", { timeout: 600_000 }, () => {
    for (let episodes = 2; episodes < 16; episodes++) {
      const expected = Object.values(expectedCoverage(episodes)!) as number[];
      const [table] = [page.slice(page.indexOf("| episodes | normal"))];
      expect(table.replace(/ +/g, " ")).toContain(
        `| ${episodes} | ${expected.map((value) => value.toFixed(1)).join(" | ")} |`,
      );
      const interval = clusterBootstrap(episodes, { resamples: 1000 });
      SHAPES.forEach((shape, i) => {
        const { covers } = coverageOf(interval, { shape, episodes, experiments, seed: 29 });
        expectSame(covers, expected[i], experiments);
      });
    }
  });
});
