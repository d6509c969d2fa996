/** The page by its structure: what is there at first sight, at four widths in two themes, and that nothing overlaps, overflows or is cut. */
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { startChromium } from "../support/chromium.ts";
import { tasksDuring } from "./main-thread.ts";
import { compressedSizes, firstFiles } from "./site.ts";
import { openLink, PICTURES, said, shiftOf, shows, visit } from "./visit.ts";

const demo = visit("structure");
let page: Page;

beforeAll(async () => {
  if (demo.browser) page = await demo.newPage();
});

/** Screens that people have. */
const SCREENS = [
  [390, 844],
  [768, 1024],
  [1280, 800],
  [1920, 1080],
] as const;
const THEMES = ["light", "dark"] as const;

/** What is folded away at first. */
const FOLDED = ["settings", "device", "another", "other-data", "about"];

/** Blocks that stand beside or below one another. */
const BLOCKS = [
  ...[
    "h1",
    ".lede",
    "#answer",
    "#statement",
    "#scene-title",
    ".stage",
    ".scrub",
    ".key",
    "#episodes",
    ".ask",
  ],
  ...[
    ".progress",
    "#settings",
    "#future-title",
    "#strip",
    ".plots figure:first-child",
    ".plots figure:last-child",
  ],
  ...["#lanes figure:nth-child(1)", "#lanes figure:nth-child(2)", "#lanes figure:nth-child(3)"],
  ...["#measure-more", "#save-png", "#save-json", "#save-run", "#copy-link", ".robot", "footer"],
];

/** What a visitor sees without scrolling, wholly. */
const FIRST: Record<number, readonly string[]> = {
  390: ["h1", "#answer", "#statement"],
  768: ["h1", "#answer", "#statement", ".stage", ".scrub", "#run", "#lanes", "#strip"],
  1280: [
    "h1",
    "#answer",
    "#statement",
    ".stage",
    ".scrub",
    "#run",
    "#strip",
    "#video-plot svg",
    "#action-plot svg",
  ],
  1920: [
    "h1",
    "#answer",
    ".stage",
    ".scrub",
    "#run",
    "#strip",
    "#video-plot svg",
    "#action-plot svg",
    "#lanes",
  ],
};

interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Boxes of what is visible, whether text in it is cut, and how far the page runs to the side. */
async function layout(): Promise<{ boxes: Map<string, Box>; cut: string[]; sideways: number }> {
  await page.evaluate(() => scrollTo(0, 0));
  const { boxes, ...rest } = await page.evaluate(
    (blocks) => {
      const cut: string[] = [];
      const found = blocks.flatMap((selector) => {
        const element = document.querySelector<HTMLElement>(selector);
        if (!element?.checkVisibility()) return [];
        // The strip may scroll on its own.
        if (selector !== "#strip" && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0)
          cut.push(selector);
        const { left, top, right, bottom } = element.getBoundingClientRect();
        return [[selector, { left, top, right, bottom }] as const];
      });
      return { boxes: found, cut, sideways: document.documentElement.scrollWidth - innerWidth };
    },
    [...new Set([...BLOCKS, ...Object.values(FIRST).flat()])],
  );
  return { boxes: new Map(boxes), ...rest };
}

const overlap = (a: Box, b: Box): boolean =>
  Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5 &&
  Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5;

/** Asserts that the blocks that are visible leave one another room. */
async function expectOrder(what: string): Promise<Map<string, Box>> {
  const { boxes, cut, sideways } = await layout();
  expect(sideways, `${what}: the page scrolls sideways`).toBeLessThanOrEqual(0);
  expect(cut, `${what}: cut`).toEqual([]);
  const there = BLOCKS.filter((block) => boxes.has(block));
  const wrong = there.flatMap((a, i) =>
    there.slice(i + 1).flatMap((b) => (overlap(boxes.get(a)!, boxes.get(b)!) ? [`${a} and ${b}`] : [])),
  );
  expect(wrong, `${what}: overlapping`).toEqual([]);
  return boxes;
}

