/** Twenty clients at once, and others that misbehave: nobody else notices, and memory returns to its level. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, expect, test } from "vitest";
import { type PolicyServer, servePolicy } from "../../src/server/listen.node.ts";
import { Client, DESCRIPTION, fakePolicies, numbers, picture, request, type Answer } from "./support.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Bytes of objects and buffers, once nothing is left over. */
async function held(): Promise<number> {
  for (let i = 0; i < 5; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const CLIENTS = 20;
const QUERIES = 25;
let server: PolicyServer;
afterAll(() => server.close());

test("20 clients, one of garbage, one that leaves, one of 100 MB", async () => {
  const { policy, log } = fakePolicies(DESCRIPTION, () => new Promise((resolve) => setTimeout(resolve, 1)));
  server = await servePolicy({ description: DESCRIPTION, policy, requestHz: 5, port: 0 });
  const round = async (queries: number, others: () => Promise<unknown>[]): Promise<void> => {
    const wanted = Array.from({ length: CLIENTS }, async (_, who) => {
      const client = await Client.open(server.port);
      for (let k = 0; k < queries; k++) {
        const answer = await client.infer(
          request(who, {
            "observation/image": picture(64, 64, k),
            "observation/state": [who, k, 0],
            seed: k,
          }),
        );
        expect(numbers(answer.get("actions")).slice(0, 3)).toEqual([5, k, who]);
      }
      await client.close();
    });
    await Promise.all([...wanted, ...others()]);
  };
  const garbage = async (): Promise<void> => {
    const client = await Client.open(server.port);
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) >> 3);
    for (let k = 0; k < 50; k++) {
      client.send(bytes.subarray(0, 1 + 100 * k));
      expect(await client.next()).toMatch(/cannot be read|A request is a map/);
    }
    client.socket.send("text");
    expect(await client.next()).toMatch("binary message");
    // No frame of any websocket.
    const raw = (client.socket as unknown as { _socket: { write(bytes: Uint8Array): void } })._socket;
    raw.write(Uint8Array.from({ length: 64 }, () => 0xff));
    expect((await client.closed).code).toBe(1002);
  };
  const leaving = async (): Promise<void> => {
    for (let k = 0; k < 5; k++) {
      const client = await Client.open(server.port);
      client.send(request(k));
      client.send(request(k));
      await new Promise((resolve) => setTimeout(resolve, 5));
      client.socket.terminate();
    }
  };
  let most = 0;
  const huge = async (): Promise<void> => {
    const client = await Client.open(server.port);
    const bytes = new Uint8Array(100 * 2 ** 20);
    const before = process.memoryUsage().arrayBuffers;
    const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().arrayBuffers - before)), 1);
    client.send(bytes);
    expect(await client.next()).toMatch("The message is longer than 33554432 bytes. Send smaller pictures");
    expect((await client.closed).code).toBe(1009);
    clearInterval(watch);
  };

  // Once without the others, so that what is made once is there.
  await round(5, () => [garbage(), leaving()]);
  log.asked.length = 0;
  const level = await held();
  await round(QUERIES, () => [garbage(), leaving(), huge()]);
  expect(log.asked.length).toBeGreaterThanOrEqual(CLIENTS * QUERIES);
  // The pictures it was shown are the test's own.
  log.asked.length = 0;
  const after = await held();
  expect(log.mostRunning).toBe(1);
  expect(log.disposed).toBe(log.made);
  expect(after - level).toBeLessThan(4 * 2 ** 20);
  // The client's own copy of its message (masked) may be among what was seen; a second one, the server's, is not.
  expect(most).toBeLessThan(150 * 2 ** 20);
  expect((await (await Client.open(server.port)).infer(request())) satisfies Answer).toBeInstanceOf(Map);
});
