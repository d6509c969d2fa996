/**
 * What the page answers, in the packaged Chromium: the scene on the screen first, then the others behind it; floors and values by keyboard; reports;
 * what is dropped while something is measured; two runs side by side. Pictures are left in results/demo.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { beforeAll, expect } from "vitest";
import type { ProbeResult } from "../../src/probe/result/result.ts";
import { openLink, PICTURES, saved, visit } from "./visit.ts";

const demo = visit("answers");
let page: Page;

/** SwiftShader computes on the processor that the tests run on: few steps of both axes, eight episodes. */
const SETTINGS = "#video-steps=2&action-steps=2&video-seeds=2&episode=";

beforeAll(async () => {
  if (demo.browser) page = await demo.newPage();
});

/** Waits until an element's words are as wanted. @returns them */
async function says(id: string, wanted: RegExp): Promise<string> {
  const selector = id.startsWith(".") ? id : `#${id}`;
  await page
    .waitForFunction(
      ([at, text]) => new RegExp(text).test(document.querySelector(at)?.textContent ?? ""),
      [selector, wanted.source] as const,
      { timeout: 120_000 },
    )
    .catch(async () => {
      const [said, failure] = [await page.textContent(selector), await page.textContent("#failure-text")];
      throw new Error(
        `${selector} never said ${wanted.source}, but "${said}"; the failure says "${failure}"`,
      );
    });
  return (await page.textContent(selector))!;
}

const open = (hash: string): Promise<void> => openLink(page, demo.site.url + hash);

async function isAccessible(): Promise<void> {
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  const violations = await page.evaluate(async () => {
    interface Axe {
      run(
        where: unknown,
        options: unknown,
      ): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }>;
    }
    const { axe } = window as unknown as { axe: Axe };
    // What a report's frame holds is tested with the report.
    const found = await axe.run(
      { exclude: [["iframe"]] },
      { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] },
    );
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
  });
  expect(violations).toEqual([]);
}

const drop = (name: string, content: string): Promise<void> =>
  page.evaluate(
    ([file, text]) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([text], file));
      window.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    },
    [name, content] as const,
  );

const savedResult = (): Promise<ProbeResult> => saved(page, "#save-json") as Promise<ProbeResult>;

demo.test("answers for the scene on the screen first, and measures the others behind it", async () => {
  await open(`${SETTINGS}5`);
  await page.evaluate(() => {
    const seen: string[] = [];
    Object.assign(window, { seen });
    const status = document.getElementById("status")!;
    new MutationObserver(() => seen.push(status.textContent)).observe(status, {
      childList: true,
      subtree: true,
    });
  });
  await page.click("#run");
  expect(await page.textContent("#status")).toMatch(/^Episode 5: starting|Compiling|Probing episode 5/);
  expect(await says("answer", /For this scene/)).toMatch(
    /For this scene \(episode 5\) the action .* \(of 2\)/,
  );
  await says("answer", /2 of 8 episodes; no verdict yet/);
  await says("notes", /Step 1 errs by .* against step 2; to be not worse, at most 0/);
  expect(await says("video-caption", /2 episodes/)).toMatch(/95 %/);
  // The screen stays where it was, and says which is being measured.
  expect(await page.isChecked('#episodes input[value="5"]')).toBe(true);
  expect(await page.getAttribute('#episodes input[value="5"]', "aria-label")).toMatch(/, measured$/);
  expect(await page.locator('#episodes label[data-mark="measuring"]').count()).toBe(1);
  expect(await page.textContent("#source")).toMatch(/^episode 5 · measured here; now episode [67012]$/);
  // Another one that is looked at is not the one that is measured.
  await page.check('#episodes input[value="4"]', { force: true });
  expect(await page.textContent("#answer")).not.toMatch(/For this scene/);
  await page.check('#episodes input[value="5"]', { force: true });
  await says("answer", /this scene \(episode 5\)/);
  await page.screenshot({ path: `${PICTURES}/answer-so-far.png`, fullPage: true });

  await says("status", /^Done/);
  expect(await page.textContent("#answer")).toMatch(/Sufficient video step: (?!undetermined).*8 episodes/);
  const result = await savedResult();
  expect(result.episodes.map(({ index }) => index)).toEqual([6, 7, 0, 1, 2, 3, 4, 5]);
  expect(result.verdict.status).toBe("sufficient");
  const seen = await page.evaluate(() => (window as unknown as { seen: string[] }).seen);
  // Compiling is told as a number, and every episode by its own.
  expect(seen.filter((words) => /^Compiling kernels: \d+ of \d+/.test(words)).length).toBeGreaterThan(3);
  for (const episode of [5, 6, 7, 0, 1, 2, 3, 4])
    expect(
      seen.some((words) => words.startsWith(`Probing episode ${episode} `)),
      `episode ${episode}`,
    ).toBe(true);
  await page.screenshot({ path: `${PICTURES}/answer-done.png`, fullPage: true });
});

