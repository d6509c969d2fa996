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
import { madeFiles } from "../data/made-set.ts";
import { MockHub } from "../weights/mock-hub.ts";
import { startChromium } from "../support/chromium.ts";
import { type Task, tasksDuring } from "./main-thread.ts";
import { buildDemo, compressedSizes, firstFiles, serve, type Site } from "./site.ts";

const BUILT = "results/demo/built";
const PICTURES = "results/demo";
/** Few steps: SwiftShader computes on the processor that the tests run on. */
const SETTINGS = "#video-steps=3&action-steps=3&video-seeds=1&episodes=this";

/** What is folded away at first. */
const FOLDED = ["settings", "device", "another", "other-data", "about"];

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
  const needed = firstFiles(BUILT);
  const first = [...sizes].filter(([file]) => needed.has(file));
  // The library of plots, and what reads recorded data sets, come when they are needed.
  console.log(`the page: ${total(first)} bytes compressed at first, ${total([...sizes])} with all on demand`);
  expect(first.length).toBeGreaterThanOrEqual(4);
  expect(total(first)).toBeLessThan(300_000);
  expect(total([...sizes])).toBeLessThan(2_000_000);
});

/** As if the link were opened in a fresh tab. */
async function openLink(hash: string): Promise<void> {
  await page.goto("about:blank");
  await page.goto(site.url + hash);
  await status(/^Ready/);
}

/** The page asks the Hub itself; the browser is told that the mock is it. */
async function toMockHub(hub: MockHub): Promise<void> {
  await page.context().route("https://huggingface.co/**", async (route) => {
    const request = route.request();
    if (request.method() === "OPTIONS")
      return route.fulfill({
        status: 204,
        headers: { "access-control-allow-origin": "*", "access-control-allow-headers": "range" },
      });
    const { pathname, search } = new URL(request.url());
    const { range } = request.headers();
    const response = await fetch(hub.endpoint + pathname + search, { headers: range ? { range } : {} });
    const kept = ["link", "content-range", "etag"].flatMap((name) => {
      const value = response.headers.get(name);
      return value === null ? [] : [[name, value]];
    });
    await route.fulfill({
      status: response.status,
      body: Buffer.from(await response.arrayBuffer()),
      headers: {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "content-range, etag, link",
        ...(Object.fromEntries(kept) as Record<string, string>),
      },
    });
  });
}

