/**
 * The page in a real browser: headless Chromium, WebGPU on SwiftShader. One page goes through the tests in their order, as
 * a person would; pictures of it are left in results/demo.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ProbeResult } from "../../src/probe/result/result.ts";
import { probeResult } from "../../src/probe/result/result.ts";
import type { RunRecord } from "../../src/probe/result/run-record.ts";
import { runProbeHere } from "../../src/commands/probe/run.node.ts";
import { MockHub } from "../weights/mock-hub.ts";
import { startChromium } from "../support/chromium.ts";
import { type Task, tasksDuring } from "./main-thread.ts";
import { buildDemo, compressedSizes, serve, type Site } from "./site.ts";

const BUILT = "results/demo/built";
const PICTURES = "results/demo";
/** Few steps: SwiftShader computes on the processor that the tests run on. */
const SETTINGS = "#video-steps=3&action-steps=3&video-seeds=1";

let site: Site;
let browser: Browser | undefined;
let unavailable: string | undefined;
let page: Page;
/** the first run's result, with float32 weights */
let wide: ProbeResult | undefined;
let wideRun: RunRecord | undefined;
const complaints: string[] = [];
const requested: string[] = [];

beforeAll(async () => {
  mkdirSync(PICTURES, { recursive: true });
  await buildDemo(BUILT);
  site = await serve(BUILT);
  browser = await startChromium().catch((error: Error) => {
    unavailable = `no browser could be started: ${error.message.split("\n")[0]}`;
    console.warn(`the demo is not tested, ${unavailable}`);
    return undefined;
  });
  if (browser) page = await newPage({ viewport: { width: 1280, height: 900 } });
});

afterAll(async () => {
  await browser?.close();
  site.stop();
  rmSync(BUILT, { recursive: true, force: true });
});

async function newPage(options: BrowserContextOptions): Promise<Page> {
  const context = await browser!.newContext({ ...options, acceptDownloads: true });
  const opened = await context.newPage();
  opened.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  opened.on("pageerror", (error) => complaints.push(error.message));
  opened.on("request", (request) => requested.push(request.url()));
  await opened.addInitScript(() => {
    const seen = { shift: 0 };
    Object.assign(window, { seen });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries())
        seen.shift += (entry as PerformanceEntry & { value: number }).value;
    }).observe({ type: "layout-shift", buffered: true });
  });
  return opened;
}

const status = async (wanted: RegExp, timeout = 240_000): Promise<void> => {
  const source = wanted.source;
  await page
    .waitForFunction(
      (text) => new RegExp(text).test(document.getElementById("status")!.textContent),
      source,
      {
        timeout,
      },
    )
    .catch(async () => {
      const [said, failure] = [await page.textContent("#status"), await page.textContent("#failure-text")];
      throw new Error(`the page never said ${source}, but "${said}" and "${failure}"`);
    });
};

/**
 * The longest tasks of the page's thread, for a person to read: none should block it for 100 ms. How long they take is the
 * machine's affair, so nothing is asserted; what keeps them short is (plotly-in-slices.test.ts).
 */
const longest: Record<string, Task[]> = {};
function reportTasks(during: string, tasks: Task[]): void {
  longest[during] = tasks.slice(0, 8);
  writeFileSync(`${PICTURES}/longest-tasks.json`, `${JSON.stringify(longest, undefined, 1)}\n`);
  const [{ wall, thread }] = tasks;
  console.log(
    `longest task of the page during ${during}: ${thread.toFixed(0)} ms on a processor, ${wall.toFixed(0)} ms by the clock`,
  );
}

/** Where a browser cannot be started, tests of the page say so and are skipped. */
const inBrowser = (name: string, body: () => Promise<void>): void => {
  test(name, { timeout: 300_000 }, async ({ skip }) => (unavailable ? skip(unavailable) : body()));
};

test("the page is small", () => {
  const sizes = compressedSizes(BUILT);
  const total = (files: [string, number][]): number => files.reduce((sum, [, size]) => sum + size, 0);
  const first = [...sizes].filter(([file]) => !/plotly/.test(file));
  console.log(
    `the page: ${total(first)} bytes compressed at first, ${total([...sizes])} with the plot library`,
  );
  expect(total(first)).toBeLessThan(300_000);
  expect(total([...sizes])).toBeLessThan(2_000_000);
});

/** As if the link were opened in a fresh tab. */
async function openLink(hash: string): Promise<void> {
  await page.goto("about:blank");
  await page.goto(site.url + hash);
  await status(/^Ready/);
}

