/** The policy's answers are the probe's read-outs of the same moment, and observations that do not fit are refused by name. */
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Subject } from "../../../src/probe/subject.ts";
import { QUERY } from "../../../src/systems/diffusion-policy/policy.ts";
import type { Encoded } from "../../../src/systems/diffusion-policy/subject.ts";
import { diffusionPolicy } from "../../../src/systems/diffusion-policy/system.ts";
import type { Observation, Picture, Policy } from "../../../src/systems/policy.ts";
import type { BoundSubject, Opened } from "../../../src/systems/system.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import { testGpu } from "../../support/gpu.ts";

const mini = fileURLToPath(new URL("../../pusht-mini", import.meta.url));
const FRAME = 96 * 96 * 3;

let opened: Opened;
let subject: BoundSubject;
let policy: Policy;
let pictures: Picture[];
let states: Float32Array;

beforeAll(async () => {
  opened = await diffusionPolicy.open(
    await testGpu(),
    await openModelFolder(path.join(mini, "published")),
    {},
  );
  subject = await opened.subject(await openModelFolder(mini));
  policy = await opened.policy!();
  await opened.load({});
  const inputs = await openWeights(path.join(mini, "inputs.safetensors"));
  const frames = await inputs.read("frames");
  states = toFloat32(await inputs.read("states"), "F32");
  await inputs.close();
  pictures = Array.from({ length: 12 }, (_, f) => ({
    ...{ width: 96, height: 96, rgb: frames.slice(f * FRAME, (f + 1) * FRAME) },
  }));
});
afterAll(async () => {
  policy.dispose();
  await subject.close();
  await opened.release();
});

const seen = (from: number, to: number): Observation => ({
  frames: { image: pictures.slice(from, to + 1) },
  state: states.slice(2 * from, 2 * to + 2),
  prompt: "",
});

test("it says what it sees and does", () => {
  expect(policy.description).toMatchObject({
    cameras: [{ name: "image", frames: 2, interval: 0.1, size: [96, 96] }],
    actions: { positions: 8, interval: 0.1 },
    stops: { last: 100, default: 100 },
  });
});

test.each([0, 1, 5])(
  "stopped after %i evaluations it does what the probe reads there",
  { timeout: 60_000 },
  async (stop) => {
    const probe = subject as Subject<Encoded>;
    // Moment 1 of the data is frame 8, which is seen with frame 7.
    const item = await probe.items.read(1);
    const encoded = await probe.encode(item, 1);
    const noise = probe.noise({ ...item, ...QUERY }, 3);
    let read: number[] = [];
    for await (const state of probe.denoise(encoded, [noise], { last: stop })) {
      if (state.step < stop) continue;
      const [{ values }] = await probe.read(
        [{ tap: await state.tap("one-jump"), time: 0 }],
        encoded,
        [[]],
        undefined,
        {},
      );
      read = [...probe.toData(values, item)];
    }
    encoded.dispose();
    const { actions, timing } = await policy.act(seen(7, 8), { stop, seed: 3 });
    expect([...actions]).toEqual(read);
    expect(Object.keys(timing)).toEqual(["observations", "plan"]);
  },
);

test("where one observation comes it stands for those before it too, and more than are seen are left out", async () => {
  const once = await policy.act(seen(0, 0), { stop: 2 });
  const twice = await policy.act(
    {
      frames: { image: [pictures[0], pictures[0]] },
      state: Float32Array.of(...states.slice(0, 2), ...states.slice(0, 2)),
      prompt: "",
    },
    { stop: 2 },
  );
  expect([...once.actions]).toEqual([...twice.actions]);
  const long = { ...seen(7, 8), frames: { image: pictures.slice(2, 9) } };
  expect([...(await policy.act(long, { stop: 2 })).actions]).toEqual([
    ...(await policy.act(seen(7, 8), { stop: 2 })).actions,
  ]);
});

test.each<[string, Partial<Observation>, number, RegExp]>([
  ["a camera that is not there", { frames: { wrist: [] } }, 1, /no camera "wrist"; the policy sees image/],
  ["no picture", { frames: {} }, 1, /no picture of camera "image"/],
  [
    "a picture of another size",
    { frames: { image: [{ width: 2, height: 1, rgb: new Uint8Array(6) }] } },
    1,
    /1×2 pixels/,
  ],
  ["a state of another robot", { state: new Float32Array(7) }, 1, /a state of 7 numbers/],
  ["a state that is no number", { state: Float32Array.of(Number.NaN, 1) }, 1, /the state holds NaN/],
  ["more evaluations than there are", {}, 101, /stop 101: actions can be read after 0 to 100/],
])("%s is refused", async (_, change, stop, message) => {
  await expect(policy.act({ ...seen(7, 8), ...change }, { stop })).rejects.toThrow(message);
});
