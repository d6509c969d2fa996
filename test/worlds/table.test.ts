/** The toy's world against its recordings and its own words (weights/toy/README.md). */
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import type { PolicyDescription } from "../../src/systems/policy.ts";
import { worldOf } from "../../src/worlds/registry.ts";
import {
  type Colour,
  type Direction,
  expertChunk,
  type Layout,
  type Point,
  promptOf,
  render,
  table,
  TableScene,
} from "../../src/worlds/table.ts";
import { recordedWindows, type Window } from "./recorded.ts";

const windows = await recordedWindows();
const DIRECTIONS: readonly Direction[] = ["left", "right", "up", "down"];
const far = (a: Point, b: Point) => Math.hypot(a[0] - b[0], a[1] - b[1]);

/** Which way a window's block goes, from its actions while the gripper is closed. */
function direction({ actions }: Window): Direction {
  const closed = Array.from({ length: 24 }, (_, i) => i).filter((i) => actions[3 * i + 2] > 0);
  const [a, b] = [closed[0], closed[1]];
  const [dx, dy] = [0, 1].map((axis) => actions[3 * b + axis] - actions[3 * a + axis]);
  if (Math.abs(dx) > Math.abs(dy)) return dx < 0 ? "left" : "right";
  return dy < 0 ? "up" : "down";
}

describe("recordings", () => {
  it("are painted byte for byte", () => {
    for (const { frames, layout, moved } of windows) {
      const closing = frames.findIndex(({ closed }) => closed);
      for (const [f, { rgb, gripper, closed }] of frames.entries()) {
        // A block that was gripped stands at the gripper, and stays where it was let go.
        const blocks = { red: layout.red, blue: layout.blue };
        if (f >= closing) blocks[moved] = gripper;
        const picture = render({ ...blocks, gripper, closed });
        expect([picture.width, picture.height]).toEqual([32, 32]);
        expect(Buffer.compare(picture.rgb, rgb)).toBe(0);
      }
    }
  });

  it("are what the expert does", () => {
    const whole = windows.filter(({ state }) => state[2] < 0);
    expect(whole.length).toBeGreaterThan(6);
    for (const window of whole) {
      const chunk = expertChunk(window.layout, window.moved, direction(window));
      // In quarters of the table; the block's place is known to 4e-5 of it.
      window.actions.forEach((value, i) => expect(Math.abs(chunk[i] - value)).toBeLessThan(3e-4));
    }
  });

  it("are repeated by executing their actions", () => {
    for (const { frames, layout, moved, actions, state } of windows.filter(({ state }) => state[2] < 0)) {
      const scene = new TableScene(layout, {});
      const seen = scene.observe();
      expect(Array.from(seen.state, (v) => v.toFixed(6))).toEqual(Array.from(state, (v) => v.toFixed(6)));
      expect(Buffer.compare(seen.frames.image[0].rgb, frames[0].rgb)).toBe(0);
      for (let f = 1; f < frames.length; f++) {
        // What is executed is relative to where the gripper then is.
        const { gripper } = scene.places;
        const step = actions.slice(6 * (f - 1), 6 * f);
        for (const i of [0, 1, 3, 4]) step[i] -= (gripper[i % 3] - layout.gripper[i % 3]) / 0.25;
        scene.execute(step);
        const { gripper: now, ...places } = scene.places;
        expect(far(now, frames[f].gripper)).toBeLessThan(1e-6);
        // It is gripped up to half an action's drag beside its centre, which the recording does not know.
        if (frames[f].closed) expect(far(places[moved], now)).toBeLessThan(0.0201);
      }
      const other: Colour = moved === "red" ? "blue" : "red";
      expect(scene.places[other]).toEqual(layout[other]);
    }
  });
});

