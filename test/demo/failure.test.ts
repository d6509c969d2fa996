/** What the page says when something fails: what happened, the numbers, what to do. */
import { describe, expect, test } from "vitest";
import { failureWords } from "../../demo/failure.ts";
import * as errors from "../../src/errors.ts";

describe("failureWords", () => {
  test("every kind of error of the library has a title of its own", () => {
    const kinds = Object.keys(errors).filter((name) => name !== "MimicVideoError");
    expect(kinds.length).toBeGreaterThan(5);
    for (const kind of kinds) expect(failureWords(kind, "x").title, kind).not.toBe("Something went wrong");
  });

  test("an adapter that is too small is not a missing one", () => {
    expect(failureWords("AdapterError", "this browser has no WebGPU.").title).toMatch(/no GPU/);
    const message = 'out of GPU memory in "load" with 100 bytes held: full. Use a smaller batch.';
    expect(failureWords("AdapterError", message).title).toMatch(/does not fit/);
    expect(
      failureWords("AdapterError", "w needs 9 bytes in one binding; this adapter allows 4.").title,
    ).toMatch(/does not fit/);
    expect(failureWords("GPUOutOfMemoryError", "no room").title).toMatch(/out of memory/);
    expect(failureWords("Saturated", "w: 2 values became ±65504").title).toMatch(/do not fit float16/);
  });

  test("sentences begin and end as such, and name fields in place of options", () => {
    const { text } = failureWords("UsageError", "--probe-steps 3,2: 2 comes after 3");
    expect(text).toBe("“probe steps” 3,2: 2 comes after 3. Change it and press Run again.");
    expect(failureWords("FormatError", "a is broken", "It stays.").text).toBe("A is broken. It stays.");
  });
});
