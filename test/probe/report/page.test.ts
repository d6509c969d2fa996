/** The page itself in the packaged Chromium, without a network. Pictures of it are left in results/report. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ReportRun } from "../../../src/probe/report/report.ts";
import { reportPage } from "../../../src/probe/report/report-page.node.ts";
import type { ProbeResult } from "../../../src/probe/result/result.ts";
import { startChromium } from "../../support/chromium.ts";
import { withoutInnerSteps } from "../fixture.ts";
import { countOf, FULL_RUN, fullResult, HOSTILE, hostile, resultOf, withoutTruth } from "./cases.ts";

const PICTURES = "results/report";

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
  async function opened(name: string, result: ProbeResult, run: ReportRun = {}): Promise<Page> {
    complaints.length = 0;
    requested.length = 0;
    const file = path.resolve(PICTURES, `${name}.html`);
    const text = await reportPage(result, run);
    expect(Buffer.byteLength(text)).toBeLessThan(2_000_000);
    writeFileSync(file, text);
    const context = await browser!.newContext({
      offline: true,
      viewport: { width: 1280, height: 900 },
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
      ["full", fullResult()],
      ["blind", withoutTruth()],
      ["plain", countOf(withoutInnerSteps())],
      ["random", resultOf({ trainedOn: "random", episodes: 1 })],
    ] as const) {
      const page = await opened(name, result, name === "full" ? FULL_RUN : {});
      await page.evaluate(axe);
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        for (const [shape, width, height] of SIZES) {
          // The others are variants of the first: each theme and each width once.
          if (name !== "toy" && name !== "full" && (colorScheme === "light") !== (shape === "wide")) continue;
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
    const page = await opened("hostile", hostile(fullResult()));
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
