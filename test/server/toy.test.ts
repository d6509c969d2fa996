/** The toy behind the server: single frames and stacks, stops and seeds, against the policy itself. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PolicyServer, servePolicy } from "../../src/server/listen.node.ts";
import type { Value } from "../../src/server/message.ts";
import type { Policy } from "../../src/systems/policy.ts";
import type { Opened } from "../../src/systems/system.ts";
import { mimicVideo } from "../../src/systems/mimic-video/system.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import { testGpu } from "../support/gpu.ts";
import { Client, numbers, picture, stack } from "./support.ts";

let opened: Opened;
let policy: Policy;
let server: PolicyServer;

beforeAll(async () => {
  opened = await mimicVideo.open(await testGpu(), await openModelFolder("weights/toy"), {});
  await opened.load({});
  policy = await opened.policy!();
  server = await servePolicy({
    description: policy.description,
    policy: () => opened.policy!(),
    requestHz: 1 / policy.description.cameras[0].interval,
    stop: 0,
    port: 0,
  });
});
afterAll(async () => {
  await server?.close();
  policy?.dispose();
  await opened?.release();
});

const STATE = [0.25, -0.5, -1];
const PROMPT = "push the red block left";
const shown = (value: number) => {
  const { shape, bytes } = picture(32, 32, value);
  return { width: shape[1], height: shape[0], rgb: bytes };
};
const directly = async (values: readonly number[], stop: number, seed = 0): Promise<number[]> => {
  const observation = {
    frames: { image: values.map(shown) },
    state: Float32Array.from(STATE),
    prompt: PROMPT,
  };
  return [...(await policy.act(observation, { stop, seed })).actions];
};
const rest = { "observation/state": STATE, prompt: PROMPT };

describe("the toy answers", { timeout: 300_000 }, () => {
  test("a stack as the policy does, and the same frames one by one alike", async () => {
    const client = await Client.open(server.port);
    const frames = [10, 60, 110, 160, 210];
    const expected = await directly(frames, 0);
    const stacked = await client.infer({ ...rest, frames: stack(frames) });
    expect(numbers(stacked.get("actions"))).toEqual(expected);
    // The stack's last frame is remembered; an episode begins.
    let single: ReadonlyMap<string, Value> = new Map();
    for (const [k, value] of frames.entries())
      single = await client.infer({ ...rest, "observation/image": picture(32, 32, value), reset: k === 0 });
    expect(numbers(single.get("actions"))).toEqual(expected);
    expect((single.get("history") as ReadonlyMap<string, Value>).get("age")).toBe(
      4 * policy.description.cameras[0].interval,
    );
    await client.close();
  });

  test("after as many steps as are asked for, from the seed that is asked for", async () => {
    const client = await Client.open(server.port);
    const ask = { ...rest, "observation/image": picture(32, 32, 90) };
    const deeper = await client.infer({ ...ask, stop: 2, seed: 3, reset: true });
    expect(numbers(deeper.get("actions"))).toEqual(await directly([90], 2, 3));
    const several = await client.infer({ ...ask, seeds: [3, 4], reset: true });
    const [three, four] = [await directly([90], 0, 3), await directly([90], 0, 4)];
    expect(numbers(several.get("actions"))).toEqual(three);
    numbers(several.get("spread")).forEach((value, i) =>
      expect(value).toBeCloseTo(Math.abs(three[i] - four[i]) / Math.SQRT2, 5),
    );
    expect(Math.max(...numbers(several.get("spread")))).toBeGreaterThan(1e-2);
    await client.close();
  });

  test("a picture of another size is refused by the policy, and the next request is answered", async () => {
    const client = await Client.open(server.port);
    const wide = { ...rest, "observation/image": picture(32, 48) };
    await expect(client.infer(wide)).rejects.toThrow("48×32");
    expect((await client.infer({ ...rest, "observation/image": picture(32, 32) })).has("actions")).toBe(true);
    await client.close();
  });
});
