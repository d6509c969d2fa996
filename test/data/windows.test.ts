/** Windows: offsets in frames and seconds, borders of episodes, choice of task, and what the two systems make of them. */
import { describe, expect, it } from "vitest";
import { resize, toRgb, turned } from "../../src/data/lerobot/pixels.ts";
import { Recordings } from "../../src/data/lerobot/recordings.ts";
import { LeRobotSet } from "../../src/data/lerobot/set.ts";
import { type WindowShape, Windows } from "../../src/data/lerobot/windows.ts";
import { recordedEpisodes } from "../../src/systems/mimic-video/recorded.ts";
import { readModelDescription } from "../../src/systems/mimic-video/description.ts";
import { actionsOf, embodimentOf, stateOf } from "../../src/systems/mimic-video-release/embodiment.ts";
import { poseOf, rotationRows } from "../../src/systems/mimic-video-release/robot-actions.ts";
import { readFileSync } from "node:fs";
import { type MadeSet, madeSet } from "./made-set.ts";

const SIZE = { height: 8, width: 12 };

/** Pictures of one colour: red the frame, green the episode. */
const plain = (e: number, f: number): Uint8Array =>
  new Uint8Array(3 * SIZE.height * SIZE.width).map((_, i) => [f, e, 9][i % 3]);

const made = (change: Partial<MadeSet> = {}): MadeSet => ({
  name: "made",
  format: 3,
  fps: 10,
  episodes: [
    { index: 0, length: 40, task: () => 0 },
    { index: 1, length: 12, task: () => 1 },
    { index: 2, length: 31, task: (f) => (f < 20 ? 0 : 2) },
  ],
  tasks: ["push the red block", "push the blue block", "rest"],
  vectors: {
    "observation.state": { size: 3, at: (e, f) => [e, f, e * 100 + f] },
    action: { size: 3, at: (e, f) => [f, -f, e] },
    "observation.other": { size: 5, at: () => [0, 0, 0, 0, 0] },
  },
  images: { "observation.image": { ...SIZE, at: plain } },
  ...change,
});

const open = (set: MadeSet): Promise<LeRobotSet> => LeRobotSet.open(madeSet(set));

const shape = (change: Partial<WindowShape> = {}): WindowShape => ({
  pictures: { context: { key: "observation.image", at: { seconds: [-0.4, -0.2, 0] } } },
  vectors: {
    state: { key: "observation.state", at: { frames: [0] } },
    chunk: { key: "action", at: { frames: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] } },
  },
  before: "left out",
  ...change,
});

