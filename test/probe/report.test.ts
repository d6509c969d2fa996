/**
 * report.html: what it says against the numbers, what it shows of words that contain markup, and the page itself in the packaged Chromium,
 * without a network. Pictures of it are left in results/report.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { JSDOM } from "jsdom";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { readOptions } from "../../src/commands/probe/options.ts";
import { probeCommand } from "../../src/commands/probe/settings.ts";
import type { ProbeMeasurement } from "../../src/probe/experiment/measurement.ts";
import { actionChart, differenceChart, videoChart } from "../../src/probe/report/axes.ts";
import {
  dimensionChart,
  episodeChart,
  episodeTable,
  positionChart,
} from "../../src/probe/report/breakdown.ts";
import { drawingOf, tableOf } from "../../src/probe/report/chart.ts";
import { findings } from "../../src/probe/report/findings.ts";
import { heatMaps } from "../../src/probe/report/grid.ts";
import { escaped, INVISIBLE, markup, scriptJson, scriptText } from "../../src/probe/report/markup.ts";
import { reportPage } from "../../src/probe/report/report-page.node.ts";
import { reportHtml } from "../../src/probe/report/report.ts";
import { composedCommand } from "../../src/probe/report/settings.ts";
import { type ProbeResult, probeResult } from "../../src/probe/result/result.ts";
import { short } from "../../src/probe/result/words.ts";
import { startChromium } from "../support/chromium.ts";
import { type FixtureOptions, referenceMeasurement, withoutInnerSteps } from "./fixture.ts";

const PICTURES = "results/report";
const countOf = (measurement: ProbeMeasurement): ProbeResult => probeResult(measurement);
const resultOf = (options?: FixtureOptions): ProbeResult => countOf(referenceMeasurement(options));

function withoutTruth(): ProbeResult {
  const measurement = referenceMeasurement();
  for (const episode of measurement.episodes) episode.truth = undefined;
  return countOf(measurement);
}

/** Words that would do something if they were not only words. */
const HOSTILE = [
  "<script>window.pwned = 1</script>",
  "</script><script>window.pwned = 2</script>",
  "<!--<script>",
  '"><img src="https://example.com/x" onerror="window.pwned = 3">',
  "' onmouseover='window.pwned = 4' x='",
  '<a href="javascript:window.pwned = 5">here</a>',
  "javascript:window.pwned = 6",
  "</style><style>@import 'https://example.com/y';</style>",
  "</title></head><body onload=window.pwned=7>",
  "a\u2028b\u2029c",
  "&lt;b&gt; &amp; ${window.pwned = 8} %{x} $$ `",
  "https://example.com/image.png",
].join(" | ");

/** The same result with such words wherever words may come from outside. */
function hostile(result: ProbeResult): ProbeResult {
  const words = (text: string) => `${text} ${HOSTILE}`;
  const { model, data } = result;
  return {
    ...result,
    statement: words(result.statement),
    model: {
      ...model,
      name: words(model.name),
      revision: words(model.revision),
      weights_sha256: words(model.weights_sha256),
      system: words(model.system),
      stamp: { [words("policy")]: words("bridge") },
    },
    data: { name: words(data.name), sha256: words(data.sha256), noise_sha256: HOSTILE },
    device: { name: HOSTILE, driver: HOSTILE, adapter: HOSTILE, software: true },
    dtype: words(result.dtype),
    variants: { [HOSTILE]: [HOSTILE] },
    versions: { [HOSTILE]: HOSTILE },
    episodes: result.episodes.map(({ index, id, prompt }) => ({
      ...{ index, id: words(id), prompt: words(prompt) },
    })),
    action_names: result.action_names.map(words),
    action_units: result.action_units.map(words),
    interval: { ...result.interval, method: words(result.interval.method) },
    verdict: { ...result.verdict, reason: words(result.verdict.reason) },
  };
}

