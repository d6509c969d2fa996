/** The digits on the page: opened on demand, drawn as the command line draws them, and shown from a recording where nothing computes. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Figures, sentence } from "../../demo/digits/figures.ts";
import { type Described, encodeRecorded, readRecorded } from "../../demo/digits/recorded.ts";
import { CALLS, parametersOf, refusedSetting, settingsOf } from "../../demo/digits/settings.ts";
import { runGenerate } from "../../src/commands/generate/command.node.ts";
import { readNormalisation, toBytes } from "../../src/systems/meanflow/pictures.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { openWeights } from "../../src/weights/open.node.ts";
import { startChromium } from "../support/chromium.ts";
import { firstFiles } from "./site.ts";
import { openLink, PICTURES, said, shows, visit } from "./visit.ts";

const DIGITS = "weights/digits";
const described = JSON.parse(readFileSync(`${DIGITS}/model.json`, "utf8")) as Described;
const figures = JSON.parse(readFileSync(`${DIGITS}/reference.json`, "utf8")) as Figures;
const pictures = {
  ...{ channels: 1, rows: 8, columns: 8 },
  ...readNormalisation(described.image.normalisation, "model.json"),
};

/** A tensor of one of the reference's files as bytes of pixels. */
async function stored(name: string, from: number, to: number): Promise<number[]> {
  const file = await openWeights(`${DIGITS}/reference.safetensors`);
  const states = toFloat32(await file.read(name), "F32");
  await file.close();
  return [...toBytes(states.subarray(from * 64, to * 64), pictures)];
}

const folder = mkdtempSync(path.join(tmpdir(), "digits-page-"));
afterAll(() => rmSync(folder, { recursive: true }));

const demo = visit("digits");
let page: Page;
beforeAll(async () => {
  if (demo.browser) page = await demo.newPage({ viewport: { width: 1280, height: 900 } });
});

/** Bytes of all pictures of a side, in their order. */
const drawn = (of: Page, rule: string): Promise<number[]> =>
  of.evaluate(
    (side) =>
      [...document.querySelectorAll<HTMLCanvasElement>(`#digits-body .${side} canvas`)].flatMap((canvas) => {
        const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
        return [...data].filter((_, i) => i % 4 === 0);
      }),
    rule,
  );

/** What `node dist/generate.js` writes, as bytes of pixels. */
async function generated(...words: string[]): Promise<number[]> {
  const out = path.join(folder, "samples.safetensors");
  const silent = { write: () => true };
  const asked = [...words, "--adapter", "software", "--quiet", "--out", out];
  const { signal } = new AbortController();
  expect(await runGenerate(asked, { stdout: silent, stderr: silent, signal })).toBe(0);
  const source = await openWeights(out);
  const samples = toFloat32(await source.read("samples"), "F32");
  await source.close();
  return [...toBytes(samples, pictures)];
}

/** How many bytes differ; a list of all would hide what is wrong. */
function different(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  expect(a.length).toBe(30 * 64);
  return a.filter((value, i) => value !== b[i]).length;
}

/** Waits until both sides show the last of so many calls. */
const after = (of: Page, calls: number): Promise<unknown> =>
  of.waitForFunction(
    (text) => {
      const sides = [...document.querySelectorAll("#digits-body figcaption output")];
      return sides.length === 2 && sides.every((side) => side.textContent === text);
    },
    `call ${calls} of ${calls}`,
    { timeout: 120_000 },
  );

