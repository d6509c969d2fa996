/** The toy's world against its recordings and its own words. */
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import type { PolicyDescription } from "../../src/systems/policy.ts";
import { worldOf } from "../../src/worlds/registry.ts";
import {
  type Colour,
  type Direction,
  expert,
  expertChunk,
  type Layout,
  type Point,
  promptOf,
  render,
  table,
  TableScene,
} from "../../src/worlds/table.ts";
import { find, painted, shades, type Window, windows } from "./recorded.ts";

const recorded = [...(await windows("weights/toy/episodes")), ...(await windows("weights/toy/more"))];

/** Which block the recording moves: the one that the gripper stands on when it closes. */
function movedBlock(window: Window): Colour | undefined {
  const closing = window.frames.findIndex(({ closed }) => closed);
  if (closing < 0) return undefined;
  const { red, blue } = find(window, undefined);
  const [x, y] = window.frames[closing].gripper;
  const far = (p: Point) => Math.hypot(p[0] - x, p[1] - y);
  return far(red) < far(blue) ? "red" : "blue";
}

describe("the pictures", () => {
  it("are what was recorded, byte for byte", { timeout: 120_000 }, () => {
    let exact = 0;
    const off: number[] = [];
    for (const window of recorded) {
      const found = find(window, movedBlock(window));
      const wrong = window.frames.map(
        ({ rgb }, f) => painted(window, found, f).filter((value, i) => value !== rgb[i]).length,
      );
      if (wrong.every((n) => n === 0)) exact++;
      else off.push(Math.max(...wrong));
    }
    console.log(exact, off);
    expect(exact).toBe(recorded.length);
  });
});
