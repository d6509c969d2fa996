/** What impatient and careless visitors do to the page, and links that others made: nothing is lost, and what cannot be done is said. */
import type { Page } from "playwright-core";
import { beforeAll, beforeEach, describe, expect } from "vitest";
import type { ProbeResult } from "../../src/probe/result/result.ts";
import { openLink, said, saved, shows, visit } from "./visit.ts";

const demo = visit("abuse");
let page: Page;

/** The shortest run with a beginning, a middle and an end. */
const SHORT = "#video-steps=2&action-steps=2&video-seeds=1&episodes=this";
const LONG = "#video-steps=40&action-steps=2&video-seeds=1&probe-steps=40&episodes=this";

beforeAll(async () => {
  if (demo.browser) page = await demo.newPage();
});

const open = (hash: string): Promise<void> => openLink(page, demo.site.url + hash);
const failure = (): Promise<string | null> => page.textContent("#failure-text");
const failed = (): Promise<boolean> => page.locator("#failure").isVisible();
const result = async (): Promise<ProbeResult> => (await saved(page, "#save-json")) as ProbeResult;
const field = (name: string) => page.locator(`[name="${name}"]`);

/** Sets a field that may be folded away, as a person who changes it does. */
async function set(name: string, value: string): Promise<void> {
  await page.evaluate(
    ([at, text]) => {
      const input = document.querySelector<HTMLInputElement>(`[name="${at}"]`)!;
      input.value = text;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    },
    [name, value] as const,
  );
}

describe("during a run", () => {
  beforeEach(async () => {
    if (demo.browser) await open(SHORT);
  });

  demo.test("cancel ends it, and it can be run again", async () => {
    await open(LONG);
    await page.click("#run");
    await shows(page, "run", "Cancel");
    await page.waitForTimeout(700);
    await page.click("#run");
    await said(page, /^Cancelled/);
    expect(await page.textContent("#run")).toBe("Run");
    expect(await failed()).toBe(false);
    await set("video-steps", "2");
    await set("probe-steps", "");
    await page.click("#run");
    await said(page, /^Done/);
    expect((await result()).video_steps).toBe(2);
  });

  demo.test("a double click is one run, and so is a key that is held", async () => {
    await page.dblclick("#run");
    await said(page, /^(Done|Cancelled)/);
    expect(await page.textContent("#status")).toMatch(/^Done/);
    await page.focus("#prompt");
    await page.keyboard.down("Enter");
    await page.keyboard.down("Enter");
    await page.keyboard.down("Enter");
    await page.keyboard.up("Enter");
    await shows(page, "run", "Cancel");
    await said(page, /^(Done|Cancelled)/);
    expect(await page.textContent("#status")).toMatch(/^Done/);
  });

  demo.test("another episode, other words and other settings leave the measurement what it was", async () => {
    await page.click("#run");
    await shows(page, "run", "Cancel");
    await page.check('#episodes input[value="3"]', { force: true });
    await shows(page, "video-step-value", "–");
    expect(await page.textContent("#source")).toContain("episode 3");
    expect(await page.inputValue("#prompt")).toBe("push the blue block down");
    await page.fill("#prompt", "push the blue block left");
    await set("video-steps", "7");
    await said(page, /^Done/);
    const { video_steps, episodes } = await result();
    expect(video_steps).toBe(2);
    expect(episodes.map(({ index, prompt }) => [index, prompt])).toEqual([[1, "push the red block up"]]);
    // The measured one is a click away, the link is that of what is set.
    expect(await page.textContent("#source")).toBe("episode 3 · not measured");
    expect(page.url()).toContain("video-steps=7");
    await page.check('#episodes input[value="1"]', { force: true });
    await shows(page, "source", "episode 1 · measured here");
    await shows(page, "video-step-value", "2 of 2");
  });

  demo.test("a reload, going back and going forward open the page anew with its settings", async () => {
    await page.click("#run");
    await shows(page, "run", "Cancel");
    await page.reload();
    await said(page, /^Ready/);
    expect(await field("video-steps").inputValue()).toBe("2");
    await page.goto("about:blank");
    await page.goBack();
    await said(page, /^Ready/);
    expect(await field("video-steps").inputValue()).toBe("2");
    await page.goForward();
    await page.goBack();
    await said(page, /^Ready/);
    expect(await page.isEnabled("#run")).toBe(true);
  });
});

