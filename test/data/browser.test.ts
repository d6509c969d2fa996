/**
 * The same sets in a headless Chromium, with its own decoders: H.264 and AV1 it has, pictures in tables need none. The page reads files by
 * ranges, hashes planes and says what it saw; skipped where there is no such browser.
 */
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo } from "node:net";
import { join, relative, resolve } from "node:path";
import type { Browser } from "playwright-core";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startChromium } from "../support/chromium.ts";
import { EXPECTED, LEROBOT, vectorsOf } from "./expected.ts";

interface SeenFrame {
  readonly hash: string;
  readonly mean: number[];
}

/** By set, episode, camera and frame. */
interface Report {
  readonly frames: Record<string, SeenFrame>;
  readonly vectors: Record<string, number[]>;
  readonly tasks: Record<string, string>;
}

const page = `
import { LeRobotSet } from ${JSON.stringify(resolve("src/data/lerobot/set.ts"))};
import { dataFilesOf } from ${JSON.stringify(resolve("src/data/lerobot/files.ts"))};
import { toRgb } from ${JSON.stringify(resolve("src/data/lerobot/pixels.ts"))};

const hex = async (parts) => {
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((b) => b.toString(16).padStart(2, "0")).join("");
};
const source = (name, path, size) => ({
  name: path,
  size,
  read: async (offset, length) => {
    const headers = { range: "bytes=" + offset + "-" + (offset + length - 1) };
    return new Uint8Array(await (await fetch("/" + name + "/" + path, { headers })).arrayBuffer());
  },
});

async function work() {
  const report = { frames: {}, vectors: {}, tasks: {} };
  const { sets, wanted } = await (await fetch("/sets.json")).json();
  for (const [name, files] of Object.entries(sets)) {
    const sources = new Map(files.map(([path, size]) => [path, source(name, path, size)]));
    const set = await LeRobotSet.open(dataFilesOf(name, sources));
    for (const { episode: index, vectors, frames } of wanted[name]) {
      const episode = await set.episode(index);
      const place = name + "/" + index;
      for (const key of vectors) report.vectors[place + "/" + key] = [...(await episode.vector(key)).values];
      report.tasks[place] = episode.task(0);
      for (const [camera, indices] of Object.entries(frames)) {
        for await (const { index: frame, picture } of episode.frames(camera, indices)) {
          const parts = picture.kind === "rgb" ? [picture.rgb] : [picture.y, picture.u, picture.v];
          const { rgb, width, height } = toRgb(picture);
          const mean = [0, 1, 2].map((c) =>
            rgb.subarray(c * width * height, (c + 1) * width * height).reduce((a, b) => a + b, 0) / width / height);
          report.frames[[place, camera, frame].join("/")] = { hash: await hex(parts), mean };
        }
      }
    }
    await set.close();
  }
  return report;
}

window.report = work();
`;

let server: Server;

beforeAll(async () => {
  const virtual = {
    name: "page",
    resolveId: (id: string) => (id === "page" ? id : undefined),
    load: (id: string) => (id === "page" ? page : undefined),
  };
  const bundle = await rolldown({ input: "page", platform: "browser", plugins: [virtual] });
  const { output } = await bundle.generate({ format: "esm", codeSplitting: false });
  await bundle.close();
  const filesOf = (name: string): [string, number][] =>
    readdirSync(join(LEROBOT, name), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [relative(join(LEROBOT, name), path), readFileSync(path).length]);
  const sets = {
    sets: Object.fromEntries(Object.keys(EXPECTED).map((name) => [name, filesOf(name)])),
    wanted: Object.fromEntries(
      Object.entries(EXPECTED).map(([name, { episodes }]) => [
        name,
        episodes.map((episode) => ({
          episode: episode.episodeIndex,
          vectors: vectorsOf(episode).map(([key]) => key),
          frames: Object.fromEntries(
            Object.entries(episode.frames).map(([camera, list]) => [camera, list.map(({ frame }) => frame)]),
          ),
        })),
      ]),
    ),
  };
  server = createServer((request, response) => {
    const url = decodeURIComponent(request.url!);
    if (url === "/page.js") {
      response.writeHead(200, { "content-type": "text/javascript" }).end(output[0].code);
    } else if (url === "/sets.json") {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(sets));
    } else if (url === "/") {
      response
        .writeHead(200, { "content-type": "text/html" })
        .end('<script type="module" src="/page.js"></script>');
    } else {
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
      const bytes = readFileSync(join(LEROBOT, url)).subarray(Number(from), Number(to) + 1);
      response.writeHead(206).end(bytes);
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

test("Chromium reads the same numbers and the same planes", async ({ skip }) => {
  let browser: Browser;
  try {
    browser = await startChromium(false);
  } catch (error) {
    return skip(`no browser could be started: ${(error as Error).message.split("\n")[0]}`);
  }
  let report: Report;
  try {
    const tab = await browser.newPage();
    await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await tab.waitForFunction(() => "report" in window);
    report = await tab.evaluate(() => (window as unknown as { report: Promise<Report> }).report);
  } finally {
    await browser.close();
  }
  for (const [name, { episodes }] of Object.entries(EXPECTED)) {
    for (const episode of episodes) {
      const place = `${name}/${episode.episodeIndex}`;
      expect(report.tasks[place]).toBe(episode.tasks[0].task);
      for (const [key, rows] of vectorsOf(episode))
        expect(report.vectors[`${place}/${key}`], `${place}, ${key}`).toEqual(rows.flat().map(Math.fround));
      for (const [camera, frames] of Object.entries(episode.frames)) {
        for (const { frame, sha256I420, sha256Rgb, meanRgb } of frames) {
          const seen = report.frames[`${place}/${camera}/${frame}`];
          expect(seen.hash, `${place}, ${camera}, frame ${frame}`).toBe(sha256I420 ?? sha256Rgb);
          seen.mean.forEach((value, c) => expect(Math.abs(value - meanRgb[c])).toBeLessThan(0.01));
        }
      }
    }
  }
});
