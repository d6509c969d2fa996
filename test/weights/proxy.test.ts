/** Downloads through a proxy on the loopback, as HTTP_PROXY and its like name it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { hubSettings } from "../../src/weights/hub/environment.node.ts";
import { parseHubRef } from "../../src/weights/hub/ref.ts";
import { resolveHubRef } from "../../src/weights/hub/resolve-model.node.ts";
import { MockHub } from "./mock-hub.ts";

let hub: MockHub;
let proxy: Server;
let address: string;
let home: string;
/** what the proxy was asked for, and with which name and password */
const asked: { readonly what: string; readonly authorization?: string }[] = [];

beforeAll(async () => {
  hub = await MockHub.start();
  hub.addFolder("owner/toy", "weights/toy");
  proxy = createServer((incoming, answer) => {
    const { "proxy-authorization": authorization, ...headers } = incoming.headers;
    asked.push({ what: incoming.url!, authorization });
    const onward = request(incoming.url!, { method: incoming.method, headers }, (response) => {
      answer.writeHead(response.statusCode!, response.headers);
      response.pipe(answer);
    });
    onward.on("error", () => answer.writeHead(502).end());
    incoming.pipe(onward);
  });
  proxy.on("connect", (incoming, socket, first) => {
    asked.push({ what: `CONNECT ${incoming.url}` });
    const [host, port] = incoming.url!.split(":");
    const onward = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      onward.write(first);
      onward.pipe(socket).pipe(onward);
    });
    for (const end of [onward, socket]) end.on("error", () => socket.destroy());
  });
  await new Promise<void>((listening) => proxy.listen(0, "127.0.0.1", listening));
  address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
});
afterAll(async () => {
  proxy.closeAllConnections();
  proxy.close();
  await hub.stop();
});
beforeEach(() => {
  asked.length = 0;
  hub.requests.length = 0;
  home = mkdtempSync(join(tmpdir(), "proxied-"));
  return () => rmSync(home, { recursive: true });
});

async function get(env: NodeJS.ProcessEnv, idleMs = 5000): Promise<string> {
  const found = await hubSettings({ HF_ENDPOINT: hub.endpoint, HF_HOME: home, ...env });
  const retry = { attempts: 2, firstDelayMs: 1, maxDelayMs: 5, idleMs };
  return resolveHubRef({ ...found, client: { ...found.client, retry } }, parseHubRef("owner/toy:vae")!);
}

const file = "diffusion_pytorch_model.safetensors";
const expectVae = (path: string): void =>
  expect(readFileSync(join(path, file)).equals(readFileSync(join("weights/toy/vae", file)))).toBe(true);

test.each<[string, () => NodeJS.ProcessEnv]>([
  ["HTTP_PROXY", () => ({ HTTP_PROXY: `http://${address}` })],
  [
    "small letters, which come first",
    () => ({ http_proxy: `http://${address}`, HTTP_PROXY: "http://127.0.0.1:9" }),
  ],
  ["without a scheme", () => ({ HTTP_PROXY: address })],
  ["ALL_PROXY", () => ({ ALL_PROXY: `http://${address}` })],
  ["NO_PROXY for others", () => ({ HTTP_PROXY: `http://${address}`, NO_PROXY: "localhost,.example.org" })],
])("%s: all that is asked for goes through it, storage as well", async (_, env) => {
  expectVae(await get(env()));
  expect(asked.length).toBe(hub.requests.length);
  expect(hub.requests.some(({ storage }) => storage)).toBe(true);
  expect(asked.every(({ what }) => what.startsWith("http://127.0.0.1:"))).toBe(true);
});

test.each<[string, () => NodeJS.ProcessEnv]>([
  ["NO_PROXY with the host", () => ({ HTTP_PROXY: `http://${address}`, NO_PROXY: "127.0.0.1" })],
  ["NO_PROXY=*", () => ({ HTTP_PROXY: `http://${address}`, no_proxy: "*" })],
  ["no variable", () => ({})],
  ["an empty one", () => ({ HTTP_PROXY: " " })],
])("%s: nothing goes through it", async (_, env) => {
  expectVae(await get(env()));
  expect(asked).toEqual([]);
});

test("name and password go to the proxy, and to nobody else; the token to the Hub", async () => {
  expectVae(await get({ HTTP_PROXY: `http://me:se%20cret@${address}`, HF_TOKEN: "hf_token" }));
  const basic = `Basic ${Buffer.from("me:se cret").toString("base64")}`;
  expect(asked.every(({ authorization }) => authorization === basic)).toBe(true);
  for (const { storage, authorization } of hub.requests) {
    expect(authorization).toBe(storage ? undefined : "Bearer hf_token");
  }
});

test("https goes through a tunnel", async () => {
  // No certificate answers here; that the tunnel is asked for is what counts.
  const env = { HTTPS_PROXY: `http://${address}`, HF_ENDPOINT: hub.endpoint.replace("http:", "https:") };
  await expect(get(env)).rejects.toThrow(/2 attempts.*the proxy http:\/\/127/);
  expect(asked[0].what).toBe(`CONNECT ${hub.endpoint.slice("http://".length)}`);
});

test("a proxy that does not answer is named, without its password", async () => {
  const error = await get({ HTTP_PROXY: "http://me:secret@127.0.0.1:9" }).catch((thrown: Error) => thrown);
  expect((error as Error).message).toMatch(/Check the network, the proxy http:\/\/127\.0\.0\.1:9, and/);
  expect((error as Error).message).not.toContain("secret");
});

test.each(["http://", "gopher://proxy:70", "http://me:secret@proxy:99999"])(
  "%s is no proxy",
  async (value) => {
    const error = await hubSettings({ HTTPS_PROXY: value }).catch((thrown: Error) => thrown);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).toMatch(/^HTTPS_PROXY holds .* no address of a proxy/);
    expect((error as Error).message).not.toContain("secret");
  },
);