/** What the page gives as probe.json. */
async function savedResult(): Promise<ProbeResult> {
  return (await saved("#save-json")) as ProbeResult;
}

/** What it gives as run.json. */
async function savedRun(): Promise<RunRecord> {
  return (await saved("#save-run")) as RunRecord;
}

async function saved(button: string): Promise<unknown> {
  const download = page.waitForEvent("download");
  await page.click(button);
  return JSON.parse(readFileSync(await (await download).path(), "utf8")) as unknown;
}

/** The same settings in Node, on the same software GPU, give the same numbers. */
async function expectNodeAgrees(here: ProbeResult): Promise<void> {
  // The page keeps the toy's first eight episodes.
  const places = { modelDir: "weights/toy", dataDir: "weights/toy/episodes", adapter: "software" };
  const settings = { ...settingsOf(here), ...places };
  const there = probeResult(await runProbeHere(settings, {}));
  expect(differences(numbers(here), numbers(there))).toEqual([]);
}

/** What does not depend on where and when a run was made. */
const numbers = (result: ProbeResult): object =>
  Object.fromEntries(Object.entries(result).filter(([key]) => !["device", "versions"].includes(key)));

/** Where two results disagree: numbers by more than 1e-5, the rest at all. */
function differences(a: unknown, b: unknown, at = "probe"): string[] {
  if (typeof a === "number" && typeof b === "number")
    return Math.abs(a - b) <= 1e-5 ? [] : [`${at}: ${a} and ${b}`];
  if (typeof a !== "object" || typeof b !== "object" || !a || !b)
    return a === b ? [] : [`${at}: ${String(a)} and ${String(b)}`];
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].flatMap((key) => differences(a[key as never], b[key as never], `${at}.${key}`));
}