describe("markup", () => {
  const domOf = (text: string) => new JSDOM(text).window.document;

  it("is read back as the words that went in, in elements and attributes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const parsed = domOf(`<p title="${escaped(text)}">${escaped(text)}</p>`).querySelector("p")!;
        const visible = text.replace(INVISIBLE, "\ufffd");
        expect(parsed.textContent).toBe(visible);
        expect(parsed.title).toBe(visible);
        expect(parsed.attributes).toHaveLength(1);
        expect(parsed.children).toHaveLength(0);
      }),
    );
  });

  it("escapes every value of a template but markup itself", () => {
    const item = markup`<b>${"<i>"}</b>`;
    expect(markup`${item}${[item, "&"]}${null}${false}${0}`.text).toBe(
      "<b>&lt;i&gt;</b><b>&lt;i&gt;</b>&amp;0",
    );
  });

  it("keeps JSON whole inside a script, whatever is in it", () => {
    for (const value of [HOSTILE, ["]]>", "<!--", "</SCRIPT >"], { "</script>": 1 }]) {
      const document = domOf(`<script type="application/json" id="x">${scriptJson(value).text}</script><p>`);
      expect(document.scripts).toHaveLength(1);
      expect(JSON.parse(document.getElementById("x")!.textContent)).toEqual(value);
      expect(scriptJson(value).text).not.toMatch(/[<>&\u2028\u2029]/);
    }
  });

  it("keeps a script whole that names its own end", () => {
    const code = 'const ends = "</script>" + "<!--" + "</SCRIPT>";';
    const document = domOf(`<script>${scriptText(code)}</script><p>`);
    expect(document.scripts).toHaveLength(1);
    const ran = new JSDOM(document.documentElement.outerHTML, { runScripts: "dangerously" }).window;
    expect(ran.eval("ends")).toBe("</script><!--</SCRIPT>");
  });
});

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

  it("doubt a control that is no worse, and one whose interval overlaps", () => {
    const result = resultOf();
    const own = result.video_axis.mse_to_truth![6];
    const ends = result.video_axis_interval.mse_to_truth![6];
    const zeroed = result.controls.zeroed_context!.to_truth!;
    Object.assign(zeroed, { mean: own, interval: ends });
    expect(about(result, "Does the action use the context")).toContain(
      "nothing shows that the action uses it",
    );
    Object.assign(zeroed, { mean: 2 * own, interval: { low: ends.high, high: 3 * own } });
    expect(about(result, "Does the action use the context")).toMatch(/^[^.]*zeroed.*hint at most/);
    Object.assign(zeroed, { mean: 9, interval: { low: 1.01 * ends.high, high: 10 } });
    expect(about(result, "Does the action use the context")).not.toMatch(/zeroed[^;]*own; the intervals/);
    result.controls.zeroed_context = null;
    expect(about(result, "Does the action use the context")).toContain("was not measured");
  });

  it("compare change with chance", () => {
    const result = resultOf();
    const change = result.video_axis.mse_to_last;
    result.between_seeds.video = (change[3] + change[2]) / 2;
    expect(about(result, "Change and chance")).toContain("From step 20 on");
    result.between_seeds.video = 1e-9;
    expect(about(result, "Change and chance")).toContain("every earlier probed step is farther");
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

describe("figures", () => {
  const levels = ["hold still", "dataset mean", "zeroed context", "another episode's context"];

  it("stand with their floors and nulls", () => {
    const result = resultOf();
    for (const chart of [videoChart(result), actionChart(result)!])
      expect(chart.levels.map(({ name }) => name)).toEqual(levels);
    for (const chart of [dimensionChart(result), positionChart(result)])
      expect(chart.levels.map(({ name }) => name)).toEqual(levels.map((name) => `${name}, over all`));
    for (const chart of [differenceChart(result)!, episodeChart(result)])
      expect(chart.levels.map(({ name }) => name)).toEqual(["no difference", "margin"]);
    expect(actionChart(result)!.curves.filter(({ name }) => name.startsWith("null"))).toHaveLength(2);
    expect(drawingOf(differenceChart(result)!).layout.shapes).toHaveLength(1);
  });

  it("have tables of the same numbers", () => {
    const result = resultOf();
    const { rows, head } = tableOf(videoChart(result));
    expect(head).toHaveLength(3);
    expect(rows).toHaveLength(7);
    const { low, high } = result.video_axis_interval.mse_to_truth![2];
    expect(rows[2][1]).toBe(`${short(result.video_axis.mse_to_truth![2])} [${short(low)}, ${short(high)}]`);
    // One-jump estimates end a step before the iterates.
    expect(tableOf(actionChart(result)!).rows[16][2]).toBe("–");
    const table = episodeTable(result);
    expect(table.rows.map(([id]) => id)).toEqual(result.episodes.map(({ id }) => id));
    expect(table.rows[0][2]).toBe(short(result.video_axis_per_episode.mse_to_truth![0][0]));
  });

  it("heat maps hold every cell, and the ratio to the null is 1 where the flow is straight", () => {
    const maps = heatMaps(resultOf());
    expect(maps.map(({ id }) => id)).toEqual(["grid-iterate", "grid-one-jump", "grid-null"]);
    for (const { drawing, table } of maps) {
      const [{ marker, x, base }] = drawing.data as {
        marker: { shades: number[] };
        x: number[];
        base: number[];
      }[];
      const cells = table.rows.flatMap((row) => row.slice(1)).filter((cell) => cell !== "–");
      expect([x.length, base.length, marker.shades.length]).toEqual([
        cells.length,
        cells.length,
        cells.length,
      ]);
      expect(Math.min(...marker.shades)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...marker.shades)).toBeLessThanOrEqual(1);
    }
    // The fixture's flows are straight but for the last step's.
    for (const row of maps[2].table.rows.slice(0, -1))
      expect(new Set(row.slice(1))).toEqual(new Set(["1.00"]));
    expect(heatMaps(countOf(withoutInnerSteps()))).toEqual([]);
  });

  it("a grid of equal values and one with zeros can be drawn", () => {
    const result = resultOf();
    for (const value of [0, 0.3]) {
      result.grid!.iterate.to_truth = result.grid!.iterate.to_truth!.map((row) => row.map(() => value));
      const [{ marker }] = heatMaps(result)[0].drawing.data as { marker: { shades: number[] } }[];
      expect(marker.shades.every((shade) => shade >= 0 && shade <= 1)).toBe(true);
    }
  });

  it("stay small with many episodes, steps and dimensions", () => {
    const result = resultOf();
    const [E, K, D] = [1000, 101, 64];
    const rows = (n: number, m: number) =>
      Array.from({ length: n }, (_, i) =>
        Array.from({ length: m }, (_, j) => 0.01 * (1 + ((i * 7 + j) % 13))),
      );
    const both = <T>(value: T) => ({ mse_to_last: value, mse_to_truth: value });
    const many: ProbeResult = {
      ...result,
      video_steps: K - 1,
      probe_steps: rows(1, K)[0].map((_, k) => k),
      tau: rows(1, K)[0].map((_, k) => 1 - k / (K - 1)),
      episodes: rows(E, 1).map((_, index) => ({ index, id: `episode ${index}`, prompt: "push ".repeat(40) })),
      action_names: rows(D, 1).map((_, d) => `joint ${d}`),
      action_units: rows(D, 1).map(() => "rad"),
      video_axis: both(rows(1, K)[0]),
      video_axis_interval: both(null),
      video_axis_per_episode: both(rows(E, K)),
      video_axis_per_dimension: both(rows(K, D)),
      video_axis_per_position: both(rows(K, 24)),
      mse_to_last_data_units: rows(K, D),
      grid: {
        iterate: { to_final: rows(K, 17), to_last: rows(K, 17), to_truth: rows(K, 17) },
        one_jump: { to_final: rows(K, 16), to_last: rows(K, 16), to_truth: rows(K, 16) },
      },
      verdict: { ...result.verdict, difference: rows(1, K)[0], difference_interval: null },
    };
    expect(reportHtml(many, { plotly: "" }).length).toBeLessThan(800_000);
  });
});

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

describe("the page in a browser", () => {
  let browser: Browser | undefined;
  let unavailable: string | undefined;
  const complaints: string[] = [];
  const requested: string[] = [];

  beforeAll(async () => {
    mkdirSync(PICTURES, { recursive: true });
    browser = await startChromium(false).catch((error: Error) => {
      unavailable = `no browser could be started: ${error.message.split("\n")[0]}`;
      console.warn(`the report is not opened, ${unavailable}`);
      return undefined;
    });
  });
  afterAll(async () => browser?.close());

  const inBrowser = (name: string, body: () => Promise<void>): void => {
    test(name, { timeout: 240_000 }, async ({ skip }) => (unavailable ? skip(unavailable) : body()));
  };

  /** Opens a report as a file, where there is no network; everything it asks for is noted. */
  async function opened(name: string, result: ProbeResult, touch = false): Promise<Page> {
    complaints.length = 0;
    requested.length = 0;
    const file = path.resolve(PICTURES, `${name}.html`);
    const text = await reportPage(result);
    expect(Buffer.byteLength(text)).toBeLessThan(2_000_000);
    writeFileSync(file, text);
    const context = await browser!.newContext({
      offline: true,
      viewport: { width: 1280, height: 900 },
      hasTouch: touch,
    });
    const page = await context.newPage();
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("dialog", (dialog) => {
      complaints.push(dialog.message());
      void dialog.dismiss();
    });
    page.on("request", (request) => requested.push(request.url()));
    await page.goto(pathToFileURL(file).href);
    await drawn(page);
    return page;
  }

  const drawn = (page: Page) =>
    page.waitForFunction(() =>
      Array.from(document.querySelectorAll<HTMLElement>(".plot")).every(
        ({ dataset }) => dataset.drawn === "yes",
      ),
    );

  const expectQuiet = (): void => {
    expect(complaints).toEqual([]);
    expect(requested.filter((url) => !/^data:|^blob:/.test(url))).toHaveLength(1);
  };

  const SIZES = [
    ["wide", 1280, 900],
    ["narrow", 390, 844],
  ] as const;

  inBrowser("opens without a network, in light and dark, wide and narrow, and is accessible", async () => {
    const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    for (const [name, result] of [
      ["toy", resultOf()],
      ["blind", withoutTruth()],
      ["plain", countOf(withoutInnerSteps())],
      ["random", resultOf({ trainedOn: "random", episodes: 1 })],
    ] as const) {
      const page = await opened(name, result);
      await page.evaluate(axe);
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        for (const [shape, width, height] of SIZES) {
          // The others are variants of the first: each theme and each width once.
          if (name !== "toy" && (colorScheme === "light") !== (shape === "wide")) continue;
          await page.setViewportSize({ width, height });
          await page.waitForTimeout(300);
          await page.evaluate(() => scrollTo(0, 0));
          await page.screenshot({ path: `${PICTURES}/${name}-${colorScheme}-${shape}.png`, fullPage: true });
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          expect(overflow, `${name}, ${shape} scrolls sideways`).toBeLessThanOrEqual(0);
          await page.evaluate(() => document.querySelectorAll("details").forEach((d) => (d.open = true)));
          const violations = await page.evaluate(async () => {
            const { axe } = window as unknown as { axe: { run(options: unknown): Promise<AxeResult> } };
            const found = await axe.run({
              runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
            });
            return found.violations.map(
              (v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(" | ")}`,
            );
          });
          expect(violations, `${name}, ${colorScheme}, ${shape}`).toEqual([]);
          await page.evaluate(() => document.querySelectorAll("details").forEach((d) => (d.open = false)));
        }
      }
      expectQuiet();
      await page.context().close();
    }
  });

  inBrowser("the verdict and the whole first figure stand on the first screen", async () => {
    const page = await opened("toy", resultOf());
    const bottom = await page.evaluate(
      () => document.getElementById("video-axis")!.getBoundingClientRect().bottom,
    );
    expect(bottom).toBeLessThan(900);
    await page.context().close();
  });

  inBrowser("shows its figures where scripts do not run", async () => {
    const page = await opened("toy", resultOf());
    const places = () => page.locator("#video-axis svg").first().boundingBox();
    expect(await page.locator(".still").count()).toBe(0);
    const { width } = (await places())!;
    const context = await browser!.newContext({ offline: true, javaScriptEnabled: false });
    const still = await context.newPage();
    await still.goto(page.url());
    expect(await still.locator(".plot > svg.still").count()).toBe(await page.locator(".plot").count());
    expect((await still.locator("#video-axis svg").boundingBox())!.width).toBe(width);
    await still.screenshot({ path: `${PICTURES}/toy-still.png`, fullPage: true });
    await context.close();
    await page.context().close();
  });

  inBrowser("curves are coloured anew when light becomes dark", async () => {
    const page = await opened("toy", resultOf());
    const colour = () =>
      page.evaluate(
        () =>
          document.querySelector<SVGElement>("#video-axis .scatterlayer .trace:last-child .js-line")!.style
            .stroke,
      );
    const light = await colour();
    await page.emulateMedia({ colorScheme: "dark" });
    await page.waitForFunction(
      (before) =>
        document.querySelector<SVGElement>("#video-axis .scatterlayer .trace:last-child .js-line")!.style
          .stroke !== before,
      light,
    );
    await page.context().close();
  });

  inBrowser("shows the words of a result and runs none of them", async () => {
    const page = await opened("hostile", hostile(resultOf()));
    // Names of dimensions stand in what appears under the pointer.
    await page.locator("#dimensions").scrollIntoViewIfNeeded();
    const point = page.locator("#dimensions .scatterlayer .trace:last-child .points path").first();
    const box = (await point.boundingBox())!;
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.waitForSelector("#dimensions .hoverlayer .hovertext");
    expect(await page.textContent("#dimensions .hoverlayer")).toContain("<script>window.pwned");
    expect(await page.evaluate(() => document.querySelectorAll("svg a, svg image, svg script").length)).toBe(
      0,
    );
    expect(await page.evaluate(() => (window as unknown as { pwned?: number }).pwned)).toBeUndefined();
    expect(await page.textContent("body")).toContain(HOSTILE);
    expectQuiet();
    await page.context().close();
  });

  inBrowser("has a policy under which foreign scripts do not run, were they ever to get in", async () => {
    const page = await opened("toy", resultOf());
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.pwned = 1";
      document.body.append(script);
      const image = document.createElement("img");
      image.src = "https://example.com/x.png";
      image.setAttribute("onerror", "window.pwned = 2");
      document.body.append(image);
    });
    await page.waitForTimeout(200);
    expect(await page.evaluate(() => (window as unknown as { pwned?: number }).pwned)).toBeUndefined();
    expect(complaints.join()).toMatch(/Content Security Policy/);
    await page.context().close();
  });
});

interface AxeResult {
  violations: { id: string; nodes: { html: string }[] }[];
}
