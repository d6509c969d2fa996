/** The server through its socket, with a policy that has no model. */
import { createServer, type AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { DeviceLostError } from "../../src/errors.ts";
import { type PolicyServer, servePolicy, type ServerSettings } from "../../src/server/listen.node.ts";
import { type Value } from "../../src/server/message.ts";
import type { NdArray } from "../../src/server/ndarray.ts";
import {
  type Answer,
  type Asked,
  Client,
  DESCRIPTION,
  fakePolicies,
  fixture,
  numbers,
  picture,
  request,
  stack,
  withCameras,
} from "./support.ts";

let server: PolicyServer;
afterEach(() => server.close());

async function start(
  more: Partial<ServerSettings> = {},
  work?: (asked: Asked) => Promise<void>,
): Promise<ReturnType<typeof fakePolicies>["log"] & { lines: string[] }> {
  const { policy, log } = fakePolicies(more.description ?? DESCRIPTION, work);
  const lines: string[] = [];
  server = await servePolicy({
    description: DESCRIPTION,
    policy,
    requestHz: 5,
    port: 0,
    onLine: (line) => lines.push(line),
    ...more,
  });
  return Object.assign(log, { lines });
}

const get = (map: Value | undefined, key: string): Value => (map as ReadonlyMap<string, Value>).get(key)!;
const gate = () => {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
};

describe("a conversation", () => {
  test("metadata come first", async () => {
    await start({ stop: 7 });
    const { metadata, ...client } = await Client.open(server.port);
    const [camera] = get(metadata, "cameras") as readonly Value[];
    expect(Object.fromEntries(camera as ReadonlyMap<string, Value>)).toEqual({
      name: "table",
      key: "observation/image",
      frames: 5,
      interval: 0.2,
      size: [32, 32],
    });
    expect([get(metadata, "frames"), get(metadata, "rate")]).toEqual([5, 5]);
    expect(get(get(metadata, "state"), "names")).toEqual(["x", "y", "gripper"]);
    expect(get(get(metadata, "actions"), "names")).toEqual(["dx", "dy", "gripper"]);
    expect(get(get(metadata, "actions"), "hz")).toBe(10);
    expect(get(get(metadata, "stops"), "default")).toBe(7);
    expect(get(get(metadata, "stops"), "last")).toBe(50);
    expect(get(metadata, "request_hz")).toBe(5);
    expect(client.socket.readyState).toBe(1);
  });

  test("the bytes of the real client are answered with actions, timing and the history's age", async () => {
    const { asked } = await start();
    const client = await Client.open(server.port);
    const answer = await client.infer(fixture("table"));
    const actions = answer.get("actions") as NdArray;
    expect([actions.dtype, actions.shape]).toEqual(["<f4", [4, 3]]);
    expect(numbers(actions).slice(0, 3)).toEqual([5, 0, 0.25]);
    const timing = Object.fromEntries(answer.get("server_timing") as ReadonlyMap<string, number>);
    expect(Object.keys(timing).sort()).toEqual(
      ["action_ms", "infer_ms", "queue_ms", "read_ms", "video_ms"].sort(),
    );
    expect([timing.video_ms, timing.action_ms]).toEqual([2, 1]);
    expect(get(answer.get("history"), "age")).toBe(0);
    expect(asked[0].observation.frames.table).toHaveLength(5);
    // The way back of an answer is only known with the next one.
    const next = await client.infer(fixture("table"));
    expect(get(next.get("server_timing"), "prev_total_ms")).toBeGreaterThan(0);
  });

  test("single frames become a history; a reset forgets it", async () => {
    const log = await start({ requestHz: 10 });
    const client = await Client.open(server.port);
    const ages: Value[] = [];
    for (let k = 0; k < 6; k++) ages.push(get((await client.infer(request(k))).get("history"), "age"));
    expect(ages).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5]);
    const shown = (i: number) => log.asked[i].observation.frames.table.map(({ rgb }) => rgb[0]);
    // 0.2 s at 10 Hz are two requests.
    expect(shown(5)).toEqual([0, 0, 1, 3, 5]);
    await client.infer(request(9, { reset: true }));
    expect(shown(6)).toEqual([9, 9, 9, 9, 9]);
    expect(log.resets).toBe(1);
    expect((await client.infer(fixture("reset"))).get("reset")).toBe(true);
    expect(log.resets).toBe(2);
    await client.infer(request(3));
    expect(shown(7)).toEqual([3, 3, 3, 3, 3]);
  });

  test("connections have histories of their own", async () => {
    const { asked } = await start();
    const [one, other] = [await Client.open(server.port), await Client.open(server.port)];
    await one.infer(request(1));
    await other.infer(request(2));
    await one.infer(request(3));
    expect(asked[2].observation.frames.table.map(({ rgb }) => rgb[0])).toEqual([1, 1, 1, 1, 3]);
  });

  test("a stack is taken as it is, and its last is remembered", async () => {
    const { asked } = await start();
    const client = await Client.open(server.port);
    const rest = { "observation/state": [0, 0, 0], prompt: "push" };
    const answer = await client.infer({ ...rest, frames: stack([1, 2, 3, 4, 5, 6]) });
    expect(asked[0].observation.frames.table.map(({ rgb }) => rgb[0])).toEqual([2, 3, 4, 5, 6]);
    expect(get(get(answer.get("history"), "ages"), "observation/image")).toEqual(
      [4, 3, 2, 1, 0].map((steps) => steps * 0.2),
    );
    await client.infer(request(7));
    expect(asked[1].observation.frames.table.map(({ rgb }) => rgb[0])).toEqual([6, 6, 6, 6, 7]);
  });

  test("a request that cannot be answered is told why, and is not remembered", async () => {
    const { asked } = await start();
    const client = await Client.open(server.port);
    await client.infer(request(1));
    await expect(client.infer(request(2, { stop: 51 }))).rejects.toThrow("stop is 51");
    await expect(client.infer(fixture("droid"))).rejects.toThrow("DROID");
    await expect(client.infer(Uint8Array.of(0xc1))).rejects.toThrow("cannot be read as msgpack");
    client.socket.send("hello");
    expect(await client.next()).toMatch("this one is a text");
    await client.infer(request(3));
    expect(asked[1].observation.frames.table.map(({ rgb }) => rgb[0])).toEqual([1, 1, 1, 1, 3]);
  });

  test("stops and seeds reach the policy; several seeds come back with their spread", async () => {
    const { asked } = await start({ stop: 7 });
    const client = await Client.open(server.port);
    await client.infer(request());
    await client.infer(request(0, { stop: 0, seed: 4 }));
    const answer = await client.infer(request(0, { seeds: [3, 5, 7] }));
    expect(asked.map(({ options: { stop, seed } }) => [stop, seed])).toEqual([
      [7, undefined],
      [0, 4],
      [7, 3],
      [7, 5],
      [7, 7],
    ]);
    // The second value is the seed: 3, 5, 7 have a standard deviation of 2, all others of 0.
    expect(numbers(answer.get("actions"))[1]).toBe(3);
    expect((answer.get("spread") as NdArray).shape).toEqual([4, 3]);
    expect(numbers(answer.get("spread"))).toEqual([0, 2, 0, ...Array.from({ length: 9 }, () => 0)]);
    expect((answer.get("samples") as NdArray).shape).toEqual([4, 3, 3]);
    expect(numbers(answer.get("samples")).filter((_, i) => i % 3 === 1 && i < 9)).toEqual([3, 5, 7]);
    expect(get(answer.get("server_timing"), "video_ms")).toBe(6);
  });

  test("two cameras, in LIBERO's names", async () => {
    const description = { ...withCameras({ front: 1, wrist: 3 }), state: [] };
    const { asked } = await start({ description });
    const client = await Client.open(server.port);
    const both = { "observation/image": picture(4, 4, 1), "observation/wrist_image": picture(4, 4, 2) };
    const answer = await client.infer({ ...both, prompt: "" });
    expect(asked[0].observation.frames.front.map(({ rgb }) => rgb[0])).toEqual([1]);
    expect(asked[0].observation.frames.wrist.map(({ rgb }) => rgb[0])).toEqual([2, 2, 2]);
    expect(get(get(answer.get("history"), "ages"), "observation/wrist_image")).toEqual([0, 0, 0]);
  });

  test("requests sent without waiting are answered in order", async () => {
    const log = await start({ limits: { queue: 2 } });
    const client = await Client.open(server.port);
    for (let k = 0; k < 40; k++)
      client.send(k === 20 ? Uint8Array.of(0xc1) : request(0, { "observation/state": [k, 0, 0] }));
    for (let k = 0; k < 40; k++) {
      const answer = await client.next();
      if (k === 20) expect(answer).toMatch("msgpack");
      else expect(numbers((answer as Answer).get("actions"))[2]).toBe(k);
    }
    expect([log.mostRunning, log.asked.length]).toEqual([1, 39]);
  });
});