async function violations(): Promise<string[]> {
  const loaded = await page.evaluate(() => "axe" in window);
  if (!loaded)
    await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(options: unknown): Promise<AxeResult> } };
    const found = await axe.run({
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    });
    return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(" | ")}`);
  });
}

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

/** Different values in a canvas, which are few where nothing was painted. */
const painted = (of: Page, id: string): Promise<number> =>
  of.evaluate((at) => {
    const canvas = document.getElementById(at) as HTMLCanvasElement;
    return new Set(canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height).data).size;
  }, id);

const stepShown = (of: Page): Promise<string | null> => of.textContent("#video-step-value");

test("the page is small", () => {
  const sizes = compressedSizes(demo.built);
  const total = (files: [string, number][]): number => files.reduce((sum, [, size]) => sum + size, 0);
  const needed = [...firstFiles(demo.built)];
  const kind = (file: string): string =>
    /\.gz$/.test(file) ? "recording" : /worker-[^/]*\.js$/.test(file) ? "worker" : "page";
  const part = (name: string): [string, number][] =>
    [...sizes].filter(([file]) => kind(file) === name && (name === "recording" || needed.includes(file)));
  const [own, worker, recording] = ["page", "worker", "recording"].map((name) => total(part(name)));
  console.log(
    `compressed: the page ${own} bytes, its recording ${recording}, its worker ${worker}, all with what comes on demand ${total([...sizes])}`,
  );
  expect(part("page").length).toBeGreaterThanOrEqual(3);
  expect(own).toBeLessThan(120_000);
  expect(recording).toBeGreaterThan(1000);
  expect(recording).toBeLessThan(300_000);
  expect(own + worker).toBeLessThan(300_000);
  expect(total([...sizes])).toBeLessThan(2_000_000);
});

describe("at first sight", () => {
  demo.test("paints early, moves nothing, and plays within two seconds", async () => {
    const tasks = await tasksDuring(demo.browser, page, async () => {
      await page.goto(demo.site.url);
      await page.waitForFunction(() => /^\d/.test(document.getElementById("video-step-value")!.textContent));
      await said(page, /^Ready/);
    });
    const shift = await shiftOf(page);
    const paint = await page.evaluate(
      () => performance.getEntriesByName("first-contentful-paint")[0].startTime,
    );
    const [{ thread }] = tasks;
    const figures = { first_contentful_paint_ms: paint, layout_shift: shift, longest_task_ms: thread };
    writeFileSync(`${PICTURES}/first-view.json`, `${JSON.stringify(figures, undefined, 1)}\n`);
    console.log(
      `first contentful paint ${paint.toFixed(0)} ms, layout shift ${shift.toFixed(4)}, longest task ${thread.toFixed(0)} ms on a processor`,
    );
    expect(shift).toBeLessThan(0.01);
    expect(await painted(page, "picture")).toBeGreaterThan(50);
    const before = await stepShown(page);
    await page.waitForFunction(
      (text) => document.getElementById("video-step-value")!.textContent !== text,
      before,
    );
  });

  demo.test("fills the screen and nothing overlaps, at four widths in two themes", async () => {
    for (const [width, height] of SCREENS) {
      await page.setViewportSize({ width, height });
      await openLink(page, demo.site.url);
      for (const colorScheme of THEMES) {
        await page.emulateMedia({ colorScheme });
        const what = `${width} × ${height}, ${colorScheme}`;
        const boxes = await expectOrder(what);
        for (const selector of FIRST[width]) {
          expect(boxes.has(selector), `${what}: ${selector} is not there`).toBe(true);
          expect(boxes.get(selector)!.bottom, `${what}: ${selector}`).toBeLessThanOrEqual(height);
        }
        expect(await page.locator("#strip li").count()).toBe(8);
        expect(await page.locator("#failure").isVisible()).toBe(false);
        await page.screenshot({ path: `${PICTURES}/first-${width}-${colorScheme}.png` });
      }
    }
  });

  demo.test("is accessible, in light and dark, wide and narrow, with everything unfolded", async () => {
    for (const [width, height] of [SCREENS[0], SCREENS[2]]) {
      await page.setViewportSize({ width, height });
      for (const colorScheme of THEMES) {
        await page.emulateMedia({ colorScheme });
        for (const open of [true, false]) {
          for (const id of FOLDED)
            await page.evaluate(
              ([at, force]) => document.getElementById(at)!.toggleAttribute("open", force),
              [id, open] as const,
            );
          if (!open) continue;
          expect(await violations(), `${colorScheme}, ${width}`).toEqual([]);
          await expectOrder(`${width}, unfolded`);
          if (colorScheme === "light")
            await page.screenshot({ path: `${PICTURES}/unfolded-${width}.png`, fullPage: true });
        }
      }
    }
    await page.emulateMedia({ colorScheme: "light" });
  });
});

describe("the steps", () => {
  demo.test("play and pause, and go by keys; the address holds the step", async () => {
    await openLink(page, demo.site.url);
    const tour = page.locator("#tour");
    expect(await tour.getAttribute("aria-label")).toBe("Pause the steps");
    await page.focus("#video-step");
    await page.keyboard.press(" ");
    expect(await tour.getAttribute("aria-label")).toBe("Play the steps");
    await page.keyboard.press("End");
    await shows(page, "video-step-value", "50 of 50");
    await page.keyboard.press("ArrowLeft");
    await shows(page, "video-step-value", "40 of 50");
    expect(new URL(page.url()).hash).toBe("#step=40");
    await openLink(page, page.url());
    await shows(page, "video-step-value", "40 of 50");
    expect(await tour.getAttribute("aria-label")).toBe("Play the steps");
    await tour.focus();
    await page.keyboard.press(" ");
    await shows(page, "video-step-value", "50 of 50");
    await shows(page, "video-step-value", "0 of 50");
    await page.keyboard.press(" ");
  });

  demo.test("are chosen by touch, and the page's tiles scroll on their own", async () => {
    const phone = await demo.newPage({
      viewport: { width: 390, height: 844 },
      hasTouch: true,
      isMobile: true,
    });
    await openLink(phone, demo.site.url);
    await phone.locator("#strip li:nth-child(3) button").tap();
    await shows(phone, "video-step-value", "10 of 50");
    await phone.locator("#tour").tap();
    await shows(phone, "video-step-value", "15 of 50");
    await phone.context().close();
  });

  demo.test("stand still for whoever wants less motion", async () => {
    const still = await demo.newPage({ reducedMotion: "reduce", viewport: { width: 1280, height: 800 } });
    await openLink(still, demo.site.url);
    await shows(still, "video-step-value", "50 of 50");
    expect(await still.getAttribute("#tour", "aria-label")).toBe("Play the steps");
    expect(await still.getAttribute("#play", "aria-label")).toBe("Play the frames");
    const caption = await still.textContent("#caption");
    await still.waitForTimeout(1200);
    expect(await stepShown(still)).toBe("50 of 50");
    expect(await still.textContent("#caption")).toBe(caption);
    await still.context().close();
  });

  demo.test("of another episode are not there, and come back with the recorded one", async () => {
    await openLink(page, demo.site.url);
    expect(await page.textContent("#source")).toBe("recorded · episode 1 · seeds 0, 1");
    await page.check('#episodes input[value="3"]', { force: true });
    await shows(page, "source", "episode 3 · not measured");
    await shows(page, "video-step-value", "–");
    expect(page.url()).toContain("episode=3");
    await page.check('#episodes input[value="1"]', { force: true });
    await shows(page, "source", "recorded · episode 1 · seeds 0, 1");
    await page.waitForFunction(() => /of 50$/.test(document.getElementById("video-step-value")!.textContent));
  });
});

describe("every state", () => {
  /** Both themes of what stands there now. */
  async function look(state: string, width: number): Promise<void> {
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme });
      await expectOrder(`${state}, ${width}, ${colorScheme}`);
      if (colorScheme === "light" || state === "done")
        await page.screenshot({ path: `${PICTURES}/${state}-${width}-${colorScheme}.png` });
    }
  }
  const set = (name: string, value: string): Promise<void> =>
    page.evaluate(
      ([at, text]) => {
        const input = document.querySelector<HTMLInputElement>(`[name="${at}"]`)!;
        input.value = text;
        input.dispatchEvent(new Event("change", { bubbles: true }));
      },
      [name, value] as const,
    );

  demo.test("keeps its order: not measured, running, done, refused, cancelled", async () => {
    for (const [width, height] of SCREENS) {
      await page.setViewportSize({ width, height });
      await openLink(
        page,
        `${demo.site.url}#video-steps=20&action-steps=2&video-seeds=1&probe-steps=10&episode=2&episodes=this`,
      );
      await look("unmeasured", width);
      await page.click("#run");
      await shows(page, "run", "Cancel");
      await look("running", width);
      await page.click("#run");
      await said(page, /^(Cancelled|Done)/);
      await look("cancelled", width);
      await set("video-steps", "2");
      await set("probe-steps", "");
      await page.click("#run");
      await said(page, /^Done/);
      expect(await page.locator("#strip button:enabled").count()).toBe(3);
      await look("done", width);
      await set("probe-steps", "2,1");
      await page.click("#run");
      const box = (await page.locator("#failure").boundingBox())!;
      expect(box.x).toBeGreaterThanOrEqual(0);
      expect(box.x + box.width).toBeLessThanOrEqual(width);
      expect(box.y + box.height).toBeLessThanOrEqual(height);
      await look("refused", width);
      await page.keyboard.press("Escape");
    }
  });
});

