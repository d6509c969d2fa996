/**
 * The page in a real browser: headless Chromium, WebGPU on SwiftShader. One page goes through the tests in their order, as a person would;
 * pictures of it are left in results/demo.
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect } from "vitest";
import type { ProbeResult } from "../../src/probe/result/result.ts";
import type { RunRecord } from "../../src/probe/result/run-record.ts";
import { type Task, tasksDuring } from "./main-thread.ts";
import { firstFiles, PAGE, WORKER } from "./site.ts";
import {
  expectQuiet,
  differences,
  expectNodeAgrees,
  numbers,
  openLink,
  PICTURES,
  said,
  saved,
  SETTINGS,
  shiftOf,
  shows,
  visit,
} from "./visit.ts";

const demo = visit("demo");
let page: Page;
/** the first run's result, with float32 weights */
let wide: ProbeResult | undefined;
let wideRun: RunRecord | undefined;

beforeAll(async () => {
  if (demo.browser) page = await demo.newPage();
});

const status = (wanted: RegExp): Promise<void> => said(page, wanted);
const open = (hash: string): Promise<void> => openLink(page, demo.site.url + hash);
const savedResult = async (): Promise<ProbeResult> => (await saved(page, "#save-json")) as ProbeResult;
const savedRun = async (): Promise<RunRecord> => (await saved(page, "#save-run")) as RunRecord;

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

describe("from a path of a static host", () => {
  demo.test("opens with the toy, and a link restores its settings", async () => {
    await page.goto(demo.site.url + SETTINGS);
    await status(/^Ready/);
    expect(await page.inputValue('[name="video-steps"]')).toBe("3");
    expect(await page.inputValue('[name="action-steps"]')).toBe("3");
    expect(await page.inputValue("#prompt")).toBe("push the red block up");
    expect(await page.locator("#episodes input").count()).toBe(8);
    expect(await page.textContent("#statement")).toContain("says anything about robots");
    expect(page.url()).toContain("video-seeds=1");
    const needed = firstFiles(demo.built, PAGE, WORKER);
    const scripts = demo.requested
      .filter((url) => url.endsWith(".js"))
      .map((url) => url.slice(demo.site.url.length));
    expect(scripts.filter((file) => !needed.has(file))).toEqual([]);
    expect(await shiftOf(page)).toBeLessThan(0.02);
    await page.screenshot({ path: `${PICTURES}/opened.png` });
  });

  demo.test("runs the probe: the numbers are those of Node", async () => {
    await shiftOf(page);
    const tasks = await tasksDuring(demo.browser, page, async () => {
      await page.focus("#prompt");
      await page.keyboard.press("Enter");
      await status(/^Probing/);
      await status(/^Done/);
    });
    reportTasks("a run", tasks);
    const shift = await shiftOf(page);
    console.log(`while it ran: layout shift ${shift.toFixed(4)}`);
    expect(shift).toBeLessThan(0.02);

    wide = await savedResult();
    wideRun = await savedRun();
    await expectNodeAgrees(wide);
  });

  demo.test("shows every step again with the slider", async () => {
    const slider = page.locator("#video-step");
    await slider.focus();
    await page.keyboard.press("Home");
    await shows(page, "video-step-value", "0 of 3");
    expect(await page.getAttribute("#strip li:first-child button", "aria-pressed")).toBe("true");
    await page.keyboard.press("ArrowRight");
    await shows(page, "video-step-value", "1 of 3");
    await page.locator("#strip li:last-child button").click();
    await shows(page, "video-step-value", "3 of 3");
    await page.locator("#action-step").focus();
    await page.keyboard.press("Home");
    await shows(page, "action-step-value", "0 of 3");
    await page.keyboard.press("End");
  });

  demo.test("draws the figure as a PNG", async () => {
    let bytes = Buffer.alloc(0);
    const tasks = await tasksDuring(demo.browser, page, async () => {
      const saved = page.waitForEvent("download");
      await page.click("#save-png");
      bytes = readFileSync(await (await saved).path());
    });
    reportTasks("the PNG", tasks);
    expect(bytes.subarray(1, 4).toString()).toBe("PNG");
    expect(bytes.readUInt32BE(16)).toBe(2880);
  });

  demo.test("is cancelled, and runs again with other words", async () => {
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

  demo.test("measures several episodes with several seeds, as a link says", async () => {
    await open("#video-steps=1&action-steps=1&video-seeds=1&action-seeds=2&episode=6&episodes=this");
    await page.click("#measure-more");
    await status(/^Done/);
    expect(page.url()).toContain("episodes=4");
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.click("#copy-link");
    await shows(page, "copy-link", "Copied");
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
    await shows(page, "video-step-value", "1 of 1");
    await page.check('#episodes input[value="3"]', { force: true });
    await shows(page, "video-step-value", "–");
    expect(await page.textContent("#notes")).toMatch(/Mean squared error to the true actions/);
  });

  demo.test("keeps the weights as bfloat16: the same numbers in less memory", async () => {
    await open(`${SETTINGS}&dtype=bf16`);
    await page.click("#run");
    await status(/^Done/);
    const narrow = await savedResult();
    expect(narrow.dtype).toBe("bf16");
    // The toy is stored as bfloat16, and widening that is exact.
    expect(differences({ ...numbers(narrow), dtype: "f32" }, numbers(wide!))).toEqual([]);
    expect((await savedRun()).peak_gpu_bytes).toBeLessThan(wideRun!.peak_gpu_bytes!);
  });

  demo.test("says that the GPU was lost, and opens it again", async () => {
    await page.click("#run");
    await status(/^Probing/);
    const session = await demo.browser.newBrowserCDPSession();
    await session.send("Browser.crashGpuProcess");
    await page.locator("#failure").waitFor({ state: "visible" });
    expect(await page.textContent("#failure")).toMatch(/The GPU was lost.*Press Run to open it again/s);
    await page.click("#run");
    await status(/^Probing/);
    await page.click("#run");
    await status(/^Cancelled/);
  });

  demo.test("lets the robot act at the chosen depth, and stops it", async () => {
    await open(SETTINGS);
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
    await shows(page, "robot-go", "Start");
    // What is measured afterwards is not disturbed.
    await page.click("#run");
    await status(/^Done/);
  });

  demo.test("refuses settings in words", async () => {
    await page.evaluate(() => document.getElementById("settings")!.setAttribute("open", ""));
    await page.fill('[name="probe-steps"]', "3,2");
    await page.click("#run");
    expect(await page.textContent("#failure-text")).toMatch(/“probe steps” 3,2: 2 comes after 3/);
    await page.fill('[name="probe-steps"]', "");
    await page.click("#dismiss");
  });

  demo.test("had nothing to complain about and asked nobody but the Hub", async () => expectQuiet(demo));
});
