/** The built page and a browser to open it in, for the tests of one file; and what visitors do in several of them. */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runProbeHere } from "../../src/commands/probe/run.node.ts";
import { probeResult, type ProbeResult } from "../../src/probe/result/result.ts";
import { startChromium } from "../support/chromium.ts";
import { buildDemo, serve, type Site } from "./site.ts";

/** Where pictures are left, for a person to look at. */
export const PICTURES = "results/demo";

/** Few steps: SwiftShader computes on the processor that the tests run on. */
export const SETTINGS = "#video-steps=3&action-steps=3&video-seeds=1&episodes=this";

export interface Visit {
  /** folder of the built page */
  readonly built: string;
  readonly site: Site;
  readonly browser: Browser;
  /** what the consoles of all pages said as errors, and what pages threw */
  readonly complaints: string[];
  /** addresses that any page asked for */
  readonly requested: string[];
  newPage(options?: BrowserContextOptions): Promise<Page>;
  /** Where a browser cannot be started, the test says so and is skipped. */
  test(name: string, body: () => Promise<void>): void;
}

/** That no page complained, and that nobody was asked but the page's own host, and the Hub where a test asked it. */
export function expectQuiet({ complaints, requested, site }: Visit): void {
  // What a refused request of the Hub leaves in the console is the browser's own.
  expect(complaints.filter((text) => !/status of 40[14]/.test(text))).toEqual([]);
  const own = new URL(site.url).origin;
  const allowed = /^(data|blob|about):|^https:\/\/huggingface\.co\//;
  expect(requested.filter((url) => !url.startsWith(own) && !allowed.test(url))).toEqual([]);
}

/**
 * Builds and serves the page and starts a browser before the tests of a file, and clears away after them.
 * @param name of the file, so that files do not build into one folder
 */
export function visit(name: string): Visit {
  const built = `${PICTURES}/built-${name}`;
  let site: Site;
  let browser: Browser | undefined;
  let unavailable: string | undefined;
  const complaints: string[] = [];
  const requested: string[] = [];
  beforeAll(async () => {
    mkdirSync(PICTURES, { recursive: true });
    await buildDemo(built);
    site = await serve(built);
    browser = await startChromium().catch((error: Error) => {
      unavailable = `no browser could be started: ${error.message.split("\n")[0]}`;
      console.warn(`the page is not tested, ${unavailable}`);
      return undefined;
    });
  });
  afterAll(async () => {
    await browser?.close();
    site.stop();
    rmSync(built, { recursive: true, force: true });
  });
  return {
    ...{ built, complaints, requested },
    get site() {
      return site;
    },
    get browser() {
      return browser!;
    },
    newPage: async (options = { viewport: { width: 1280, height: 900 } }) => {
      const context = await browser!.newContext({ ...options, acceptDownloads: true });
      const page = await context.newPage();
      page.on("console", (message) => {
        if (message.type() === "error") complaints.push(message.text());
      });
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("request", (request) => requested.push(request.url()));
      await page.addInitScript(watchShifts);
      return page;
    },
    test: (what, body) => {
      test(what, { timeout: 300_000 }, async ({ skip }) => (unavailable ? skip(unavailable) : body()));
    },
  };
}

interface Seen {
  readonly seen: { shift: number };
}

/** In the page. */
function watchShifts(): void {
  const seen = { shift: 0 };
  Object.assign(window, { seen });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      seen.shift += (entry as PerformanceEntry & { value: number }).value;
  }).observe({ type: "layout-shift", buffered: true });
}

/** Layout shift since the page was opened, or since the last call. */
export const shiftOf = (page: Page): Promise<number> =>
  page.evaluate(() => {
    const { seen } = window as unknown as Seen;
    const { shift } = seen;
    seen.shift = 0;
    return shift;
  });

/** Waits until the page's status begins so. */
export async function said(page: Page, wanted: RegExp, timeout = 240_000): Promise<void> {
  const { source } = wanted;
  const says = (text: string): boolean =>
    new RegExp(text).test(document.getElementById("status")!.textContent);
  await page.waitForFunction(says, source, { timeout }).catch(async () => {
    const [status, failure] = [await page.textContent("#status"), await page.textContent("#failure-text")];
    throw new Error(`the page never said ${source}, but "${status}" and "${failure}"`);
  });
}

/** As if the link were opened in a fresh tab. */
export async function openLink(page: Page, address: string): Promise<void> {
  await page.goto("about:blank");
  await page.goto(address);
  await said(page, /^Ready/);
}

/** Waits until an element's text is so. */
export const shows = async (page: Page, id: string, text: string): Promise<void> =>
  void (await page.waitForFunction(([where, what]) => document.getElementById(where)!.textContent === what, [
    id,
    text,
  ] as const));

/** What a button gives to be kept, read as JSON. */
export async function saved(page: Page, button: string): Promise<unknown> {
  const download = page.waitForEvent("download");
  await page.click(button);
  return JSON.parse(readFileSync(await (await download).path(), "utf8")) as unknown;
}

/** The same settings in Node, on the same software GPU, give the same numbers. */
export async function expectNodeAgrees(here: ProbeResult): Promise<void> {
  // The page keeps the toy's first eight episodes.
  const places = { modelDir: "weights/toy", dataDir: "weights/toy/episodes", adapter: "software" };
  const there = probeResult(await runProbeHere({ ...settingsOf(here), ...places }, {}));
  expect(differences(numbers(here), numbers(there))).toEqual([]);
}

/** What does not depend on where and when a run was made. */
export const numbers = (result: ProbeResult): object =>
  Object.fromEntries(Object.entries(result).filter(([key]) => !["device", "versions"].includes(key)));

/** Where two results disagree. */
export function differences(a: unknown, b: unknown, at = "probe"): string[] {
  if (typeof a !== "object" || typeof b !== "object" || !a || !b)
    return a === b ? [] : [`${at}: ${String(a)} and ${String(b)}`];
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].flatMap((key) => differences(a[key as never], b[key as never], `${at}.${key}`));
}

/** The settings of a result, as the command line would be given them. */
export function settingsOf(result: ProbeResult) {
  return {
    episodes: result.episodes.map(({ index }) => index),
    videoSteps: result.video_steps,
    probeSteps: result.probe_steps,
    actionSteps: result.action_steps,
    videoSeeds: result.video_seeds,
    actionSeeds: result.action_seeds,
    dtype: result.dtype as "f32" | "bf16",
  };
}