async function violations(): Promise<string[]> {
  const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  return page.evaluate(async () => {
    interface Result {
      readonly violations: readonly {
        readonly id: string;
        readonly nodes: readonly { readonly html: string }[];
      }[];
    }
    const { axe } = window as unknown as { axe: { run(where: string, options: unknown): Promise<Result> } };
    const found = await axe.run(".digits", {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    });
    return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(" | ")}`);
  });
}

describe("what is set", () => {
  test("comes back from a link, and what cannot be followed is said", () => {
    for (const settings of [
      { calls: 1, seed: 0 },
      { label: 7, calls: 32, seed: 12 },
      { label: undefined, calls: 4, seed: 999_999_999 },
    ])
      expect(settingsOf(new URLSearchParams(parametersOf(settings)))).toEqual(settings);
    expect(parametersOf({ calls: 1, seed: 0 })).toEqual([["digits", "all"]]);
    for (const [name, value] of [
      ["digits", "seven"],
      ["digits-calls", "3"],
      ["digits-calls", "abc"],
      ["digits-seed", "-1"],
      ["digits-seed", "1e9"],
    ])
      expect(refusedSetting(name, value), `${name}=${value}`).toContain(`“${value}”`);
    expect(refusedSetting("digits-model", "owner/name")).toBeUndefined();
  });

  test("is said in a sentence with the reference's numbers, for every number of calls", () => {
    const plain = (calls: number): string => sentence(figures, calls).replaceAll("\u00a0", " ");
    expect(plain(1)).toMatch(/^One call .* mean of each class: 1 % .* 100 % .*accuracy alone/);
    expect(plain(2)).toMatch(/^2 calls: .* 1\.4, still further .*\(0\.37\).* 27 % .* 78 %/);
    expect(plain(8)).toMatch(/^8 calls: .* 0\.43, still further/);
    expect(plain(32)).toMatch(
      /^32 calls: only now Euler \(0\.33\) has passed .*\(0\.37\).* from 0\.37 to 0\.31/,
    );
    expect(new Set(CALLS.map(plain)).size).toBe(CALLS.length);
  });
});

test("the recording holds the reference's samples as pixels", async () => {
  const reference = await openWeights(`${DIGITS}/reference.safetensors`);
  const noise = await openWeights(`${DIGITS}/noise.safetensors`);
  const bytes = await encodeRecorded(reference, noise, described);
  await reference.close();
  await noise.close();
  const { shape, classes, rowsOf, picture } = await readRecorded(bytes);
  expect([shape, classes, rowsOf(3).slice(0, 3)]).toEqual([[1, 8, 8], 10, [3, 13, 23]]);
  for (const [set, rule, calls] of [
    ["average.1", "average", 1],
    ["instant.32", "instant", 32],
  ] as const) {
    expect([...picture(rule, calls, 13)]).toEqual(await stored(set, 13, 14));
  }
  expect(() => picture("average", 3, 0)).toThrow(/nothing after 3 calls/);
});

describe("the section", () => {
  demo.test("loads nothing of it before it is opened, and opens by keyboard", async () => {
    await openLink(page, demo.site.url);
    const own = /\/digits\/|\/(digits|sampling)-[^/]*\.js$/;
    expect([...firstFiles(demo.built)].filter((file) => own.test(`/${file}`))).toEqual([]);
    expect(demo.requested.filter((url) => own.test(url))).toEqual([]);
    await page.focus("#digits summary");
    await page.keyboard.press("Enter");
    await after(page, 1);
    const read = demo.requested.filter((url) => /\/digits\//.test(url)).map((url) => path.basename(url));
    expect(read.sort()).toEqual(["files.json", "model.json", "reference.json", "weights.safetensors"]);
    await shows(page, "digits-calls-value", "1");
    expect(page.url()).toContain("#digits=all");
    for (const rule of ["average", "instant"])
      expect(await page.locator(`#digits-body .${rule} canvas`).count()).toBe(30);
    const facts = async (rule: string): Promise<string[]> =>
      (await page.locator(`#digits-body .${rule} dd`).allTextContents()).map((t) => t.replace("\u00a0", " "));
    expect(await facts("average")).toEqual(["0.37", "78 %", "98 %"]);
    expect(await facts("instant")).toEqual(["4.2", "1 %", "100 %"]);
    expect(await page.getAttribute("#digits-body .distances svg", "aria-label")).toMatch(/1: 0\.37 and 4\.2/);
  });

  demo.test("draws what the command line draws, both from the same noise", async () => {
    for (const rule of ["average", "instant"])
      expect(different(await drawn(page, rule), await generated("--count", "30", "--rule", rule)), rule).toBe(
        0,
      );
    expect(different(await drawn(page, "average"), await drawn(page, "instant"))).toBeGreaterThan(500);

    await page.selectOption("#digits-class", "7");
    await page.fill("#digits-seed", "3");
    await page.focus("#digits-calls");
    await page.keyboard.press("ArrowRight");
    await after(page, 2);
    expect(new URL(page.url()).hash).toBe("#digits=7&digits-calls=2&digits-seed=3");
    expect(await page.getAttribute("#digits-calls", "aria-valuetext")).toBe("2 calls");
    const asked = ["--class", "7", "--calls", "2", "--seed", "3", "--count", "30"];
    for (const rule of ["average", "instant"])
      expect(different(await drawn(page, rule), await generated(...asked, "--rule", rule)), rule).toBe(0);
    await page.waitForFunction(() =>
      /computed here/.test(document.getElementById("digits-status")!.textContent),
    );
  });

  demo.test("plays through the numbers of calls by the space bar, and stops", async () => {
    await page.focus("#digits-calls");
    await page.keyboard.press("Home");
    await after(page, 1);
    await page.keyboard.press(" ");
    await page.waitForFunction(() => /Stop/.test(document.getElementById("digits-play")!.ariaLabel!));
    await shows(page, "digits-calls-value", "2");
    await page.keyboard.press(" ");
    expect(await page.getAttribute("#digits-play", "aria-label")).toMatch(/^Play/);
    await after(page, 2);
    expect(await page.inputValue("#digits-calls")).toBe("1");
  });

  demo.test("takes other noise, which the address holds, and refuses what is no seed", async () => {
    const before = await drawn(page, "average");
    await page.click("#digits-noise");
    await page.waitForFunction(() => /digits-seed=33/.test(location.hash));
    await after(page, 2);
    expect(await page.inputValue("#digits-seed")).toBe("33");
    expect(different(await drawn(page, "average"), before)).toBeGreaterThan(500);
    await page.fill("#digits-seed", "-4");
    await page.keyboard.press("Enter");
    await page.locator("#failure").waitFor({ state: "visible" });
    expect(await page.textContent("#failure-text")).toMatch(/seed “-4”/);
    expect(page.url()).toContain("digits-seed=33");
    await page.click("#dismiss");
  });

  demo.test("is open where a link says so, and says what of it cannot be followed", async () => {
    await openLink(page, `${demo.site.url}#digits=all&digits-calls=5&digits-seed=2`);
    expect(await page.textContent("#failure-text")).toMatch(/digits-calls “5” is none of 1, 2, 4, 8, 32/i);
    await after(page, 1);
    expect(new URL(page.url()).hash).toBe("#digits=all&digits-seed=2");
    expect(await page.locator("#digits-body").isVisible()).toBe(true);
    await page.click("#dismiss");
  });

  demo.test("is accessible and fits, at four widths in two themes", async () => {
    for (const [width, height] of [
      [390, 844],
      [768, 1024],
      [1280, 800],
      [1920, 1080],
    ]) {
      await page.setViewportSize({ width, height });
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        const what = `${width}, ${colorScheme}`;
        expect(await violations(), what).toEqual([]);
        const cut = await page.evaluate(() => {
          const wide = [...document.querySelectorAll<HTMLElement>(".digits, .digits *:not(.unseen)")].filter(
            (element) => element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1,
          );
          const outside = [...document.querySelectorAll<HTMLElement>("#digits-body *:not(.unseen)")].filter(
            (element) => {
              const { right } = element.getBoundingClientRect();
              return right > document.querySelector(".digits")!.getBoundingClientRect().right + 0.5;
            },
          );
          return [...wide, ...outside].map(({ tagName, className }) => `${tagName} ${String(className)}`);
        });
        expect(cut, what).toEqual([]);
        // The scene that stays beside what is read does not lie over the digits.
        const covered = await page.evaluate(() => {
          const digits = document.querySelector(".digits")!;
          digits.scrollIntoView({ block: "start" });
          return (
            document.querySelector(".scene")!.getBoundingClientRect().bottom -
            digits.getBoundingClientRect().top
          );
        });
        expect(covered, what).toBeLessThanOrEqual(0);
        const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(sideways, what).toBeLessThanOrEqual(0);
        // A picture's pixel is a whole number of the screen's.
        const tile = await page.evaluate(
          () => document.querySelector("#digits-body canvas")!.getBoundingClientRect().width,
        );
        expect(tile % 8, what).toBe(0);
        await page
          .locator("section.digits")
          .screenshot({ path: `${PICTURES}/digits-${width}-${colorScheme}.png` });
      }
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  demo.test("opens another model of the kind, refuses latents, and goes back", async () => {
    const copy = path.join(folder, "other");
    mkdirSync(copy);
    for (const file of ["model.json", "weights.safetensors"]) cpSync(`${DIGITS}/${file}`, `${copy}/${file}`);
    await page.setInputFiles("#choose", copy);
    const back = page.locator("#digits-body button", { hasText: "Back to the digits" });
    await back.waitFor({ state: "visible" });
    await page.waitForFunction(() => /^Other: /.test(document.getElementById("digits-status")!.textContent));
    await after(page, 1);
    // Nobody has measured this one.
    expect(await page.locator("#digits-body .figures").first().isVisible()).toBe(false);
    expect(await page.locator("#episodes input").count()).toBe(8);
    const shown = await drawn(page, "average");

    const latents = path.join(folder, "latents");
    mkdirSync(latents);
    cpSync("test/golden-meanflow/sit/weights.safetensors", `${latents}/weights.safetensors`);
    const { config } = JSON.parse(readFileSync("test/golden-meanflow/sit/case.json", "utf8")) as {
      config: Record<string, unknown>;
    };
    const { arch, ...rest } = config;
    writeFileSync(
      `${latents}/model.json`,
      JSON.stringify({ kind: "meanflow", architecture: arch, config: rest }),
    );
    await page.setInputFiles("#choose", latents);
    await page.locator("#failure").waitFor({ state: "visible" });
    expect(await page.textContent("#failure-text")).toMatch(/latents of 4 × 8 × 8.*autoencoder.*stays open/s);
    await page.click("#dismiss");
    await after(page, 1);
    expect(different(await drawn(page, "average"), shown)).toBe(0);
    await back.click();
    await back.waitFor({ state: "hidden" });
    await said(page, /^Ready/);
  });

  demo.test("says that the GPU was lost, and draws again", async () => {
    await page.waitForFunction(() =>
      /^60 pictures/.test(document.getElementById("digits-status")!.textContent),
    );
    const session = await demo.browser.newBrowserCDPSession();
    await session.send("Browser.crashGpuProcess");
    await page.locator("#failure").waitFor({ state: "visible" });
    expect(await page.textContent("#failure")).toMatch(/The GPU was lost/);
    await page.waitForFunction(() => /^Stopped/.test(document.getElementById("digits-status")!.textContent));
    await page.selectOption("#digits-class", "4");
    await after(page, 1);
    await page.waitForFunction(() =>
      /^60 pictures/.test(document.getElementById("digits-status")!.textContent),
    );
  });

  demo.test("shows recorded digits where nothing computes", async () => {
    const plain = await startChromium(false);
    try {
      const there = await plain.newPage({ viewport: { width: 1280, height: 800 } });
      await there.goto(`${demo.site.url}#digits=all&digits-calls=32`);
      await after(there, 32);
      expect(await there.textContent("#digits-status")).toMatch(/no WebGPU.*recorded/);
      for (const rule of ["average", "instant"])
        expect(different(await drawn(there, rule), await stored(`${rule}.32`, 0, 30)), rule).toBe(0);
      await there.focus("#digits-calls");
      await there.keyboard.press("Home");
      await after(there, 1);
      expect(different(await drawn(there, "instant"), await stored("instant.1", 0, 30))).toBe(0);
      await there.screenshot({ path: `${PICTURES}/digits-without-webgpu.png` });
    } finally {
      await plain.close();
    }
  });

  demo.test("had nothing to complain about and asked nobody", () => {
    expect(demo.complaints).toEqual([]);
    const own = new URL(demo.site.url).origin;
    const others = demo.requested.filter((url) => !url.startsWith(own) && !/^(data|blob|about):/.test(url));
    expect(others).toEqual([]);
    return Promise.resolve();
  });
});
