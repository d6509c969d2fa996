/**
 * OPFS, `fetch` and `File` as a real browser has them: a headless Chromium. The page does the work and says what it saw;
 * skipped where there is no such browser.
 */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo } from "node:net";
import { resolve } from "node:path";
import type { Browser } from "playwright-core";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startChromium } from "../support/chromium.ts";
import { MockHub, sha256 } from "./mock-hub.ts";

interface Report {
  readonly hashes: Record<string, string>;
  readonly tensors: number;
  readonly left: string[];
  readonly dropped: number;
}

/** What the page runs: the model twice, once interrupted; then a File as a user would drop it. */
const page = `
import { fetchModelToOpfs } from ${JSON.stringify(resolve("src/weights/hub/opfs.browser.ts"))};
import { parseHubRef } from ${JSON.stringify(resolve("src/weights/hub/ref.ts"))};
import { openAnyWeights } from ${JSON.stringify(resolve("src/weights/open.ts"))};
import { blobSource } from ${JSON.stringify(resolve("src/weights/blob.ts"))};

const hex = async (bytes) =>
  [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");

async function work() {
  const retry = { attempts: 3, firstDelayMs: 1, maxDelayMs: 2, idleMs: 5000 };
  const options = { endpoint: new URLSearchParams(location.search).get("hub"), token: "hf_page", client: { retry } };
  const ref = parseHubRef("owner/toy:vae");
  const interrupted = await fetchModelToOpfs(ref, options).then(() => "no error", (error) => error.message);
  if (!/times in a row/.test(interrupted)) throw new Error("not interrupted: " + interrupted);
  await fetch("/mend");
  const sources = await fetchModelToOpfs(ref, options);
  const hashes = {};
  for (const [path, source] of sources) hashes[path] = await hex(await source.read(0, source.size));
  const weights = await openAnyWeights(sources.get("diffusion_pytorch_model.safetensors"));
  const left = [];
  for await (const name of (await (await navigator.storage.getDirectory()).getDirectoryHandle("hub")).keys()) {
    if (name.endsWith(".incomplete")) left.push(name);
  }
  const bytes = await sources.get("diffusion_pytorch_model.safetensors").read(0, 683784);
  const dropped = await openAnyWeights(blobSource(new File([bytes], "dropped.safetensors")));
  return { hashes, tensors: weights.tensors.size, left, dropped: dropped.tensors.size };
}

window.report = work();
`;

let hub: MockHub;
let server: Server;
let broken = true;

beforeAll(async () => {
  hub = await MockHub.start();
  hub.addFolder("owner/toy", "weights/toy");
  // The first connection brings some, the others none, until the page says so.
  let first = true;
  hub.fault = ({ storage }) => {
    if (!storage || !broken) return undefined;
    const fault = { endAfter: first ? 196_608 : 0 };
    first = false;
    return fault;
  };
  const virtual = {
    name: "page",
    resolveId: (id: string) => (id === "page" ? id : undefined),
    load: (id: string) => (id === "page" ? page : undefined),
  };
  const bundle = await rolldown({ input: "page", platform: "browser", plugins: [virtual] });
  const { output } = await bundle.generate({ format: "esm" });
  await bundle.close();
  server = createServer((request, response) => {
    if (request.url === "/mend") broken = false;
    const script = request.url === "/page.js";
    response.writeHead(200, { "content-type": script ? "text/javascript" : "text/html" });
    response.end(script ? output[0].code : '<script type="module" src="/page.js"></script>');
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await hub.stop();
});

test("a download in Chromium is resumed, verified and read from OPFS", async ({ skip }) => {
  let browser: Browser;
  try {
    browser = await startChromium(false);
  } catch (error) {
    return skip(`no browser could be started: ${(error as Error).message.split("\n")[0]}`);
  }
  let report: Report;
  try {
    const tab = await browser.newPage();
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await tab.goto(`${origin}/?hub=${hub.endpoint}`);
    await tab.waitForFunction(() => "report" in window);
    report = await tab.evaluate(() => (window as unknown as { report: Promise<Report> }).report);
  } finally {
    await browser.close();
  }
  for (const [path, hash] of Object.entries(report.hashes)) {
    expect(hash, path).toBe(sha256(readFileSync(`weights/toy/vae/${path}`)));
  }
  expect(Object.keys(report.hashes).sort()).toEqual(["config.json", "diffusion_pytorch_model.safetensors"]);
  expect(report.left).toEqual([]);
  expect(report.tensors).toBe(report.dropped);
  const ranges = hub.requests.filter(({ storage }) => storage).map(({ range }) => range);
  expect(ranges.at(-1)).toBe("bytes=196608-");
  for (const { storage, authorization } of hub.requests) {
    expect(authorization).toBe(storage ? undefined : "Bearer hf_page");
  }
});
