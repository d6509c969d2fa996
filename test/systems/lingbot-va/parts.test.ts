/** The parts of LingBot-VA that need no GPU: which tokens stay, schedules, pictures, processors, prompts, a policy's configuration. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { FormatError, UsageError } from "../../../src/errors.ts";
import { TokenLedger } from "../../../src/networks/lingbot/ledger.ts";
import { readPolicyConfig } from "../../../src/systems/lingbot-va/config.ts";
import { prepareFrames } from "../../../src/systems/lingbot-va/observations.ts";
import { readProcessors } from "../../../src/systems/lingbot-va/processors.ts";
import { scheduleOf, schedulerOf, videoCalls } from "../../../src/systems/lingbot-va/schedule.ts";
import { ActionStatistics } from "../../../src/systems/lingbot-va/statistics.ts";
import { cleanPrompt } from "../../../src/systems/lingbot-va/text.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import type { ModelFiles } from "../../../src/weights/model-files.ts";

const MODEL = "test/lingbot-mini/libero/lerobot/lingbot_va_libero_long";
const config = JSON.parse(readFileSync(`${MODEL}/config.json`, "utf8")) as Record<string, unknown>;

describe("which tokens a cache holds", () => {
  it("an id for all of a call, the next after the largest that is held", () => {
    const ledger = new TokenLedger(20);
    ledger.append(3, false);
    ledger.append(2, true);
    ledger.append(1, false);
    expect(ledger.ids).toEqual([0, 0, 0, 1, 1, 2]);
    expect(ledger.clearPredicted()).toEqual([
      { from: 0, to: 3 },
      { from: 5, to: 6 },
    ]);
    expect(ledger.ids).toEqual([0, 0, 0, 2]);
    ledger.append(1, true);
    expect(ledger.clearPredicted()).toEqual([{ from: 0, to: 4 }]);
    ledger.append(1, true);
    expect(ledger.ids.at(-1)).toBe(3);
  });

  it("the oldest go, of one call the first", () => {
    const ledger = new TokenLedger(10);
    ledger.append(4, false);
    ledger.append(4, false);
    expect(ledger.makeRoom(2)).toEqual([{ from: 0, to: 8 }]);
    expect(ledger.makeRoom(5)).toEqual([{ from: 3, to: 8 }]);
    expect(ledger.ids).toEqual([0, 1, 1, 1, 1]);
    expect(ledger.makeRoom(10)).toEqual([]);
    expect(() => ledger.makeRoom(11)).toThrow(UsageError);
  });
});

describe("schedules", () => {
  it("the published times", () => {
    const { timesteps } = scheduleOf(20, 5);
    const published = [1000, 989.58, 978.26, 965.91, 952.38, 937.5, 921.05, 902.78, 882.35, 859.38, 833.33];
    published.forEach((t, k) => expect(timesteps[k]).toBeCloseTo(t, 2));
    expect(timesteps.length).toBe(21);
    expect(timesteps[20]).toBe(0);
    expect(
      scheduleOf(50, 0.05)
        .timesteps.slice(1, 5)
        .map((t) => Math.round(100 * t) / 100),
    ).toEqual([710.14, 545.45, 439.25, 365.08]);
  });

  it("what video_exec_step comes to", () => {
    expect(videoCalls(-1, 20)).toEqual({ calls: 21, steps: 20 });
    expect(videoCalls(0, 20)).toEqual({ calls: 0, steps: 0 });
    expect(videoCalls(20, 20)).toEqual({ calls: 20, steps: 20 });
    expect(videoCalls(21, 20)).toEqual({ calls: 21, steps: 21 });
    expect(videoCalls(99, 20)).toEqual({ calls: 21, steps: 21 });
    expect(videoCalls(-2, 20)).toEqual({ calls: 19, steps: 19 });
    expect(videoCalls(-30, 20)).toEqual({ calls: 0, steps: 0 });
  });

  it("a step behind the last call is the last one's again", () => {
    const schedule = scheduleOf(6, 5);
    const beyond = schedulerOf(schedule, true);
    expect(beyond.step(6)).toEqual(beyond.step(5));
    expect(beyond.call(6)).toEqual({ at: 0 });
    const sum = schedule.increments.slice(0, 6).reduce((a, b) => a + b, 1);
    expect(Math.abs(sum)).toBeLessThan(1e-6);
  });

  it("refuses a shift that is none", () => {
    expect(() => scheduleOf(5, 0)).toThrow(/shift is 0/);
    expect(() => scheduleOf(0, 5)).toThrow(UsageError);
  });
});

describe("pictures", () => {
  const bytes = Uint8Array.from({ length: 2 * 2 * 3 * 4 * 6 }, (_, i) => (i * 37) % 256);
  const shape = [2, 2, 3, 4, 6];
  const at = (v: number, t: number, c: number, y: number, x: number): number =>
    bytes[(((v * 2 + t) * 3 + c) * 4 + y) * 6 + x];

  it("of equal size stay as they are, frames behind channels", () => {
    const out = prepareFrames(bytes, shape, { size: [4, 6], mirrored: false });
    expect(out[(((1 * 3 + 2) * 2 + 1) * 4 + 3) * 6 + 5]).toBeCloseTo((2 * at(1, 1, 2, 3, 5)) / 255 - 1, 6);
    const mirrored = prepareFrames(bytes, shape, { size: [4, 6], mirrored: true });
    expect(mirrored[(((1 * 3 + 2) * 2 + 1) * 4 + 3) * 6]).toBe(out[(((1 * 3 + 2) * 2 + 1) * 4 + 3) * 6 + 5]);
  });

  it("half as large are means of four", () => {
    const out = prepareFrames(bytes, shape, { size: [2, 3], mirrored: false });
    const mean = (at(0, 1, 1, 2, 4) + at(0, 1, 1, 2, 5) + at(0, 1, 1, 3, 4) + at(0, 1, 1, 3, 5)) / 4;
    expect(out[(((0 * 3 + 1) * 2 + 1) * 2 + 1) * 3 + 2]).toBeCloseTo((2 * mean) / 255 - 1, 6);
  });

  it("larger ones lie between pixel centres and end in the outermost", () => {
    const out = prepareFrames(Uint8Array.of(0, 255, 0, 255, 0, 255), [1, 1, 3, 1, 2], {
      size: [1, 4],
      mirrored: false,
    });
    expect([...out.slice(0, 4)].map((v) => Math.round(100 * v) / 100)).toEqual([-1, -0.5, 0.5, 1]);
  });
});

describe("actions of the robot", () => {
  it("are quantiles of the data, nothing clipped, a span of zero as wide as epsilon", () => {
    const statistics = new ActionStatistics({ q01: [-2, 1], q99: [2, 1], epsilon: 0.5 }, 2, "test");
    expect([...statistics.toData(Float32Array.of(1.5, 0, -1, 1))]).toEqual([3, 1.25, -2, 1.5]);
    expect([...statistics.normalise(Float32Array.of(3, 1.25))]).toEqual([1.5, 0]);
    expect(() => new ActionStatistics({ q01: [0], q99: [1, 2] }, 2, "test")).toThrow(FormatError);
  });

  it("are read from the processors beside a policy", async () => {
    const files = await openModelFolder(MODEL);
    const { statistics, renamed, files: read } = await readProcessors(files, 7);
    expect(renamed).toEqual({});
    expect(read).toContain("policy_postprocessor_step_0_unnormalizer_processor.safetensors");
    const low = statistics.toData(new Float32Array(7).fill(-1));
    expect(low[0]).toBeCloseTo(-0.6589285731, 6);
    await expect(readProcessors(files, 6)).rejects.toThrow(/7 and 7 values for 6/);
  });

  const changed = (path: string, change: (steps: Record<string, unknown>[]) => void): Promise<ModelFiles> =>
    openModelFolder(MODEL).then((files) => ({
      ...files,
      json: async (asked) => {
        const json = (await files.json(asked)) as { steps: Record<string, unknown>[] };
        if (asked === path) change(json.steps);
        return json;
      },
    }));

  it("refuses steps and normalisations that it does not know", async () => {
    const other = await changed("policy_postprocessor.json", ([first]) => {
      (first.config as Record<string, unknown>).norm_map = { ACTION: "MEAN_STD" };
    });
    await expect(readProcessors(other, 7)).rejects.toThrow(/MEAN_STD; supported: QUANTILES/);
    const step = await changed("policy_preprocessor.json", (steps) => steps.push({ registry_name: "crop" }));
    await expect(readProcessors(step, 7)).rejects.toThrow(/"crop" is not supported/);
  });

  it("stay as they are without statistics", async () => {
    const files = await openModelFolder(MODEL);
    const bare = { ...files, paths: files.paths.filter((path) => !path.startsWith("policy_")) };
    const { statistics } = await readProcessors(bare, 7);
    expect([...statistics.toData(Float32Array.of(3, -2, 1, 0, 0, 0, 1))]).toEqual([3, -2, 1, 0, 0, 0, 1]);
  });
});

it("prompts are cleaned as the policy was taught", () => {
  expect(cleanPrompt("  push\t the  red\nblock ")).toBe("push the red block");
  expect(cleanPrompt("a &amp;lt; b &amp; c &#39;d&#x27; &nbsp; &unknown;")).toBe("a < b & c 'd' &unknown;");
});

describe("a policy's configuration", () => {
  it("is read from the file, and has the published values where it says nothing", () => {
    expect(readPolicyConfig(config)).toMatchObject({
      frameSize: [64, 64],
      mirrored: true,
      window: 4,
      textRows: 64,
    });
    expect(readPolicyConfig({ type: "lingbot_va" })).toMatchObject({
      ...{ frameSize: [128, 128], mirrored: false, frames: 4, actionsPerFrame: 4, window: 30 },
      ...{ video: { steps: 20, shift: 5, guidance: 5 }, action: { steps: 50, shift: 0.05, guidance: 1 } },
      ...{ usedChannels: [0, 1, 2, 3, 4, 5, 6], frozen: "robbyant/lingbot-va-base", videoExecStep: -1 },
    });
  });

  it.each<[Record<string, unknown>, RegExp]>([
    [{ of_next_year: 1 }, /"of_next_year" is not supported/],
    [{ type: "act" }, /type = "act"/],
    [{ camera_layout: "robotwin_tshape" }, /camera_layout/],
    [{ used_action_channel_ids: [0, 0] }, /used_action_channel_ids/],
    [{ used_action_channel_ids: [30] }, /used_action_channel_ids/],
    [{ obs_cam_keys: [] }, /obs_cam_keys/],
    [{ snr_shift: -1 }, /snr_shift/],
    [{ video_exec_step: 0.5 }, /video_exec_step/],
  ])("refuses %j", (change, message) => {
    expect(() => readPolicyConfig({ ...config, ...change })).toThrow(message);
  });
});