describe("windows", () => {
  it("are one an episode, in the middle of those that lie whole in it", async () => {
    const windows = await Windows.plan(await open(made()), shape());
    // Frames 4 to 30 of 40; none of 12; 4 to 21 of 31.
    expect([windows.count, windows.dropped]).toEqual([2, 1]);
    const [a, b] = [await windows.read(0), await windows.read(1)];
    expect([a.episode, a.frame, a.task]).toEqual([0, 17, "push the red block"]);
    expect([b.episode, b.frame, b.task]).toEqual([2, 12, "push the red block"]);
    expect(a.pictures.context.map(({ rgb }) => [rgb[0], rgb[SIZE.height * SIZE.width]])).toEqual([
      ...[
        [13, 0],
        [15, 0],
        [17, 0],
      ],
    ]);
    expect([...b.vectors.state.values]).toEqual([2, 12, 212]);
    expect([...b.vectors.chunk.values]).toEqual(
      Array.from({ length: 10 }, (_, i) => [12 + i, -12 - i, 2]).flat(),
    );
    expect(a.recorded).toEqual({
      ...{ context: [true, true, true], state: [true] },
      chunk: Array.from({ length: 10 }, () => true),
    });
    expect(windows.note).toContain("1 left out");
  });

  it("follow one another, and those that pass the end are counted or padded", async () => {
    const set = await open(made());
    const dropped = await Windows.plan(set, shape(), { every: 1 });
    // Episode 0: 4, 14, 24, 34; 1: 4; 2: 4, 14, 24.
    expect([dropped.count, dropped.dropped]).toEqual([5, 3]);
    const padded = await Windows.plan(set, shape(), { every: 1, ends: "pad" });
    expect([padded.count, padded.dropped]).toEqual([8, 0]);
    const last = await padded.read(3);
    expect([last.episode, last.frame]).toEqual([0, 34]);
    expect([...last.vectors.chunk.values].filter((_, i) => i % 3 === 0)).toEqual([
      ...[34, 35, 36, 37, 38, 39, 39, 39, 39, 39],
    ]);
    expect(last.recorded.chunk).toEqual([...Array<boolean>(6).fill(true), ...Array<boolean>(4).fill(false)]);
  });

  it("before the beginning stand copies of the first frame, or of the present one", async () => {
    const set = await open(made());
    const red = async (before: WindowShape["before"]): Promise<number[]> => {
      const windows = await Windows.plan(set, shape({ before }), { every: 0.3 });
      const { frame, pictures } = await windows.read(1);
      expect(frame).toBe(3);
      return pictures.context.map(({ rgb }) => rgb[0]);
    };
    expect(await red("first")).toEqual([0, 1, 3]);
    expect(await red("now")).toEqual([3, 3, 3]);
  });

  it("want moments that are frames, unless the nearest will do", async () => {
    const set = await open(made());
    await expect(Windows.plan(set, shape(), { fps: 12 })).rejects.toThrow(
      "12 frames a second; a moment -0.4 s from now is -4.800 frames away. --resample",
    );
    const windows = await Windows.plan(set, shape(), { fps: 12, resample: true });
    const { frame, pictures } = await windows.read(0);
    expect(pictures.context.map(({ rgb }) => rgb[0] - frame)).toEqual([-5, -2, 0]);
    expect((await Windows.plan(set, shape(), { fps: 20 })).rate).toBe(20);
  });

  it("are those of a task, frame by frame", async () => {
    const set = await open(made());
    const of = async (task: string): Promise<string[]> => {
      const windows = await Windows.plan(set, shape(), { task, ends: "pad", every: 0.5 });
      return Promise.all(Array.from({ length: windows.count }, async (_, i) => (await windows.read(i)).id));
    };
    expect(await of("rest")).toEqual(["episode 2, frame 24", "episode 2, frame 29"]);
    expect(await of("BLUE")).toEqual(["episode 1, frame 4", "episode 1, frame 9"]);
    expect((await of("push the red block")).at(-1)).toBe("episode 2, frame 19");
    await expect(of("jump")).rejects.toThrow(
      'no task of made is or holds "jump"; it has 3:\n  "push the red block"',
    );
  });

  it("of which there are none are refused with the lengths", async () => {
    const set = await open(made({ episodes: [{ index: 0, length: 9, task: () => 0 }] }));
    await expect(Windows.plan(set, shape())).rejects.toThrow(
      "it needs 14 frames, the longest of 1 episodes has 9",
    );
  });

  it("hold finite numbers only", async () => {
    const vectors = {
      ...made().vectors,
      action: { size: 3, at: (_: number, f: number) => [f, f === 20 ? NaN : 0, 0] },
    };
    const windows = await Windows.plan(await open(made({ vectors })), shape());
    await expect(windows.read(0)).rejects.toThrow("action[1] of episode 0, frame 20, is NaN");
  });
});

