import { describe, expect, it } from "vitest";
import { duration, progressBar, progressLine } from "../../src/commands/probe/progress.node.ts";

/** Reports one unit a second of 100 and collects what is written. */
function drawn(stream: { isTTY?: boolean; columns?: number }, quiet = false): string[] {
  const written: string[] = [];
  let clock = 0;
  const bar = progressBar({ ...stream, write: (text) => written.push(text) }, quiet, () => clock);
  for (let done = 0; done <= 100; done++, clock++)
    bar.report({ phase: "video", done, total: 100, unit: "steps" });
  bar.finish();
  return written;
}

describe("progress", () => {
  it("plain lines at intervals where there is no terminal", () => {
    const lines = drawn({});
    expect(lines).toHaveLength(11);
    expect(lines[0]).toBe("video: 0 of 100 steps\n");
    expect(lines[2]).toBe("video: 20 of 100 steps, 1.0 steps/s, 80 s left\n");
    expect(lines[10]).toBe("video: 100 of 100 steps, 1 min 40 s\n");
  });

  it("one redrawn line on a terminal, within its width", () => {
    const lines = drawn({ isTTY: true, columns: 60 });
    expect(lines).toHaveLength(102);
    expect(lines.at(-1)).toBe("\n");
    expect(lines[50]).toMatch(/█+░+ video: 50 of 100 steps, 1\.0 steps\/s, 50 s left$/);
    for (const line of lines) expect(line.replace("\r\x1b[2K", "").length).toBeLessThan(60);
  });

  it("nothing when quiet", () => {
    expect(drawn({ isTTY: true }, true)).toEqual([]);
  });

  it("words", () => {
    expect(progressLine({ phase: "p", done: 2, total: 4, unit: "episodes" }, 20, 1)).toBe(
      "p: 2 of 4 episodes, 20 s each, 40 s left",
    );
    expect(progressLine({ phase: "loading", done: 2.5e9, total: 5e9, unit: "bytes" }, 10, 2.5e9)).toBe(
      "loading: 2.50 GB of 5.00 GB, 250 MB/s, 10 s left",
    );
    expect([0.44, 34.2, 200, 7500].map(duration)).toEqual(["0.4 s", "34 s", "3 min 20 s", "2 h 5 min"]);
  });
});
