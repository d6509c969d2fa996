/** Requests: what is understood, what is refused and by which name. */
import { describe, expect, test } from "vitest";
import { decodeMessage, encodeMessage, type Sent } from "../../src/server/message.ts";
import { cameraKeys, knownKeys, unusedKeys } from "../../src/server/names.ts";
import { NdArray } from "../../src/server/ndarray.ts";
import { readRequest, type RequestHabits } from "../../src/server/request.ts";
import type { PolicyDescription } from "../../src/systems/policy.ts";
import { DESCRIPTION, fixture, picture, request, stack, withCameras } from "./support.ts";

const read = (message: Uint8Array | Sent, policy: PolicyDescription = DESCRIPTION, habits?: RequestHabits) =>
  readRequest(
    decodeMessage(message instanceof Uint8Array ? message : encodeMessage(message)),
    policy,
    habits,
  );

const LIBERO: PolicyDescription = {
  ...withCameras({ "observation.images.agentview_rgb": 1, "observation.images.eye_in_hand_rgb": 1 }),
  state: ["x", "y", "z", "ax", "ay", "az", "left finger", "right finger"],
};

describe("the real client's requests", () => {
  test("one camera's", () => {
    const { query, seeds, spread, stop, reset } = read(fixture("table"));
    expect(query!.prompt).toBe("push the red block left");
    expect([...query!.state]).toEqual([0.25, -0.5, 1]);
    expect([...query!.pictures.keys()]).toEqual(["table"]);
    expect([seeds, spread, stop, reset]).toEqual([[undefined], false, undefined, false]);
  });

  test("LIBERO's, where the policy has both cameras", () => {
    const { query } = read(fixture("libero"), LIBERO);
    expect([...query!.pictures.keys()]).toEqual(LIBERO.cameras.map(({ name }) => name));
    expect(query!.state).toHaveLength(8);
  });

  test("LIBERO's, where the policy has neither the wrist's camera nor a state", () => {
    const policy = { ...DESCRIPTION, state: [] };
    expect(unusedKeys(policy)).toEqual(["observation/wrist_image", "observation/state"]);
    expect([...read(fixture("libero"), policy).query!.pictures.keys()]).toEqual(["table"]);
  });

  test("a stack, with a list as state", () => {
    const { query } = read(fixture("frames"));
    const shown = query!.pictures.get("table")!;
    expect("stack" in shown && shown.stack.length).toBe(5);
    expect([...query!.state]).toEqual([0.25, -0.5, 1]);
  });

  test("numpy's own numbers and texts as options", () => {
    const { query, stop, seeds, spread, reset } = read(fixture("options"));
    expect([stop, seeds, spread, reset]).toEqual([5, [0, 1, 2], true, true]);
    expect(query!.prompt).toBe("push the blue block up ↑");
  });

  test("only a reset", () => {
    const { query, reset } = read(fixture("reset"));
    expect([query, reset]).toEqual([undefined, true]);
  });

  test.each([
    ["droid", ["observation/exterior_image_1_left", "DROID", "observation/joint_position"]],
    ["aloha", ['"images" (openpi\'s ALOHA example)', '"state" (openpi\'s ALOHA example)']],
  ])("%s is refused by name", (name, words) => {
    for (const word of words) expect(() => read(fixture(name))).toThrow(word);
    expect(() => read(fixture(name))).toThrow("It understands observation/image,");
  });
});

describe("cameras' keys", () => {
  test.each([
    [{ top: 1 }, { top: "observation/image" }],
    [{ wrist: 1 }, { wrist: "observation/image" }],
    [
      { wrist_left: 1, front: 1 },
      { wrist_left: "observation/wrist_image", front: "observation/image" },
    ],
    [
      { front: 1, side: 1, hand: 1, other_hand: 1 },
      {
        front: "observation/image",
        side: "observation/side",
        hand: "observation/wrist_image",
        other_hand: "observation/other_hand",
      },
    ],
  ])("of %j", (cameras, keys) => {
    const policy = withCameras(cameras);
    expect(Object.fromEntries(cameraKeys(policy))).toEqual(keys);
    for (const key of Object.values(keys)) expect(knownKeys(policy)).toContain(key);
  });

  test("a policy's own name is one too", () => {
    const { "observation/image": image, ...rest } = request(3);
    expect(read({ ...rest, "observation/table": image }).query!.pictures.has("table")).toBe(true);
    expect(() => read({ ...request(3), "observation/table": image })).toThrow("are the same camera");
  });

  test("stacks of several cameras come in a map", () => {
    const policy = withCameras({ front: 2, wrist: 2 });
    const both = { "observation/image": stack([1, 2]), wrist: stack([3]) };
    const rest = { "observation/state": [0, 0, 0], prompt: "" };
    const { pictures } = read({ ...rest, frames: both }, policy).query!;
    expect([...pictures.values()].map((shown) => ("stack" in shown ? shown.stack.length : 0))).toEqual([
      2, 1,
    ]);
    expect(() => read({ ...rest, frames: stack([1]) }, policy)).toThrow("has 2 cameras");
    expect(() => read({ ...rest, frames: { ...both, side: stack([1]) } }, policy)).toThrow(
      '"side", which is no camera',
    );
    expect(() => read({ ...rest, frames: { ...both, front: stack([1]) } }, policy)).toThrow("twice");
  });

  test("the present beside a stack must be its last", () => {
    expect(read(request(2, { frames: stack([0, 1, 2]) })).query!.pictures.get("table")).toHaveProperty(
      "stack",
    );
    expect(() => read(request(2, { frames: stack([0, 1]) }))).toThrow("is not the last of frames");
  });
});