describe("scenes", () => {
  it("lie as the toy's do, equal for equal seeds", async () => {
    const prompts = new Map<string, number>();
    const mean = [0, 0];
    for (let seed = 0; seed < 300; seed++) {
      const scene = (await table.scene(seed)) as TableScene;
      const { red, blue, gripper, closed } = scene.places;
      for (const block of [red, blue]) {
        expect(block.every((v) => v >= 0.22 && v <= 0.78)).toBe(true);
        expect(far(block, gripper)).toBeGreaterThan(0.18);
      }
      expect(gripper.every((v) => v >= 0.08 && v <= 0.92)).toBe(true);
      expect(far(red, blue)).toBeGreaterThan(0.3);
      expect(closed).toBe(false);
      mean.forEach((_, axis) => (mean[axis] += red[axis] / 300));
      prompts.set(scene.prompt, (prompts.get(scene.prompt) ?? 0) + 1);
      const again = (await table.scene(seed)) as TableScene;
      expect([again.places, again.prompt, again.truth]).toEqual([scene.places, scene.prompt, scene.truth]);
    }
    // 3 words of blocks × 5 of directions; two thirds leave nothing open.
    expect(prompts.size).toBe(15);
    const sure = [...prompts].filter(([prompt]) => /the .* (left|right|up|down)/.test(prompt));
    expect(sure.reduce((n, [, k]) => n + k, 0) / 300).toBeCloseTo(0.7, 1);
    mean.forEach((value) => expect(Math.abs(value - 0.5)).toBeLessThan(0.04));
  });

  it("are solved by the expert, whatever is asked, and by nobody else's push", async () => {
    for (let seed = 0; seed < 4; seed++) {
      const { places } = (await table.scene(seed)) as TableScene;
      for (const block of ["red", "blue"] as const) {
        for (const way of DIRECTIONS) {
          const tasks = [{ block, direction: way }, { block }, { direction: way }, {}];
          for (const task of tasks) {
            const { scores, queries } = follow(places, block, way, new TableScene(places, task));
            expect(scores).toMatchObject({ success: 1, gripped: 1, right_block: 1 });
            expect(scores.right_direction).toBe(task.direction ? 1 : null);
            expect(scores.final_distance).toBeLessThanOrEqual(0.07);
            expect(queries).toBeLessThanOrEqual(table.queries);
          }
          const other: Colour = block === "red" ? "blue" : "red";
          const wrong = new TableScene(places, { block: other, direction: way });
          expect(follow(places, block, way, wrong).scores).toMatchObject({
            ...{ success: 0, gripped: 1, right_block: 0, right_direction: 1 },
          });
          const opposite = DIRECTIONS[DIRECTIONS.indexOf(way) ^ 1];
          const back = new TableScene(places, { direction: opposite });
          expect(follow(places, block, way, back).scores).toMatchObject({
            ...{ success: 0, right_block: 1, right_direction: 0 },
          });
        }
      }
    }
  });
});

/** Executes what the expert does, eight actions at a time. */
function follow(layout: Layout, block: Colour, way: Direction, scene: TableScene) {
  let queries = 0;
  while (!scene.over && queries < table.queries) {
    const { gripper } = scene.places;
    const chunk = expertChunk(layout, block, way, 4 * queries).slice(0, 24);
    // From where the gripper is, which the expert's own position is but for rounding.
    expect(scene.observe().frames.image.length).toBe(Math.min(5, 1 + 4 * queries));
    scene.execute(chunk);
    expect(far(gripper, scene.places.gripper)).toBeLessThan(0.3);
    queries++;
  }
  return { scores: scene.score(), queries };
}

