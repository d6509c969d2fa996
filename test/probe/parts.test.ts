/** Errors by what dimensions mean, against closed forms. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EpisodeMeasurement, ProbeMeasurement } from "../../src/probe/experiment/measurement.ts";
import { errorsByPart } from "../../src/probe/parts/by-part.ts";
import { angleBetween, fromRows, fromVector } from "../../src/probe/parts/rotation.ts";
import { switchError } from "../../src/probe/parts/switches.ts";
import type { Part } from "../../src/probe/subject.ts";
import { referenceMeasurement } from "./fixture.ts";

const DEGREES = 180 / Math.PI;
const axis = fc
  .tuple(...[0, 1, 2].map(() => fc.double({ min: -1, max: 1, noNaN: true })))
  .filter((v) => Math.hypot(...v) > 0.1)
  .map((v) => v.map((x) => x / Math.hypot(...v)));
const angle = fc.double({ min: 0, max: Math.PI, noNaN: true });
const about = (direction: readonly number[], by: number): number[] => direction.map((x) => x * by);
const product = (a: readonly number[], b: readonly number[]): number[] =>
  Array.from({ length: 9 }, (_, i) =>
    [0, 1, 2].reduce((sum, k) => sum + a[3 * Math.floor(i / 3) + k] * b[3 * k + (i % 3)], 0),
  );

describe("the angle between rotations", () => {
  it("is that of the one turn between them, from nothing to half a circle", () => {
    for (const degrees of [0, 1e-6, 0.01, 1, 90, 179.999, 180]) {
      const turned = fromVector(about([0.6, 0, 0.8], degrees / DEGREES));
      expect(angleBetween(turned, fromVector([0, 0, 0]))).toBeCloseTo(degrees, degrees > 179.9 ? 5 : 9);
    }
  });

  it("of any two: what a third, applied to both, does not change", () => {
    fc.assert(
      fc.property(axis, angle, axis, angle, (direction, by, other, far) => {
        const [turn, start] = [fromVector(about(direction, by)), fromVector(about(other, far))];
        expect(angleBetween(product(start, turn), start)).toBeCloseTo(by * DEGREES, 5);
        expect(angleBetween(product(turn, start), start)).toBeCloseTo(by * DEGREES, 5);
      }),
    );
  });

  it("two rows say the rotation, of whatever length and however far from square", () => {
    fc.assert(
      fc.property(axis, angle, fc.double({ min: 0.1, max: 5, noNaN: true }), (direction, by, length) => {
        const r = fromVector(about(direction, by));
        // The second row leans towards the first, and both are too long or too short.
        const rows = [...r.slice(0, 3), ...r.slice(3, 6).map((x, i) => x + 0.7 * r[i])].map(
          (x) => length * x,
        );
        expect(angleBetween(fromRows(rows), r)).toBeCloseTo(0, 5);
      }),
    );
  });
});

describe("switches", () => {
  const states = [-1, 1] as const;
  const chunk = (...at: number[]): number[] =>
    Array.from({ length: 10 }, (_, t) => (at.filter((one) => one <= t).length % 2 === 0 ? -0.7 : 0.2));

  it.each([
    ["neither switches", chunk(), chunk(), { time: undefined, switches: 0, missing: 0, extra: 0 }],
    ["both at once", chunk(4), chunk(4), { time: 0, switches: 1, missing: 0, extra: 0 }],
    ["too late", chunk(7), chunk(4), { time: 3, switches: 1, missing: 0, extra: 0 }],
    ["over before the chunk begins", chunk(0), chunk(4), { time: 4, switches: 1, missing: 0, extra: 0 }],
    ["never", chunk(), chunk(4), { time: undefined, switches: 1, missing: 1, extra: 0 }],
    ["for nothing", chunk(2), chunk(), { time: undefined, switches: 0, missing: 0, extra: 1 }],
    ["and back", chunk(4, 6), chunk(5), { time: 1, switches: 1, missing: 0, extra: 1 }],
    ["there and back, once", chunk(9), chunk(3, 5), { time: 6, switches: 2, missing: 1, extra: 0 }],
  ])("%s", (_, estimate, reference, expected) => {
    expect(switchError(estimate, reference, states)).toEqual(expected);
    const mirrored = [estimate, reference].map((values) => values.map((x) => -x));
    expect(switchError(mirrored[0], mirrored[1], states)).toEqual(expected);
  });

  it("are at the middle of the two states, in whatever units", () => {
    expect(switchError([0.1, 0.4, 0.6], [0, 0.6, 1], [0, 1]).time).toBe(1);
    expect(switchError([10, 14, 16], [10, 16, 16], [20, 10]).time).toBe(1);
  });
});

/** Three probed steps of T = 6 positions: a place, two rows of a rotation, a gripper, a rotation vector, one of three words. */
const T = 6;
const PARTS: readonly Part[] = [
  { name: "place", from: 0, to: 3, kind: "squared", units: "m" },
  { name: "turn", from: 3, to: 9, kind: "rotation6d", units: "" },
  { name: "gripper", from: 9, to: 10, kind: "event", units: "", states: [0, 1] },
  { name: "vector", from: 10, to: 13, kind: "rotvec", units: "rad" },
  { name: "word", from: 13, to: 16, kind: "logits", units: "" },
];
const D = 16;