describe("who is let in", () => {
  test("with the key only, in the client's own header", async () => {
    const { lines } = await start({ apiKey: "secret" });
    await expect(Client.open(server.port)).rejects.toThrow("401");
    await expect(Client.open(server.port, { authorization: "Api-Key secre" })).rejects.toThrow("401");
    await expect(Client.open(server.port, { authorization: "Bearer secret" })).rejects.toThrow("401");
    const client = await Client.open(server.port, { authorization: "Api-Key secret" });
    expect((await client.infer(request())).has("actions")).toBe(true);
    expect(lines.join("\n")).not.toContain("secre");
  });

  test("pages of other hosts are not", async () => {
    await start();
    await expect(Client.open(server.port, { origin: "https://example.com" })).rejects.toThrow("403");
    await expect(Client.open(server.port, { origin: "null" })).rejects.toThrow("403");
    await Client.open(server.port, { origin: "http://localhost:5173" });
  });

  test("as many as there may be", async () => {
    await start({ limits: { connections: 2 } });
    const one = await Client.open(server.port);
    await Client.open(server.port);
    await expect(Client.open(server.port)).rejects.toThrow("503");
    await one.close();
    await expect
      .poll(() =>
        Client.open(server.port).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
  });

  test("GET /healthz, with no key", async () => {
    await start({ apiKey: "secret" });
    const health = await fetch(`http://127.0.0.1:${server.port}/healthz`);
    expect([health.status, await health.text()]).toEqual([200, "OK\n"]);
    expect((await fetch(`http://127.0.0.1:${server.port}/`)).status).toBe(426);
    expect((await fetch(`http://127.0.0.1:${server.port}/healthz`, { method: "POST" })).status).toBe(426);
  });

  test("a port in use is said", async () => {
    await start();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as AddressInfo;
    const { policy } = fakePolicies();
    await expect(servePolicy({ description: DESCRIPTION, policy, requestHz: 5, port })).rejects.toThrow(
      `Port ${port} of 127.0.0.1 is in use`,
    );
    other.close();
  });
});

describe("turns", () => {
  test("a client that asks for much is not served before one that asks for little", async () => {
    const first = gate();
    const order: number[] = [];
    const log = await start({}, async ({ observation }) => {
      await first.opened;
      order.push(observation.state[0]);
    });
    const [greedy, modest] = [await Client.open(server.port), await Client.open(server.port)];
    const from = (who: number) => request(0, { "observation/state": [who, 0, 0] });
    for (let k = 0; k < 4; k++) greedy.send(from(1));
    await expect.poll(() => log.running).toBe(1);
    modest.send(from(2));
    // It is received before the running request ends.
    await new Promise((resolve) => setTimeout(resolve, 50));
    first.open();
    await modest.next();
    for (let k = 0; k < 4; k++) await greedy.next();
    expect(order).toEqual([1, 2, 1, 1, 1]);
    expect(log.mostRunning).toBe(1);
  });

  test("requests beyond what may wait are refused, and those that wait are not lost", async () => {
    const first = gate();
    const log = await start({ limits: { waiting: 8000 } }, () => first.opened);
    const [one, other] = [await Client.open(server.port), await Client.open(server.port)];
    one.send(request(1));
    await expect.poll(() => log.running).toBe(1);
    one.send(request(2));
    await new Promise((resolve) => setTimeout(resolve, 30));
    await expect(other.infer(request(3))).rejects.toThrow("The server is busy");
    first.open();
    expect(await one.next()).toBeInstanceOf(Map);
    expect(await one.next()).toBeInstanceOf(Map);
    expect((await other.infer(request(3))).has("actions")).toBe(true);
  });

  test("of a client that leaves the running request is given up, and its policy freed", async () => {
    let aborted = false;
    const log = await start({}, async ({ options: { signal }, observation }) => {
      if (observation.state[0] !== 1) return;
      await new Promise<void>((_, reject) =>
        signal!.addEventListener("abort", () => {
          aborted = true;
          reject(signal!.reason as Error);
        }),
      );
    });
    const [one, other] = [await Client.open(server.port), await Client.open(server.port)];
    one.send(request(0, { "observation/state": [1, 0, 0] }));
    one.send(request(0, { "observation/state": [1, 0, 0] }));
    await expect.poll(() => log.running).toBe(1);
    one.socket.terminate();
    expect((await other.infer(request())).has("actions")).toBe(true);
    expect(aborted).toBe(true);
    await expect.poll(() => log.disposed).toBe(1);
    expect(log.asked).toHaveLength(2);
  });
});

describe("the end", () => {
  test("the running request is finished, those that wait are refused, and goodbye is said", async () => {
    const first = gate();
    const log = await start({}, () => first.opened);
    const [one, other] = [await Client.open(server.port), await Client.open(server.port)];
    one.send(request(1));
    await expect.poll(() => log.running).toBe(1);
    one.send(request(2));
    other.send(request(3));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closed = server.close();
    await expect(Client.open(server.port)).rejects.toThrow();
    first.open();
    expect(((await one.next()) as Answer).has("actions")).toBe(true);
    expect(await one.next()).toBe("The server is shutting down.");
    expect(await other.next()).toBe("The server is shutting down.");
    expect(await one.closed).toEqual({ code: 1001, reason: "The server is shutting down." });
    await closed;
    await server.ended;
    expect([log.asked.length, log.made, log.disposed]).toEqual([1, 1, 1]);
  });

  test("what a client that left had asked is over, and its policy freed, before the end", async () => {
    const first = gate();
    const log = await start({}, () => first.opened);
    const client = await Client.open(server.port);
    client.send(request());
    await expect.poll(() => log.running).toBe(1);
    client.socket.terminate();
    await new Promise((resolve) => setTimeout(resolve, 30));
    const closed = server.close().then(() => log.disposed);
    first.open();
    expect(await closed).toBe(1);
  });

  test("an error of the policy is told; a lost device ends the server", async () => {
    let error: Error = new TypeError("a fault\nof the program");
    const { lines } = await start({}, () => Promise.reject(error));
    const client = await Client.open(server.port);
    await expect(client.infer(request())).rejects.toThrow("The server failed at this request");
    expect(lines.join("\n")).toContain("a fault");
    for (let k = 0; k < 30; k++) await expect(client.infer(Uint8Array.of(0xc1))).rejects.toThrow("msgpack");
    expect(lines.filter((line) => line.includes("msgpack"))).toHaveLength(19);
    expect(lines.at(-1)).toContain("further errors are not printed");
    error = new DeviceLostError("The device is gone.");
    await expect(client.infer(request())).rejects.toThrow("The device is gone.");
    await expect(server.ended).rejects.toThrow("The device is gone.");
  });

  test("a client that does not read its answers is not waited for", async () => {
    await start();
    const client = await Client.open(server.port);
    client.socket.pause();
    client.send(request());
    await new Promise((resolve) => setTimeout(resolve, 30));
    await server.close();
    await server.ended;
    client.socket.resume();
    expect((await client.closed).code).toBe(1001);
  });
});