describe("hands on the table", () => {
  const layout: Layout = { red: [0.4, 0.5], blue: [0.7, 0.5], gripper: [0.2, 0.5] };
  /** Goes to places, given as they are. */
  const go = (scene: TableScene, ...stops: readonly (readonly [x: number, y: number, closed: boolean])[]) => {
    for (const [x, y, closed] of stops) {
      const [gx, gy] = scene.places.gripper;
      scene.execute(Float32Array.of((x - gx) / 0.25, (y - gy) / 0.25, closed ? 0.2 : -0.2));
    }
    return scene;
  };
  const red = { block: "red", direction: "left" } as const;

  it("hold the nearer block within 0.07 of its centre when they close, and only then", () => {
    const near = go(new TableScene(layout, red), [0.465, 0.5, true], [0.365, 0.5, true]);
    expect(near.places.red[0]).toBeCloseTo(0.3, 6);
    const beside = go(new TableScene(layout, red), [0.475, 0.5, true], [0.4, 0.5, true], [0.3, 0.5, true]);
    expect([beside.places.red, beside.score().gripped]).toEqual([layout.red, 0]);
    const blocks = { ...layout, blue: [0.5, 0.5] as const };
    const nearer = go(new TableScene(blocks, red), [0.46, 0.5, true], [0.46, 0.6, true]);
    expect([nearer.places.red, nearer.places.blue[1].toFixed(6)]).toEqual([blocks.red, "0.600000"]);
  });

  it("let go when they open", () => {
    const scene = go(new TableScene(layout, red), [0.4, 0.5, true], [0.3, 0.5, true], [0.2, 0.5, false]);
    expect(scene.places.red[0]).toBeCloseTo(0.3, 6);
    expect(scene.places.gripper[0]).toBeCloseTo(0.2, 6);
  });

  it("stay on the table, and are photographed after every second action", () => {
    const scene = go(new TableScene(layout, red), [-3, 2, false]);
    expect(scene.places.gripper).toEqual([0.02, 0.98]);
    expect(scene.observe().frames.image).toHaveLength(1);
    go(scene, [0.5, 0.5, false]);
    expect(scene.observe().frames.image).toHaveLength(2);
    for (let i = 0; i < 5; i++) go(scene, [0.5, 0.5, false], [0.6, 0.6, true]);
    const { frames, state } = scene.observe();
    expect(frames.image).toHaveLength(5);
    expect(Array.from(state, (v) => Number(v.toFixed(4)))).toEqual([0.2, 0.2, 1]);
  });

  it("succeed within 0.07 of the goal while the other block has moved less than 0.02", () => {
    const push = (to: number) => go(new TableScene(layout, red), [0.4, 0.5, true], [to, 0.5, true]);
    expect(push(0.271).score()).toMatchObject({ success: 0, right_direction: 1 });
    expect(push(0.269).score().success).toBe(1);
    expect(push(0.131).over).toBe(true);
    expect(push(0.129).over).toBe(false);
    const touch = (by: number) =>
      go(
        new TableScene(layout, red),
        ...([
          [0.7, 0.5, true],
          [0.7 + by, 0.5, true],
          [0.4, 0.5, false],
          [0.4, 0.5, true],
          [0.2, 0.5, true],
        ] as const),
      ).score();
    expect(touch(0.019)).toMatchObject({ success: 1, right_block: 0, right_direction: 1 });
    expect(touch(0.021)).toMatchObject({ success: 0, right_block: 0, right_direction: 0 });
  });

  it("refuse what are no actions", () => {
    const scene = new TableScene(layout, red);
    expect(() => scene.execute(new Float32Array(4))).toThrow(UsageError);
    expect(() => scene.execute(Float32Array.of(0, Number.NaN, 1))).toThrow(/finite/);
  });
});

describe("whose world it is", () => {
  const toy: PolicyDescription = {
    name: "toy",
    cameras: [{ name: "image", frames: 5, interval: 1, size: [32, 32] }],
    state: ["state 0", "state 1", "state 2"],
    actions: {
      names: ["x", "y", "gripper"],
      units: [
        "0.25 table widths from the gripper",
        "0.25 table heights from the gripper",
        "-1 open, 1 closed",
      ],
      positions: 24,
      interval: 0.5,
    },
    stops: { last: 50, default: 0 },
  };

  it("is that of a policy which sees and does what the table shows and takes", () => {
    expect(worldOf(toy)).toBe(table);
    const others: [Partial<PolicyDescription>, RegExp][] = [
      [{ cameras: [] }, /camera image 32×32.*none/],
      [{ cameras: [{ ...toy.cameras[0], size: [64, 64] }] }, /image 64×64/],
      [{ state: ["x"] }, /state has 3 values, the policy's 1/],
      [{ actions: { ...toy.actions, units: ["m", "m", "1"] } }, /x in m/],
    ];
    for (const [difference, words] of others) {
      const policy = { ...toy, ...difference };
      expect(() => worldOf(policy)).toThrow(words);
      expect(() => worldOf(policy)).toThrow(UsageError);
    }
  });

  it("says what the toy's prompts say", () => {
    expect(windows.map(({ prompt }) => prompt)).toContain(promptOf({ block: "red", direction: "down" }));
    expect(promptOf({})).toBe("push a block somewhere");
    expect(promptOf({ direction: "up" })).toBe("push a block up");
    expect(promptOf({ block: "blue" })).toBe("push the blue block somewhere");
  });
});