describe("choices", () => {
  it("name what exists when something is missing or ambiguous", async () => {
    const set = await open(made({ images: { a: { ...SIZE, at: plain }, b: { ...SIZE, at: plain } } }));
    expect(() => new Recordings(set).cameras(1)).toThrow(
      "the model sees 1 camera; made has a (8×12), b (8×12). Choose",
    );
    expect(new Recordings(set, { cameras: ["b"] }).cameras(1)[0].key).toBe("b");
    expect(new Recordings(set).cameras(2).map(({ key }) => key)).toEqual(["a", "b"]);
    expect(() => new Recordings(set, { cameras: ["c"] }).cameras(1)).toThrow(
      'no camera "c"; it has a (8×12), b (8×12)',
    );
    expect(() => new Recordings(set, { state: "x" }).vector("state")).toThrow(
      'no vector "x"; it has observation.state (3), action (3), observation.other (5). Choose with --state',
    );
    expect(() => new Recordings(set).vectorOf("state", 5)).toThrow(
      "Of that size are observation.other: --state",
    );
  });

  it("decide the fingerprint, and so does the data", async () => {
    const hash = async (change: Partial<MadeSet>, choices = {}): Promise<string> =>
      new Recordings(await open(made(change)), choices).sha256();
    const base = await hash({});
    expect(base).toMatch(/^[0-9a-f]{64}$/);
    expect(await hash({}, { asked: 3 })).toBe(base);
    const others = [
      await hash({}, { fps: 5 }),
      await hash({}, { embodiment: { family: "bridge" } }),
      await hash({ fps: 9 }),
    ];
    expect(new Set([base, ...others]).size).toBe(4);
  });
});

it("the toy's model sees resized frames two apart, and 24 actions", async () => {
  const model = readModelDescription(JSON.parse(readFileSync("weights/toy/model.json", "utf8")), "toy");
  const data = new Recordings(await open(made()));
  const notes: string[] = [];
  const episodes = await recordedEpisodes(data, model, { jointState: 3, chunk: 24, action: 3 }, (n) =>
    notes.push(n),
  );
  expect(episodes.count).toBe(1);
  const episode = await episodes.read(0);
  // Frames 8 to 16 of episode 0.
  expect(episode.id).toBe("episode 0, frame 12");
  expect(episode.context.length).toBe(3 * 5 * 32 * 32);
  for (let f = 0; f < 5; f++) expect(episode.context[f * 1024 + 77]).toBeCloseTo((4 + 2 * f) / 255, 6);
  expect([...episode.jointState]).toEqual([0, 12, 12]);
  expect(episode.truth!.length).toBe(72);
  expect(episode.truthPositions).toBeUndefined();
  const padding = new Recordings(await open(made()), { ends: "pad" });
  const padded = await recordedEpisodes(padding, model, { jointState: 3, chunk: 24, action: 3 });
  // Frames 8 to 39 of 40: the middle one is 23, and of its 24 actions 17 were recorded.
  const short = await padded.read(0);
  expect([short.id, short.truthPositions]).toEqual(["episode 0, frame 23", 17]);
  expect([...short.truth!.subarray(16 * 3)].filter((_, i) => i % 3 === 0)).toEqual(Array<number>(8).fill(39));
  expect(notes[0]).toContain("made: 1 windows of 1 episodes at 10 frames a second; 2 left out");
  const wrong = recordedEpisodes(data, model, { jointState: 8, chunk: 24, action: 3 });
  await expect(wrong).rejects.toThrow("observation.state has 3 numbers, the model's state has 8");
});