describe("without an adapter", () => {
  demo.test("the recording plays, one line says what is missing, and Run is not offered", async () => {
    const plain = await startChromium(false);
    try {
      const there = await plain.newPage({ viewport: { width: 1280, height: 800 } });
      await there.goto(demo.site.url);
      await there.locator("#no-gpu").waitFor({ state: "visible" });
      expect(await there.textContent("#no-gpu")).toMatch(/No WebGPU.*recording.*Chrome/s);
      for (const hidden of ["#run", "#prompt", "#settings", "#failure", ".robot", "#another", "#save-json"])
        expect(await there.locator(hidden).isVisible(), hidden).toBe(false);
      expect(await there.locator("#episodes input").count()).toBe(8);
      expect(await painted(there, "picture")).toBeGreaterThan(50);
      const before = await stepShown(there);
      await there.waitForFunction(
        (text) => document.getElementById("video-step-value")!.textContent !== text,
        before,
      );
      const { y, height } = (await there.locator("#no-gpu").boundingBox())!;
      expect(y + height, "said at first sight").toBeLessThan(800);
      await there.screenshot({ path: `${PICTURES}/without-webgpu.png` });
    } finally {
      await plain.close();
    }
  });
});

demo.test("had nothing to complain about and asked nobody", async () => {
  expect(demo.complaints).toEqual([]);
  const own = new URL(demo.site.url).origin;
  expect(demo.requested.filter((url) => !url.startsWith(own) && !/^(data|blob|about):/.test(url))).toEqual(
    [],
  );
});