describe("what is refused says what and what instead", () => {
  const half = new NdArray("<f4", [1, 1, 3], new Uint8Array(Float32Array.of(0, 0.5, 1.5).buffer));
  const without = (key: string): Sent =>
    Object.fromEntries(Object.entries(request()).filter(([name]) => name !== key));
  test.each<[string, Sent, string]>([
    ["no map", [1, 2], "A request is a map"],
    ["no picture", without("observation/image"), "observation/image is missing"],
    ["no state", without("observation/state"), "observation/state is missing: 3 values, x, y, gripper"],
    ["no prompt", without("prompt"), "prompt is missing"],
    ["a picture as a list", request(0, { "observation/image": [1] }), "no numpy array"],
    ["a stack as a picture", request(0, { "observation/image": stack([1]) }), "goes into frames"],
    [
      "four colours",
      request(0, { "observation/image": new NdArray("|u1", [2, 2, 4], new Uint8Array(16)) }),
      "3 colours",
    ],
    ["no pixels", request(0, { "observation/image": picture(0, 4) }), "no pixels"],
    ["too many pixels", request(0, { "observation/image": picture(2049, 2048) }), "more than 4194304"],
    [
      "integers as a picture",
      request(0, { "observation/image": new NdArray("<i2", [1, 1, 3], new Uint8Array(6)) }),
      "is <i2",
    ],
    ["floats beyond 1", request(0, { "observation/image": half }), "holds 1.5"],
    [
      "a stack without frames",
      request(0, { frames: new NdArray("|u1", [0, 2, 2, 3], new Uint8Array(0)) }),
      "a stack is",
    ],
    ["frames as a text", request(0, { frames: "all" }), "frames is a numpy array"],
    ["a state too short", request(0, { "observation/state": [1, 2] }), "2 long; a table needs 3 values"],
    [
      "a state of two axes",
      request(0, { "observation/state": NdArray.float32(new Float32Array(3), [1, 3]) }),
      "shape (1, 3)",
    ],
    ["a state that is not finite", request(0, { "observation/state": [1, Number.NaN, 0] }), "NaN for y"],
    ["texts in a state", request(0, { "observation/state": [1, "2", 0] }), '"2" for y'],
    ["a long prompt", request(0, { prompt: "a".repeat(4097) }), "4097 characters, more than 4096"],
    ["a number as prompt", request(0, { prompt: 3 }), "prompt is 3; a text"],
    ["a stop beyond the last", request(0, { stop: 51 }), "stop is 51; a table can be read after 0 to 50"],
    ["half a stop", request(0, { stop: 0.5 }), "stop is 0.5"],
    ["a stop before noise", request(0, { stop: -1 }), "stop is -1"],
    ["a seed beyond 32 bits", request(0, { seed: 2 ** 32 }), "seed is 4294967296"],
    ["a seed as text", request(0, { seed: "1" }), 'seed is "1"'],
    ["both", request(0, { seed: 1, seeds: [1, 2] }), "seed and seeds are both given"],
    ["one of seeds", request(0, { seeds: [1] }), "seeds is 1 long; a list of 2 to 64"],
    ["seeds twice", request(0, { seeds: [1, 1] }), "has one twice"],
    ["a reset that is a number", request(0, { reset: 1 }), "reset is true"],
    [
      "names of nobody",
      request(0, { "observation/depth": 1, x: 2 }),
      'not understand "observation/depth", "x"',
    ],
    [
      "many names",
      request(0, Object.fromEntries(Array.from({ length: 99 }, (_, i) => [`k${i}`, 0]))),
      "and 91 more",
    ],
    ["a name that is long", request(0, { ["k".repeat(999)]: 0 }), `"${"k".repeat(60)}…"`],
  ])("%s", (_, message, words) => {
    expect(() => read(message)).toThrow(words);
  });
});

test("the server's own prompt stands in", () => {
  const rest = { "observation/image": picture(2, 2), "observation/state": [0, 0, 0] };
  expect(read(rest, DESCRIPTION, { prompt: "push left" }).query!.prompt).toBe("push left");
  expect(read(request(), DESCRIPTION, { prompt: "push left" }).query!.prompt).toBe("push");
});