describe("from a path of a static host", () => {
  inBrowser("opens with the toy, and a link restores its settings", async () => {
    await page.goto(site.url + SETTINGS);
    await status(/^Ready/);
    expect(await page.inputValue('[name="video-steps"]')).toBe("3");
    expect(await page.inputValue('[name="action-steps"]')).toBe("3");
    expect(await page.inputValue("#prompt")).toBe("push the red block somewhere");
    expect(await page.locator("#episodes input").count()).toBe(8);
    expect(await page.textContent("#statement")).toContain("says anything about robots");
    expect(page.url()).toContain("video-seeds=1");
    expect(requested.filter((url) => url.includes("plotly"))).toEqual([]);
    expect(await page.evaluate(() => (window as unknown as Seen).seen.shift)).toBeLessThan(0.02);
    await page.screenshot({ path: `${PICTURES}/opened.png` });
  });

  inBrowser("runs the probe: the numbers are those of Node", async () => {
    await page.evaluate(() => Object.assign((window as unknown as Seen).seen, { shift: 0 }));
    const tasks = await tasksDuring(browser!, page, async () => {
      await page.focus("#prompt");
      await page.keyboard.press("Enter");
      await status(/^Probing/);
      await status(/^Done/);
    });
    reportTasks("a run", tasks);
    const { shift } = await page.evaluate(() => (window as unknown as Seen).seen);
    console.log(`while it ran: layout shift ${shift.toFixed(4)}`);
    expect(shift).toBeLessThan(0.02);

    wide = await savedResult();
    wideRun = await savedRun();
    await expectNodeAgrees(wide);
  });

  inBrowser("shows every step again with the slider", async () => {
    const slider = page.locator("#video-step");
    await slider.focus();
    await page.keyboard.press("Home");
    await page.waitForFunction(() => document.getElementById("video-step-value")!.textContent === "0 of 3");
    expect(await page.getAttribute("#strip li:first-child button", "aria-pressed")).toBe("true");
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction(() => document.getElementById("video-step-value")!.textContent === "1 of 3");
    await page.locator("#strip li:last-child button").click();
    await page.waitForFunction(() => document.getElementById("video-step-value")!.textContent === "3 of 3");
    await page.locator("#action-step").focus();
    await page.keyboard.press("Home");
    await page.waitForFunction(() => document.getElementById("action-step-value")!.textContent === "0 of 3");
    await page.keyboard.press("End");
  });

  inBrowser("draws the figure as a PNG", async () => {
    let bytes = Buffer.alloc(0);
    const tasks = await tasksDuring(browser!, page, async () => {
      const saved = page.waitForEvent("download");
      await page.click("#save-png");
      bytes = readFileSync(await (await saved).path());
    });
    reportTasks("the PNG", tasks);
    expect(bytes.subarray(1, 4).toString()).toBe("PNG");
    expect(bytes.readUInt32BE(16)).toBe(2880);
  });

  inBrowser("is accessible, in light and dark, wide and narrow", async () => {
    const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    await page.evaluate(axe);
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      for (const [name, width, height] of [
        ["wide", 1280, 1040],
        ["narrow", 390, 844],
      ] as const) {
        await page.setViewportSize({ width, height });
        for (const id of ["settings", "device", "another", "about"])
          await page.evaluate((at) => document.getElementById(at)!.setAttribute("open", ""), id);
        const violations = await page.evaluate(async () => {
          const { axe } = window as unknown as { axe: { run(options: unknown): Promise<AxeResult> } };
          const found = await axe.run({
            runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
          });
          return found.violations.map(
            (v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(" | ")}`,
          );
        });
        expect(violations, `${colorScheme}, ${name}`).toEqual([]);
        for (const id of ["settings", "device", "another", "about"])
          await page.evaluate((at) => document.getElementById(at)!.removeAttribute("open"), id);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(overflow, `${name} scrolls sideways`).toBeLessThanOrEqual(0);
        await page.evaluate(() => scrollTo(0, 0));
        // The plots are drawn again for the new width.
        await page.waitForTimeout(800);
        await page.screenshot({
          path: `${PICTURES}/${colorScheme}-${name}.png`,
          fullPage: name === "narrow",
        });
      }
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  inBrowser("is cancelled, and runs again with other words", async () => {
    await page.click("#run");
    await status(/^Probing/);
    await page.click("#run");
    await status(/^Cancelled/);
    expect(await page.textContent("#run")).toBe("Run");
    await page.fill("#prompt", "push the blue block up");
    await page.keyboard.press("Enter");
    await status(/^(Compiling|Probing)/);
    await status(/^Done/);
    // The recorded actions belong to the recorded words.
    expect(await page.textContent("#video-legend")).not.toContain("truth");
    expect(page.url()).toContain("prompt=push+the+blue+block+up");
  });

  inBrowser("measures several episodes with several seeds, as a link says", async () => {
    await openLink("#video-steps=1&action-steps=1&video-seeds=1&action-seeds=2&episode=6");
    await page.click("#measure-more");
    await status(/^Done/);
    expect(page.url()).toContain("episodes=4");
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.click("#copy-link");
    await page.waitForFunction(() => document.getElementById("copy-link")!.textContent === "Copied");
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(page.url());
    const result = await savedResult();
    // The watched one comes first.
    expect(result.episodes.map(({ index }) => index)).toEqual([6, 7, 0, 1]);
    expect(result.action_seeds).toEqual([0, 1]);
    expect(result.video_axis_interval.mse_to_last).not.toBeNull();
    expect(result.between_seeds.action).toBeGreaterThan(0);
    await expectNodeAgrees(result);
    // Every one of them can be looked at.
    expect(await page.isChecked('#episodes input[value="6"]')).toBe(true);
    await page.check('#episodes input[value="7"]', { force: true });
    await page.waitForFunction(() => document.getElementById("video-step-value")!.textContent === "1 of 1");
    await page.check('#episodes input[value="3"]', { force: true });
    await page.waitForFunction(() => document.getElementById("video-step-value")!.textContent === "–");
    expect(await page.textContent("#answer")).toMatch(/Mean squared error to the true actions/);
  });

  inBrowser("keeps the weights as bfloat16: the same numbers in less memory", async () => {
    await openLink(`${SETTINGS}&dtype=bf16`);
    await page.click("#run");
    await status(/^Done/);
    const narrow = await savedResult();
    expect(narrow.dtype).toBe("bf16");
    // The toy is stored as bfloat16, and widening that is exact.
    expect(differences({ ...numbers(narrow), dtype: "f32" }, numbers(wide!))).toEqual([]);
    expect((await savedRun()).peak_gpu_bytes).toBeLessThan(wideRun!.peak_gpu_bytes!);
  });

  inBrowser("says what is wrong with a dropped file and stays usable", async () => {
    const drop = (name: string, content: string): Promise<void> =>
      page.evaluate(
        ([file, text]) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([text], file));
          window.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        },
        [name, content] as const,
      );
    const failure = page.locator("#failure");
    await drop("model.json", "{ broken");
    await failure.waitFor({ state: "visible" });
    expect(await failure.textContent()).toMatch(
      /A file cannot be used.*model\.json is not JSON.*stays open/s,
    );
    await page.screenshot({ path: `${PICTURES}/failure.png` });
    await page.click("#dismiss");
    await drop("weights.safetensors", "not weights");
    await failure.waitFor({ state: "visible" });
    expect(await failure.textContent()).toMatch(/no model\.json among the 1 dropped files/);
    await page.keyboard.press("Escape");
    await failure.waitFor({ state: "hidden" });
    expect(await page.isEnabled("#run")).toBe(true);
  });

  inBrowser("says that the GPU was lost, and opens it again", async () => {
    await page.click("#run");
    await status(/^Probing/);
    const session = await browser!.newBrowserCDPSession();
    await session.send("Browser.crashGpuProcess");
    await page.locator("#failure").waitFor({ state: "visible" });
    expect(await page.textContent("#failure")).toMatch(/The GPU was lost.*Press Run to open it again/s);
    await page.click("#run");
    await status(/^Probing/);
    await page.click("#run");
    await status(/^Cancelled/);
  });

  inBrowser("opens the folder of a model, and one on the Hub", async () => {
    await page.setInputFiles("#choose", "weights/toy");
    await status(/^(Opening|Loading)/);
    await status(/^Ready/);
    // What was measured belonged to the model before.
    await page.waitForFunction(() => document.querySelectorAll(".plot:empty").length === 2);
    expect(await page.isDisabled("#save-json")).toBe(true);
    expect(await page.textContent("#video-step-value")).toBe("–");
    const hub = await MockHub.start();
    hub.addFolder("owner/toy", "weights/toy");
    // The page asks the Hub itself; the browser is told that the mock is it.
    await page.context().route("https://huggingface.co/**", async (route) => {
      const { pathname, search } = new URL(route.request().url());
      const response = await fetch(hub.endpoint + pathname + search);
      const body = Buffer.from(await response.arrayBuffer());
      const link = response.headers.get("link");
      await route.fulfill({
        status: response.status,
        body,
        headers: { "access-control-allow-origin": "*", ...(link ? { link } : {}) },
      });
    });
    try {
      await page.evaluate(() => document.getElementById("another")!.setAttribute("open", ""));
      await page.fill("#hub-name", "owner/nothing");
      await page.keyboard.press("Enter");
      await page.locator("#failure").waitFor({ state: "visible" });
      expect(await page.textContent("#failure")).toMatch(/The Hub did not give the model.*owner\/nothing/s);
      await page.fill("#hub-name", "owner/toy");
      await page.keyboard.press("Enter");
      await status(/^Downloading from the Hub|^Loading/);
      await status(/^Ready/);
      expect(page.url()).toContain("model=owner%2Ftoy");
    } finally {
      await hub.stop();
      await page.click("#toy");
      await status(/^(Opening|Loading|Downloading)/);
      await status(/^Ready/);
    }
  });

  inBrowser("refuses settings in words", async () => {
    await page.evaluate(() => document.getElementById("settings")!.setAttribute("open", ""));
    await page.fill('[name="probe-steps"]', "3,2");
    await page.click("#run");
    expect(await page.textContent("#failure-text")).toMatch(/“probe steps” 3,2: 2 comes after 3/);
    await page.fill('[name="probe-steps"]', "");
    await page.click("#dismiss");
  });

  inBrowser("had nothing to complain about and asked nobody but the Hub", async () => {
    // What a refused request of the Hub leaves in the console is the browser's own.
    expect(complaints.filter((text) => !/status of 40[14]/.test(text))).toEqual([]);
    const own = new URL(site.url).origin;
    expect(
      requested.filter(
        (url) => !url.startsWith(own) && !/^(data|blob):|^https:\/\/huggingface\.co\//.test(url),
      ),
    ).toEqual([]);
  });

  inBrowser("says so where there is no adapter, and still shows the episodes", async () => {
    const plain = await startChromium(false);
    try {
      const there = await plain.newPage();
      await there.goto(site.url);
      await there.locator("#failure").waitFor({ state: "visible" });
      expect(await there.textContent("#failure")).toMatch(/There is no GPU this page can use.*WebGPU/s);
      expect(await there.locator("#episodes input").count()).toBe(8);
      expect(await there.isEnabled("#run")).toBe(true);
    } finally {
      await plain.close();
    }
  });
});

interface Seen {
  readonly seen: { readonly shift: number };
}

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

/** The settings of a result, as the command line would be given them. */
function settingsOf(result: ProbeResult) {
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