/** An estimate that is off by so many metres, degrees, positions; null: the gripper never closes. */
interface Off {
  metres: number;
  degrees: number;
  late: number | null;
  word: number;
}
const action = (t: number, { metres, degrees, late, word }: Off): number[] => [
  ...[metres * 0.6, 0.1 * t, metres * 0.8],
  ...fromVector([0, 0, (degrees + 10 * t) / DEGREES]).slice(0, 6),
  late !== null && t >= 2 + late ? 1 : 0,
  ...about([0, 1, 0], (degrees - 5 * t) / DEGREES),
  ...[0, 1, 2].map((i) => (i === word ? 3 : 1)),
];
const RIGHT: Off = { metres: 0, degrees: 0, late: 0, word: 0 };
const chunkOf = (off: Off): Float32Array =>
  Float32Array.from(Array.from({ length: T }, (_, t) => action(t, off)).flat());

function measurement(episodes: readonly (readonly Off[])[], interval?: number): ProbeMeasurement {
  const base = referenceMeasurement({ episodes: 1 });
  const measured = episodes.map((steps, e): EpisodeMeasurement => {
    const data = Float32Array.from(steps.flatMap((off) => [...chunkOf(off)]));
    return {
      ...base.episodes[0],
      ...{ episode: e, id: `e${e}`, prompt: `p${e}`, holdStill: undefined },
      // The model's units are ten times the data's, and another truth each, so that no two are copies.
      truth: chunkOf(RIGHT).map((x) => 10 * x + e / 1e6),
      dataTruth: chunkOf(RIGHT),
      actions: data.map((x) => 10 * x),
      dataActions: data,
    };
  });
  return {
    ...base,
    settings: {
      ...base.settings,
      videoSeeds: [0],
      probeSteps: [0, 1, 2],
      episodes: measured.map((_, e) => e),
    },
    chunkLength: T,
    actionNames: Array.from({ length: D }, (_, d) => `d${d}`),
    parts: PARTS,
    interval,
    episodes: measured,
  };
}

describe("errors by part", () => {
  const steps: Off[] = [
    { metres: 0.5, degrees: 30, late: 3, word: 2 },
    { metres: 0.2, degrees: 12, late: null, word: 0 },
    RIGHT,
  ];
  const found = errorsByPart(measurement([steps, steps], 0.2), { resamples: 10 });
  const [place, turn, gripper, vector, word] = found;

  it("are distances, angles, positions and shares", () => {
    const expected = (values: (number | null)[]) =>
      values.map((x) => (x === null ? null : (expect.closeTo(x, 3) as number)));
    expect(place.error.mse_to_truth).toEqual(expected([0.5, 0.2, 0]));
    expect(turn.error.mse_to_truth).toEqual(expected([30, 12, 0]));
    expect(vector.error.mse_to_truth).toEqual(expected([30, 12, 0]));
    expect(gripper.error.mse_to_truth).toEqual([3, null, 0]);
    expect(word.error.mse_to_truth).toEqual([1, 0, 0]);
    for (const part of found) expect(part.error.mse_to_last).toEqual(part.error.mse_to_truth);
    expect(found.map(({ unit }) => unit)).toEqual(["m", "deg", "positions", "deg", "share"]);
  });

  it("stand beside the squared error in the model's units", () => {
    expect(place.mse.mse_to_last[0]).toBeCloseTo((10 * 0.5) ** 2 / 3, 4);
    expect(gripper.mse.mse_to_last[0]).toBeCloseTo((100 * 3) / T, 4);
  });

  it("count what switches in one only", () => {
    expect(gripper.events!.to_truth).toEqual({
      ...{ switches: 1, timed: [1, 0, 1], missing: [0, 1, 0], extra: [0, 0, 0] },
    });
    expect(found.filter(({ events }) => events !== null)).toEqual([gripper]);
  });

  it("know seconds where the rate is known", () => {
    expect(gripper.seconds_per_position).toBe(0.2);
    const [, , unknown] = errorsByPart(measurement([steps]), { resamples: 10 });
    expect(unknown.seconds_per_position).toBeNull();
  });

  it("have intervals over the episodes that have an error", () => {
    const late = (by: number | null): Off[] => [{ ...RIGHT, late: by }, RIGHT, RIGHT];
    const [, , few] = errorsByPart(measurement([late(1), late(null), late(3)]), { resamples: 10 });
    expect(few.error.mse_to_truth![0]).toBe(2);
    // Student's: two values, 1 and 3, t(1) = 12.706; the lower end would be below 0.
    expect(few.error_interval.mse_to_truth![0]).toEqual({
      low: 0,
      high: expect.closeTo(2 + 12.706, 2) as number,
    });
    const [, , one] = errorsByPart(measurement([late(1), late(null)]), { resamples: 10 });
    expect(one.error.mse_to_truth![0]).toBe(1);
    expect(one.error_interval.mse_to_truth![0]).toBeNull();
    expect(one.events!.to_truth!.timed[0]).toBe(0.5);
  });

  it("are not said where nobody knows what dimensions mean", () => {
    expect(errorsByPart({ ...measurement([steps]), parts: undefined }, {})).toEqual([]);
  });
});
