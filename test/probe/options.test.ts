import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { helpText, OPTIONS, readOptions } from "../../src/commands/probe/options.ts";
import { stepsToProbe } from "../../src/probe/experiment/settings.ts";
import { probeCommand } from "../../src/commands/probe/settings.ts";

const parse = (...words: string[]) => probeCommand(readOptions(words), "weights/toy");

describe("options", () => {
  it("defaults", () => {
    expect(parse()).toEqual({
      settings: {
        modelDir: "weights/toy",
        dataDir: undefined,
        noiseFile: undefined,
        episodes: undefined,
        videoSteps: undefined,
        probeSteps: undefined,
        actionSteps: undefined,
        budgets: undefined,
        videoSeeds: undefined,
        actionSeeds: undefined,
        adapter: undefined,
        dtype: undefined,
        unexpected: "refuse",
        rename: undefined,
        nonFinite: "refuse",
        verify: true,
        policy: undefined,
        text: undefined,
        encodeText: false,
        oracle: false,
        straightness: false,
        gpuMemory: undefined,
        arithmetic: "f32",
      },
      reference: "both",
      out: undefined,
      resume: false,
      quiet: false,
      json: false,
    });
  });

  it("values in both forms, counts and lists", () => {
    const { settings, json } = parse(
      "--episodes=3",
      "--video-seeds",
      "7,3",
      "--action-seeds",
      "5,",
      "--json",
    );
    expect(settings).toMatchObject({ episodes: 3, videoSeeds: [7, 3], actionSeeds: [5] });
    expect(json).toBe(true);
  });

  it("probe steps scale to N, and N is always there", () => {
    expect(stepsToProbe(undefined, 20)).toEqual([0, 2, 4, 8, 16, 20]);
    expect(stepsToProbe(undefined, 3)).toEqual([0, 1, 2, 3]);
    expect(stepsToProbe(undefined, 1)).toEqual([0, 1]);
    expect(stepsToProbe([5, 10], 50)).toEqual([5, 10, 50]);
    expect(stepsToProbe([0, 50], 50)).toEqual([0, 50]);
    expect(stepsToProbe([0, 1], 34, { steps: 35, openEnded: true })).toEqual([0, 1]);
    expect(() => stepsToProbe([5, 60], 50)).toThrow(
      /60 lies beyond the 50 video steps.*larger --video-steps/,
    );
    expect(() => stepsToProbe([35], 34, { steps: 35 })).toThrow(
      /35 video steps, of which 34 is the last that can be read/,
    );
  });

  it.each([
    [["--gpu-memory", "much"], /write a number of gigabytes/],
    [["--arithmetic", "bf16"], /use f32 or f16/],
    [["--probe-steps", "10,5"], /5 comes after 10.*ascending: 5,10/],
    [["--probe-steps", "5,5"], /5 is there twice/],
    [["--probe-steps=-5,10"], /"-5" is not a whole number/],
    [["--probe-steps", "5,,10"], /"" is not a whole number/],
    [["--probe-steps", "1e1"], /"1e1" is not a whole number/],
    [["--episodes", "0"], /--episodes 0: "0" is not a whole number of at least 1/],
    [["--episodes", "1,1"], /1 is there twice/],
    [["--video-seeds", "0"], /at least 1/],
    [["--action-seeds", "4294967296,1"], /below 4294967296/],
    [["--video-steps", "0"], /at least 1/],
    [["--action-steps", "2.5"], /"2.5"/],
    [["--dtype", "f64"], /use f32, bf16 or f16/],
    [["--variants", "linear=naive,attention"], /"attention" is not KERNEL=NAME/],
    [["--variants", "lineer=naive"], /no kernel "lineer" has variants; those that have: attention, conv3d/],
    [["--variants", "linear="], /"linear=" is not KERNEL=NAME/],
    [["--reference", "last"], /use final, truth or both/],
    [["--resume"], /Add --out/],
    [["--video-step", "5"], /Did you mean --video-steps\?/],
    [["--episode=5"], /Did you mean --episodes\?/],
    [["--wobble-frobnicate"], /--wobble-frobnicate is no option\. See --help/],
    [["toy"], /"toy" belongs to no option/],
    [["--model"], /--model needs a value: --model DIR/],
    [["--model", "--json"], /needs a value/],
    [["--out="], /needs a value/],
    [["--json=yes"], /takes no value/],
    [["--json", "--json"], /given twice/],
  ])("refuses %j", (words, message) => {
    expect(() => parse(...words)).toThrow(UsageError);
    expect(() => parse(...words)).toThrow(message);
  });

  it("help names every option and stays within its width", () => {
    for (const [asked, width] of [
      [undefined, 110],
      [60, 60],
      [80, 80],
      [110, 110],
      [400, 110],
    ] as const) {
      const text = helpText(asked);
      for (const { name } of OPTIONS) expect(text).toContain(`--${name}`);
      for (const line of text.split("\n")) expect(line.length, line).toBeLessThanOrEqual(width);
    }
  });
});
