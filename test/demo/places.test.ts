/** Where a model and its data come from: dropped folders, names on the Hub; in a real browser, as in demo.test.ts. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect } from "vitest";
import { runProbeHere } from "../../src/commands/probe/run.node.ts";
import { probeResult, type ProbeResult } from "../../src/probe/result/result.ts";
import { madeFiles } from "../data/made-set.ts";
import { MockHub } from "../weights/mock-hub.ts";
import {
  expectQuiet,
  differences,
  numbers,
  openLink,
  PICTURES,
  said,
  saved,
  SETTINGS,
  settingsOf,
  visit,
} from "./visit.ts";

const demo = visit("places");
let page: Page;

beforeAll(async () => {
  if (demo.browser) page = await demo.newPage();
});

const status = (wanted: RegExp): Promise<void> => said(page, wanted);
const open = (hash: string): Promise<void> => openLink(page, demo.site.url + hash);
const savedResult = async (): Promise<ProbeResult> => (await saved(page, "#save-json")) as ProbeResult;

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

describe("models and data", () => {
  demo.test("takes a recorded data set, dropped or from the Hub, as data for the model", async () => {
    const folder = `${demo.built}-pushes/pushes`;
    const hub = await MockHub.start();
    addRecording(hub, "owner/pushes", recordedPushes(), folder);
    try {
      await open(SETTINGS);
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
      await open(`${SETTINGS}&data=owner%2Fpushes&camera=observation.images.front`);
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
      rmSync(`${demo.built}-pushes`, { recursive: true, force: true });
    }
  });

  demo.test("opens the folder of a model, and one on the Hub", async () => {
    await page.setInputFiles("#choose", "weights/toy");
    await status(/^(Opening|Loading)/);
    await status(/^Ready/);
    // What was measured belonged to the model before.
    await page.waitForFunction(() => document.querySelectorAll(".plot .curve").length === 0);
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

  demo.test(
    "opens a Diffusion Policy of the Hub: no video, its own schedule, the numbers of Node",
    async () => {
      const hub = await MockHub.start();
      hub.addFolder("lerobot/diffusion_pusht", "test/pusht-mini/published");
      const folder = `${demo.built}-pusht/pusht`;
      addRecording(hub, "lerobot/pusht", recordedPushT(), folder);
      await toMockHub(hub);
      try {
        await open("#model=lerobot/diffusion_pusht&video-steps=4&video-seeds=2");
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
        rmSync(`${demo.built}-pusht`, { recursive: true, force: true });
      }
      await page.evaluate(() => document.getElementById("another")!.setAttribute("open", ""));
      await page.click("#toy");
      await status(/^(Opening|Loading|Downloading)/);
      await status(/^Ready/);
      expect(await page.isVisible("#action-step")).toBe(true);
      expect(await page.inputValue("[name=video-steps]")).toBe("4");
    },
  );

  demo.test("had nothing to complain about and asked nobody but the Hub", async () => expectQuiet(demo));
});