describe("what cannot be done", () => {
  demo.test("settings are refused in words, and nothing runs", async () => {
    await open(SHORT);
    const refused: [string, string, RegExp][] = [
      ["video-steps", "0", /video steps/],
      ["video-steps", "-3", /video steps/],
      ["video-steps", "1e9", /video steps/],
      ["video-steps", "99999999999", /video steps/],
      ["video-steps", "abc", /video steps/],
      ["action-steps", "0", /action steps/],
      ["probe-steps", "9", /probe steps.*beyond/],
      ["probe-steps", "3,1", /probe steps.*1 comes after 3/],
      ["video-seeds", "1,1", /video seeds/],
      ["video-seeds", "0", /video seeds/],
      ["video-steps", "4,5", /video steps/],
    ];
    for (const [name, value, words] of refused) {
      const before = await field(name).inputValue();
      await set(name, value);
      await page.click("#run");
      expect(await failed(), `${name} ${value}`).toBe(true);
      expect(await failure(), `${name} ${value}`).toMatch(words);
      expect(await page.textContent("#run"), `${name} ${value}`).toBe("Run");
      await set(name, before);
      await page.keyboard.press("Escape");
      expect(await failed()).toBe(false);
    }
    await page.click("#run");
    await said(page, /^Done/);
  });

  demo.test("links with garbage open the page and say what of them was left out", async () => {
    const links: [string, RegExp][] = [
      ["#video-steps=abc", /video steps.*abc/],
      ["#episode=999", /no episode 999.*0 to 7/],
      ["#episode=-1", /Episode “-1”/],
      ["#dtype=f64", /Dtype “f64” is none of f32, bf16, f16/],
      ["#video-steps=1&video-steps=2", /Video-steps stands there 2 times/],
      ["#probe-steps=1,2,3,", /probe steps/],
      ["#probe-steps=60", /probe steps.*beyond the 50/],
      ["#step=7", /Step 7 is not among/],
      ["#%zz", /“%zz”/],
      ["#colour=red", /“colour”/],
    ];
    for (const [hash, words] of links) {
      await open(hash);
      expect(await failed(), hash).toBe(true);
      expect(await failure(), hash).toMatch(words);
      expect(await page.isEnabled("#run"), hash).toBe(true);
      expect(await page.inputValue("#prompt"), hash).toBe("push the red block up");
      expect(new URL(page.url()).hash, hash).toBe("");
    }
    await open("#prompt=%F0%9F%A4%96%00<script>alert(1)</script>");
    expect(await page.inputValue("#prompt")).toContain("<script>");
    expect(await page.locator("script:not([src])").count()).toBe(0);
    await page.goto("about:blank");
    await page.goto(`${demo.site.url}#model=../../etc/passwd`);
    await page.locator("#failure").waitFor({ state: "visible" });
    expect(await failure()).toMatch(/is not a name on the Hub/);
  });

  demo.test("wrong files say why and touch nothing", async () => {
    await open(SHORT);
    const drop = (name: string, content: string, type = ""): Promise<void> =>
      page.evaluate(
        ([file, text, mime]) => {
          const dataTransfer = new DataTransfer();
          if (file !== "") dataTransfer.items.add(new File([text], file, { type: mime }));
          for (const kind of ["dragenter", "dragover", "drop"])
            document.body.dispatchEvent(
              new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }),
            );
        },
        [name, content, type] as const,
      );
    const dropped: [string, string, RegExp][] = [
      ["holiday.jpg", "JFIF", /./],
      ["model.json", "{", /model\.json is not JSON/],
      ["model.json", "{}", /model\.json/],
      ["empty.txt", "", /./],
      ["probe.json", '{"schema":"mimic-video-probe"}', /./],
    ];
    for (const [name, content, words] of dropped) {
      await drop(name, content);
      await page.locator("#failure").waitFor({ state: "visible" });
      expect(await failure(), name).toMatch(words);
      expect(await page.isVisible("#drop"), name).toBe(false);
      await page.keyboard.press("Escape");
      await page.waitForFunction(() => !(document.getElementById("run") as HTMLButtonElement).disabled);
    }
    // A selection of text is no file.
    await drop("", "");
    expect(await failed()).toBe(false);
    await page.click("#run");
    await shows(page, "run", "Cancel");
    await drop("holiday.jpg", "JFIF", "image/jpeg");
    await said(page, /^(Done|Cancelled|Stopped)/);
    expect(await page.textContent("#status")).toMatch(/^Done/);
  });
});

describe("by keyboard alone", () => {
  demo.test("everything is reached, is seen when it is, and does what it should", async () => {
    await open(SHORT);
    const reached: string[] = [];
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const active = document.activeElement as HTMLInputElement;
        if (active === document.body) return undefined;
        const { outlineStyle, outlineWidth } = getComputedStyle(active);
        // A tile's ring is drawn around its picture.
        const ring = active.type === "radio" ? getComputedStyle(active.nextElementSibling!) : undefined;
        const seen = (ring?.outlineStyle ?? outlineStyle) !== "none" && outlineWidth !== "0px";
        return { name: active.id || active.name || active.textContent.trim().slice(0, 30), seen };
      });
      if (!at) break;
      expect(at.seen, `${at.name} has the focus and does not show it`).toBe(true);
      reached.push(at.name);
    }
    for (const wanted of [
      "play",
      "episode",
      "prompt",
      "run",
      "Settings",
      "copy-link",
      "robot-depth",
      "robot-go",
    ])
      expect(reached, wanted).toContain(wanted);
    await page.focus("#run");
    await page.keyboard.press("Enter");
    await said(page, /^Done/);
    await page.focus("#video-step");
    await page.keyboard.press("Home");
    await shows(page, "video-step-value", "0 of 2");
    expect(page.url()).toContain("step=0");
    await page.keyboard.press("Shift+Tab");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("tour");
    await page.keyboard.press("Enter");
    await shows(page, "video-step-value", "1 of 2");
    await page.keyboard.press("Enter");
    expect(await page.getAttribute("#tour", "aria-label")).toBe("Play the steps");
  });

  demo.test("a prompt may be empty, and as long as somebody likes", async () => {
    await open(SHORT);
    await page.fill("#prompt", "   ");
    await page.keyboard.press("Enter");
    await said(page, /^(Done|Stopped)/);
    await page.keyboard.press("Escape");
    await page.fill("#prompt", `推动红色方块 🤖 ${"very ".repeat(3000)}`);
    await page.click("#run");
    await said(page, /^(Done|Stopped)/);
    expect(await page.isEnabled("#run")).toBe(true);
  });
});

describe("enlarged", () => {
  demo.test("at 200 and 400 % the page does not scroll sideways", async () => {
    for (const [width, height, deviceScaleFactor] of [
      [640, 400, 2],
      [320, 256, 4],
    ]) {
      const zoomed = await demo.newPage({ viewport: { width, height }, deviceScaleFactor });
      await openLink(zoomed, demo.site.url + SHORT);
      const sideways = await zoomed.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(sideways, `${width}`).toBeLessThanOrEqual(0);
      await zoomed.context().close();
    }
  });
});