describe("embodiments", () => {
  const vector = (key: string, size: number, names?: string[]) => ({ key, dtype: "float32", size, names });
  const bridgeNames = ["x", "y", "z", "roll", "pitch", "yaw", "pad", "gripper"];
  const action = vector("action", 7);

  it("of bridge make poses relative to the present one", () => {
    const bridge = embodimentOf("bridge", "bridge", vector("observation.state", 8, bridgeNames), action);
    // A quarter turn about z, then seen from there a step ahead and a further quarter.
    const states = [
      [1, 2, 3, 0, 0, Math.PI / 2, 0, 0.25],
      [1, 2.5, 3, 0, 0, Math.PI, 0, 1],
      [1, 2, 3.5, Math.PI / 2, 0, Math.PI / 2, 0, 1],
    ];
    const actions = [
      [9, 9, 9, 9, 9, 9, 0.75],
      [9, 9, 9, 9, 9, 9, 0.5],
    ];
    const chunk = actionsOf(
      { size: 8, values: Float64Array.from(states.flat()) },
      { size: 7, values: Float64Array.from(actions.flat()) },
      bridge,
    );
    const wanted = [
      [0.5, 0, 0, 0, -1, 0, 1, 0, 0, 0.75],
      [0, 0, 0.5, 1, 0, 0, 0, 0, -1, 0.5],
    ].flat();
    chunk.forEach((v, i) => expect(v, `${i}`).toBeCloseTo(wanted[i], 6));
    const state = stateOf(Float64Array.from(states[0]), bridge);
    [1, 2, 3, 0, -1, 0, 1, 0, 0, 0.25].forEach((v, i) => expect(state[i]).toBeCloseTo(v, 6));
    // T(now) · (what was made) is the pose that was recorded.
    const [now, relative] = [poseOf(state), poseOf(chunk)];
    expect(now.position[1] + relative.position[0]).toBeCloseTo(2.5, 6);
  });

  it("of libero take the environment's own actions", () => {
    const libero = embodimentOf("libero", "libero", vector("observation.state", 8), action);
    const turn = [0.3, -0.2, 0.9];
    const chunk = actionsOf(
      { size: 8, values: new Float64Array(0) },
      { size: 7, values: Float64Array.from([0.1, 0.2, 0.3, ...turn, -1]) },
      libero,
    );
    const angle = Math.hypot(...turn);
    const [x, y, z] = turn.map((v) => (v / angle) * Math.sin(angle / 2));
    const rows = rotationRows({ w: Math.cos(angle / 2), x, y, z });
    [0.1, 0.2, 0.3, ...rows, -1].forEach((v, i) => expect(chunk[i]).toBeCloseTo(v, 6));
    const state = stateOf(Float64Array.from([1, 2, 3, 0, 0, 0, 0.04, -0.04]), libero);
    [1, 2, 3, 1, 0, 0, 0, 1, 0, 0.04].forEach((v, i) => expect(state[i]).toBeCloseTo(v, 6));
  });

  it("that a vector does not bear out are refused", () => {
    const state = vector("observation.state", 8, bridgeNames);
    expect(() => embodimentOf("libero", "libero", state, action)).toThrow(
      "is named as roll-pitch-yaw, and libero means axis-angle",
    );
    expect(() => embodimentOf("libero", "bridge", vector("s", 8), action)).toThrow(
      'statistics are of "bridge"',
    );
    expect(() => embodimentOf("bridge", "bridge", vector("s", 6), action)).toThrow("ambiguous");
    expect(() => embodimentOf(undefined, "bridge", vector("s", 8), action)).toThrow(
      "say --embodiment bridge",
    );
    expect(embodimentOf(undefined, "bridge", state, action).name).toBe("bridge");
    expect(() => embodimentOf("panda", "bridge", state, action)).toThrow(
      "use bridge, libero, or a mapping file",
    );
  });

  it("may be said by a file, whose rotations are looked at", () => {
    const file = {
      family: "libero",
      ...{ turn: true, rate: 10 },
      state: {
        position: [1, 2, 3],
        rotation: { at: [4, 5, 6, 7], as: "quaternion-wxyz" },
        gripper: { at: 0, scale: 1 / 0.022, offset: 0.015 },
      },
      action: { position: [0, 1, 2], rotation: { at: [3, 4, 5, 6, 7, 8], as: "rows" }, gripper: { at: 9 } },
    };
    const made = embodimentOf(file, "libero", vector("s", 8), vector("a", 10));
    expect([made.rate, made.turn]).toEqual([10, true]);
    const state = stateOf(Float64Array.from([0.037, 1, 2, 3, Math.SQRT1_2, 0, 0, Math.SQRT1_2]), made);
    [1, 2, 3, 0, -1, 0, 1, 0, 0, 1].forEach((v, i) => expect(state[i]).toBeCloseTo(v, 6));
    expect(() => stateOf(Float64Array.from([0, 1, 2, 3, 1, 1, 0, 0]), made)).toThrow(
      "are no rotation as quaternion-wxyz",
    );
    const skewed = { size: 10, values: Float64Array.from([0, 0, 0, 1, 0, 0, 0.1, 1, 0, 1]) };
    expect(() => actionsOf(skewed, skewed, made)).toThrow("are no rotation as rows: off by 0.10");
    const beyond = { ...file, state: { ...file.state, position: [1, 2, 8] } };
    expect(() => embodimentOf(beyond, "libero", vector("s", 8), vector("a", 10))).toThrow(
      "number 8 of s, which has 8",
    );
    const unknown = { ...file, state: { ...file.state, rotation: { at: [1, 2, 3], as: "euler" } } };
    expect(() => embodimentOf(unknown, "libero", vector("s", 8), vector("a", 10))).toThrow("not supported");
  });
});

