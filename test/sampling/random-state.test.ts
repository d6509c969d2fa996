/** numpy's generator against numpy's own draws. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { gaussian } from "../../src/sampling/noise.ts";
import { RandomState } from "../../src/sampling/random-state.ts";

// A video of 16 × 16 × 60 × 80 latents, as the released model draws it.
const LENGTH = 16 * 16 * 60 * 80;

// numpy 2.4.6: sha256(RandomState(seed).standard_normal(1228800).astype(float32).tobytes())
const DRAWS: readonly (readonly [number, string])[] = [
  [0, "a90b4ffcee5216229d99576a4e0e4504642c00bb61c2bebd95fdca66c3db5bcc"],
  [1, "b2607e9d10dcd6165fbe7c931c7761ff097dcf773a8a3ead4ce57d645a603f0c"],
  [7, "b55373973851657a22ff7e148dadb089e6ef718db36262a7206dfb16a3a896d1"],
  [42, "6ec9c75726b25d19cf70eb6e06cd1ccedb03caf376f03d939aed460177de997b"],
  [4294967295, "fb9f9316b4154e8563598ee9693a084e50d66f4c56cc75aba8892f91df3e310a"],
];

describe("RandomState", () => {
  it.each(DRAWS)("draws what numpy draws for seed %i", (seed, sha256) => {
    const values = new RandomState(seed).standardNormal(LENGTH);
    expect(createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex")).toBe(sha256);
  });

  it("goes on where the last draw ended, the second of a pair included", () => {
    const whole = new RandomState(3).standardNormal(1000);
    const state = new RandomState(3);
    const parts = [1, 2, 624, 373].flatMap((n) => [...state.standardNormal(n)]);
    expect(parts).toEqual([...whole]);
  });

  it.each([NaN, 1.5, -1, 2 ** 32, Infinity])("refuses the seed %d", (seed) => {
    expect(() => new RandomState(seed)).toThrow(UsageError);
    expect(() => gaussian("noise", seed, 4)).toThrow(/seed .* is not a whole number from 0 to 4294967295/);
  });
});