demo.test("explains its curves and floors, and reads values, by keyboard", async () => {
  const floor = page.locator("#video-plot .level-names button", { hasText: "no context" });
  await floor.focus();
  expect(await page.textContent("#video-legend + .beneath .about")).toMatch(
    /^zeroed context, .*hidden states that are all zero/,
  );
  expect(await page.locator("#video-plot .level.chosen").count()).toBe(1);
  await page.locator("#action-legend button", { hasText: "null" }).focus();
  expect(await page.textContent("#action-legend + .beneath .about")).toMatch(/runs straight from noise/);
  await page.focus("#video-plot svg");
  await page.keyboard.press("Home");
  expect(await page.textContent("#video-plot .tip")).toMatch(/video step 0.*to the truth/);
  await page.keyboard.press("ArrowRight");
  expect(await page.getAttribute("#video-plot svg", "aria-valuetext")).toMatch(
    /video step 1: to the truth 0\.\d+ \[/,
  );
  await page.keyboard.press("Escape");
  expect(await page.isVisible("#video-plot .tip")).toBe(false);
  const before = await page.getAttribute("#video-plot polyline", "points");
  await page.locator("#video-legend + .beneath button").click();
  expect(await page.getAttribute("#video-plot polyline", "points")).not.toBe(before);
  await page.click(".why");
  expect(await page.textContent("#settling-rule")).toMatch(/squared distance .* standing still/);
  // No name of a floor lies over another.
  const boxes = await page
    .locator("#video-plot .level-names button")
    .evaluateAll((names) =>
      names.map((name) => name.getBoundingClientRect()).map(({ top, bottom }) => [top, bottom]),
    );
  boxes.sort(([a], [b]) => a - b);
  boxes.slice(1).forEach(([top], i) => expect(top).toBeGreaterThanOrEqual(boxes[i][1] - 0.5));
  await isAccessible();
});

demo.test("opens reports, and what is dropped meanwhile touches nothing before it is asked", async () => {
  const result = await savedResult();
  await page.click("#run");
  await says("status", /^Probing/);
  const failure = page.locator("#failure");
  for (const [name, content, words] of [
    ["holiday.jpg", "JFIF", /“holiday\.jpg” cannot be opened here.*the measurement goes on/],
    ["model.json", "{ broken", /model\.json is not JSON.*the measurement goes on/],
    ["probe.json", '{"schema":"mimic-video-probe"}', /“probe\.json”: version.*the measurement goes on/],
  ] as const) {
    await drop(name, content);
    await failure.waitFor({ state: "visible" });
    await says("failure-text", words);
    await page.keyboard.press("Escape");
  }
  expect(await page.textContent("#run")).toBe("Cancel");

  await drop("sent.json", JSON.stringify(result));
  const frame = page.frameLocator(".sheet iframe");
  expect(await frame.locator("h1").textContent()).toContain("Sufficient video step: ");
  expect(await frame.locator("header").textContent()).toContain(result.verdict.reason.slice(0, 40));
  await frame.locator(".js-plotly-plot").first().waitFor();
  await isAccessible();
  await page.screenshot({ path: `${PICTURES}/report.png` });
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  expect(await page.textContent("#run")).toBe("Cancel");

  // A right one asks; no is what Escape says.
  await page.setInputFiles("#choose", "weights/toy");
  await page.locator("dialog.question").waitFor();
  await isAccessible();
  await page.screenshot({ path: `${PICTURES}/question.png` });
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  expect(await page.textContent("#run")).toBe("Cancel");
  await page.setInputFiles("#choose", "weights/toy");
  await page.locator("dialog.question .primary").focus();
  await page.keyboard.press("Enter");
  await says("status", /^Ready/);
  expect(await page.textContent("#run")).toBe("Run");
});

demo.test("keeps what was reached when it is cancelled", async () => {
  await open(`${SETTINGS}0`);
  await page.click("#run");
  await says("answer", /1 of 8 episodes/);
  await page.click("#run");
  await says("status", /^Cancelled/);
  expect(await page.textContent("#answer")).toMatch(
    /Cancelled after [1-7] of 8 episodes.*this scene \(episode 0\)/,
  );
  expect(await page.locator("#episodes label[data-mark=measuring]").count()).toBe(0);
  expect(await page.locator("#video-plot .curve").count()).toBeGreaterThan(0);
});

demo.test("compares two seeds and two prompts from one scene", async () => {
  await page.click("#compare summary");
  const go = page.locator(".comparison [type=submit]");
  await go.click();
  await says("status", /^Comparing, left/);
  await says("status", /^Compared/);
  const seeds = await says(".words", /^Episode 0: the two actions are .* apart at step 2 of 2/);
  await page.focus("#compare-step");
  await page.keyboard.press("Home");
  await says(".words", /apart at step 0 of 2; at step 2/);
  await isAccessible();
  await page.screenshot({ path: `${PICTURES}/comparison.png`, fullPage: true });

  const right = page.locator(".side").nth(1).locator("input");
  await right.nth(1).fill("nonsense");
  await go.click();
  await says("failure-text", /The video seed of the right side is "nonsense"/);
  await page.keyboard.press("Escape");
  // The same seed and the same words are the same run.
  await right.nth(1).fill("0");
  await go.click();
  await says(".words", /the two actions are 0 .*apart at step 2 of 2/);
  await says("status", /^Compared/);
  await right.nth(0).fill("push the blue block down");
  await go.click();
  await says("status", /^Comparing, right/);
  // A run takes the place of a comparison.
  await page.click("#run");
  await says("status", /^Probing/);
  expect(await go.textContent()).toBe("Compare");
  await page.click("#run");
  await says("status", /^Cancelled/);
  expect(seeds).toMatch(/of standing still/);
});

demo.test("had nothing to complain about", async () => {
  expect(demo.complaints).toEqual([]);
});