describe("pixels", () => {
  it("are resized as Pillow does it", () => {
    // One row of 4 to 8 and to 2 pixels: triangles of reach 1 and 2.
    const rgb = Float32Array.from([0, 60, 120, 240, 0, 0, 0, 0, 255, 255, 255, 255]);
    const red = (columns: number): number[] => [
      ...resize({ width: 4, height: 1, rgb }, 1, columns).rgb.slice(0, columns),
    ];
    [0, 15, 45, 75, 105, 150, 210, 240].forEach((v, i) => expect(red(8)[i]).toBeCloseTo(v, 4));
    const wide = [(0.75 * 0 + 0.75 * 60 + 0.25 * 120) / 1.75, (0.25 * 60 + 0.75 * 120 + 0.75 * 240) / 1.75];
    wide.forEach((v, i) => expect(red(2)[i]).toBeCloseTo(v, 4));
    expect([...resize({ width: 4, height: 1, rgb }, 3, 4).rgb.slice(8, 12)]).toEqual([0, 60, 120, 240]);
  });

  it("are turned by half a circle", () => {
    const rgb = Float32Array.from({ length: 12 }, (_, i) => i);
    expect([...turned({ width: 2, height: 2, rgb }).rgb]).toEqual([3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8]);
  });

  it("of all kinds of planes are one colour", () => {
    const seen = (
      bits: number,
      fullRange: boolean,
      matrix: "bt601" | "bt709",
      yuv: readonly number[],
    ): number[] => {
      const make = (n: number, value: number) =>
        (bits > 8 ? new Uint16Array(n) : new Uint8Array(n)).fill(value);
      const [y, u, v] = [make(15, yuv[0]), make(6, yuv[1]), make(6, yuv[2])];
      const picture = toRgb({
        ...{ kind: "planes", width: 5, height: 3, subsampling: [2, 2], bits, fullRange, matrix },
        ...{ y, u, v },
      });
      expect(new Set(picture.rgb.slice(0, 15)).size).toBe(1);
      return [0, 15, 30].map((i) => picture.rgb[i]);
    };
    const near = (found: number[], wanted: number[]) =>
      found.forEach((v, i) => expect(v).toBeCloseTo(wanted[i], 1));
    near(seen(8, false, "bt601", [81, 90, 240]), [254.44, 0, 0]);
    near(seen(10, false, "bt601", [324, 360, 960]), [254.44, 0, 0]);
    near(seen(8, true, "bt601", [76, 85, 255]), [254.05, 0.1, 0]);
    near(seen(8, false, "bt709", [63, 102, 240]), [255, 0.59, 0]);
    near(seen(12, true, "bt709", [2048, 2048, 2048]), [127.53, 127.53, 127.53]);
  });
});