/** Puts the files of a data set on the mock Hub and into a folder. */
function addRecording(hub: MockHub, name: string, files: Map<string, Uint8Array>, folder: string): void {
  for (const [path, bytes] of files) {
    mkdirSync(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    writeFileSync(`${folder}/${path}`, bytes);
  }
  const listed = [...files].map(([path, bytes]) => [path, { bytes, lfs: !path.endsWith(".json") }] as const);
  hub.add(`datasets/${name}`, new Map(listed));
}

/** A set of the policy's sizes: a disc that moves, as PNG. */
function recordedPushT(): Map<string, Uint8Array> {
  const side = 96;
  const place = (e: number, f: number): [number, number] => [150 + 12 * f, 200 + 60 * e + 4 * f];
  const picture = (e: number, f: number): Uint8Array => {
    const [x, y] = place(e, f).map((value) => (value * side) / 512);
    const rgb = new Uint8Array(3 * side * side).fill(255);
    for (let at = 0; at < side * side; at++)
      if (Math.hypot((at % side) - x, Math.floor(at / side) - y) < 4) rgb.set([60, 90, 220], 3 * at);
    return rgb;
  };
  return madeFiles({
    ...{ name: "pusht", format: 3, fps: 10 },
    episodes: [14, 12].map((length, index) => ({ index, length, task: () => 0 })),
    tasks: ["push the T"],
    vectors: {
      "observation.state": { size: 2, at: place },
      action: { size: 2, at: (e, f) => place(e, f + 1) },
    },
    images: { "observation.image": { height: side, width: side, at: picture } },
  });
}

/** A set of two recordings of the toy's sizes: two cameras, H.264. */
function recordedPushes(): Map<string, Uint8Array> {
  const cameras = ["front", "wrist"];
  const video = (camera: string, e: number): [string, Uint8Array] => [
    `videos/observation.images.${camera}/chunk-000/file-00${e}.mp4`,
    readFileSync(`test/lerobot/v21-h264/videos/chunk-000/observation.images.${camera}/episode_00000${e}.mp4`),
  ];
  return madeFiles({
    ...{ name: "pushes", format: 3, fps: 20 },
    episodes: [40, 33].map((length, index) => ({ index, length, task: () => index })),
    tasks: ["push the red block left", "push a block somewhere"],
    vectors: {
      "observation.state": { size: 3, at: (e, f) => [f / 50 - 0.4, 0.3 - e / 5, -1] },
      action: { size: 3, at: (e, f) => [f / 60, -f / 80 + e / 9, f > 20 ? 1 : -1] },
    },
    videos: cameras.map((camera) => ({
      key: `observation.images.${camera}`,
      place: (file) => ({ chunk: 0, file, from: 0 }),
    })),
    files: new Map(cameras.flatMap((camera) => [0, 1].map((e) => video(camera, e)))),
  });
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

/** Where two results disagree in a bit. */
function differences(a: unknown, b: unknown, at = "probe"): string[] {
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
    const needed = firstFiles(BUILT);
    const scripts = requested.filter((url) => url.endsWith(".js")).map((url) => url.slice(site.url.length));
    expect(scripts.filter((file) => !needed.has(file))).toEqual([]);
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
        for (const id of FOLDED)
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
        for (const id of FOLDED)
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
    await openLink("#video-steps=1&action-steps=1&video-seeds=1&action-seeds=2&episode=6&episodes=this");
    await page.click("#measure-more");
    await status(/^Done/);
    expect(page.url()).toContain("episodes=4");
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.click("#copy-link");
    await page.waitForFunction(() => document.getElementById("copy-link")!.textContent === "Copied");
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(page.url());
    const result = await savedResult();
    // The watched one stands last, and is measured first.
    expect(result.episodes.map(({ index }) => index)).toEqual([7, 0, 1, 6]);
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
    expect(await failure.textContent()).toMatch(
      /“weights\.safetensors” cannot be opened here\. Drop the folder of a model.*stays open/,
    );
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

  inBrowser("takes a recorded data set, dropped or from the Hub, as data for the model", async () => {
    const folder = `${BUILT}-pushes/pushes`;
    const hub = await MockHub.start();
    addRecording(hub, "owner/pushes", recordedPushes(), folder);
    try {
      await openLink(SETTINGS);
      await page.setInputFiles("#choose", folder);
      const failure = page.locator("#failure");
      await failure.waitFor({ state: "visible" });
      // The model sees one camera, and what is on the table has as many values as it takes.
      expect(await failure.textContent()).toMatch(
        /2? ?camera.*observation\.images\.front \(48×64\).*Choose with “camera”.*stay open/s,
      );
      expect(await page.locator("#episodes input").count()).toBe(8);
      await page.evaluate(() => document.getElementById("other-data")!.setAttribute("open", ""));
      await page.fill('[name="camera"]', "observation.images.front");
      await page.click("#data [type=submit]");
      await page.waitForFunction(() => document.querySelectorAll("#episodes input").length === 2);
      await status(/^Ready/);
      expect(await page.textContent("#recorded")).toMatch(/pushes: 2 windows of 2 episodes at 20 frames/);
      expect(await page.inputValue("#prompt")).toBe("push the red block left");
      await page.click("#run");
      await status(/^Done/);
      const dropped = await savedResult();
      expect(dropped.video_axis.mse_to_truth).not.toBeNull();
      const recording = { cameras: ["observation.images.front"] };
      const places = { modelDir: "weights/toy", dataDir: folder, recording, adapter: "software" };
      const there = probeResult(await runProbeHere({ ...settingsOf(dropped), ...places }, {}));
      expect(differences(numbers(dropped), numbers(there))).toEqual([]);
      await page.screenshot({ path: `${PICTURES}/recorded.png` });

      await toMockHub(hub);
      await openLink(`${SETTINGS}&data=owner%2Fpushes&camera=observation.images.front`);
      expect(await page.locator("#episodes input").count()).toBe(2);
      expect(page.url()).toContain("data=owner%2Fpushes");
      await page.click("#run");
      await status(/^Done/);
      const named = await savedResult();
      expect(named.video_axis).toEqual(dropped.video_axis);
      await page.evaluate(() => document.getElementById("other-data")!.setAttribute("open", ""));
      await page.click("#own-data");
      await page.waitForFunction(() => document.querySelectorAll("#episodes input").length === 8);
      await status(/^Ready/);
      expect(page.url()).not.toContain("data=");
    } finally {
      await page.context().unroute("https://huggingface.co/**");
      await hub.stop();
      rmSync(`${BUILT}-pushes`, { recursive: true, force: true });
    }
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
    await toMockHub(hub);
    try {
      await page.evaluate(() => document.getElementById("another")!.setAttribute("open", ""));
      await page.fill("#hub-name", "owner/nothing");
      await page.keyboard.press("Enter");
      await page.locator("#failure").waitFor({ state: "visible" });
      expect(await page.textContent("#failure")).toMatch(
        /The Hub did not give what was asked for.*owner\/nothing/s,
      );
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

  inBrowser(
    "opens a Diffusion Policy of the Hub: no video, its own schedule, the numbers of Node",
    async () => {
      const hub = await MockHub.start();
      hub.addFolder("lerobot/diffusion_pusht", "test/pusht-mini/published");
      const folder = `${BUILT}-pusht/pusht`;
      addRecording(hub, "lerobot/pusht", recordedPushT(), folder);
      await toMockHub(hub);
      try {
        await openLink("#model=lerobot/diffusion_pusht&video-steps=4&video-seeds=2");
        // Which data it was trained on its files say.
        expect(await page.locator("#episodes input").count()).toBe(2);
        expect(await page.textContent("#recorded")).toMatch(/lerobot\/pusht/);
        expect(await page.isVisible("#action-step")).toBe(false);
        expect(await page.isDisabled("#prompt")).toBe(true);
        await page.click("#run");
        await status(/^Done/);
        expect(await page.textContent("#video-step-value")).toBe("4 of 4");
        await page.screenshot({ path: `${PICTURES}/policy.png` });
        const here = await savedResult();
        const asked = { modelDir: "test/pusht-mini/published", dataDir: folder, adapter: "software" };
        const { episodes, videoSteps, probeSteps, videoSeeds } = settingsOf(here);
        const settings = { ...asked, episodes, videoSteps, probeSteps, videoSeeds, dtype: "f32" as const };
        const there = probeResult(await runProbeHere(settings, {}));
        expect(here.model.weights_sha256).toBe(there.model.weights_sha256);
        // Named by where they came from.
        const alike = (result: ProbeResult): object => ({ ...numbers(result), model: null, data: null });
        expect(differences(alike(here), alike(there))).toEqual([]);

        await page.setInputFiles("#choose", "test/pusht-mini/migrated");
        await page.locator("#failure").waitFor({ state: "visible" });
        expect(await page.textContent("#failure")).toMatch(/names none.*“Other data”.*stays open/s);
        await page.evaluate(() => document.getElementById("other-data")!.setAttribute("open", ""));
        await page.fill("[name=data-name]", "lerobot/pusht");
        await page.setInputFiles("#choose", "test/pusht-mini/migrated");
        await page.waitForFunction(() => !/Hub|diffusion_pusht/.test(location.hash));
        await status(/^Ready/);
      } finally {
        await page.context().unroute("https://huggingface.co/**");
        await hub.stop();
        rmSync(`${BUILT}-pusht`, { recursive: true, force: true });
      }
      await page.evaluate(() => document.getElementById("another")!.setAttribute("open", ""));
      await page.click("#toy");
      await status(/^(Opening|Loading|Downloading)/);
      await status(/^Ready/);
      expect(await page.isVisible("#action-step")).toBe(true);
      expect(await page.inputValue("[name=video-steps]")).toBe("4");
    },
  );

  inBrowser("lets the robot act at the chosen depth, and stops it", async () => {
    await openLink(SETTINGS);
    await page.focus("#robot-depth");
    await page.keyboard.press("Home");
    expect(await page.textContent("#robot-depth-value")).toBe("0");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    const words = async (wanted: RegExp): Promise<void> =>
      void (await page.waitForFunction(
        (text) => new RegExp(text).test(document.getElementById("robot-words")!.textContent),
        wanted.source,
        { timeout: 120_000 },
      ));
    await words(/push .* look 1 of 9/);
    expect(await page.textContent("#robot-go")).toBe("Stop");
    const painted = await page.evaluate(() => {
      const canvas = document.getElementById("robot") as HTMLCanvasElement;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return new Set(data).size;
    });
    expect(painted).toBeGreaterThan(50);
    await page.screenshot({ path: `${PICTURES}/robot.png`, fullPage: true });
    await page.click("#robot-go");
    await page.waitForFunction(() => document.getElementById("robot-go")!.textContent === "Start");
    // What is measured afterwards is not disturbed.
    await page.click("#run");
    await status(/^Done/);
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
