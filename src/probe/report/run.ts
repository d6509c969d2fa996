/** What is known of the run beside its result: when, how, how long, and what it took by part. */
import type { ProbeResult } from "../result/result.ts";
import { short } from "../result/sentences.ts";
import type { Seconds } from "./stopping.ts";

/** What differs between runs of equal settings, as `run.json` has it; nothing of it is needed. */
export interface ReportRun {
  /** as it was typed */
  readonly command?: string;
  /** ISO 8601 */
  readonly date?: string;
  readonly seconds?: number;
  /** seconds of the episodes by what was done */
  readonly parts?: readonly { readonly name: string; readonly seconds: number }[] | null;
  /** episodes whose seconds another run has */
  readonly resumed_episodes?: number;
}

type Row = readonly [name: string, value: string];

const secondsBy = ({ parts }: ReportRun, name: string): number | undefined =>
  parts?.find((part) => part.name === name)?.seconds;

/**
 * What a call of the network and a read-out took in this run, as means over all of them; undefined where the run does not say, or did not
 * compute all of it.
 */
export function secondsOf(result: ProbeResult, run: ReportRun): Seconds | undefined {
  const [trajectory, readOut] = [secondsBy(run, "trajectory"), secondsBy(run, "read-out")];
  if (trajectory === undefined || readOut === undefined || run.resumed_episodes !== 0) return undefined;
  const { episodes, video_seeds, action_seeds, probe_steps, budget_axis, flops, device } = result;
  const trajectories = episodes.length * video_seeds.length;
  const last = probe_steps[probe_steps.length - 1];
  const calls = trajectories * (budget_axis?.stop_calls.at(-1) ?? flops?.calls ?? last + 1);
  const reads = trajectories * (action_seeds === "same" ? 1 : action_seeds.length) * probe_steps.length;
  const [call, read] = [trajectory / calls, readOut / reads];
  if (!(call > 0) || !Number.isFinite(call) || !Number.isFinite(read)) return undefined;
  return {
    of: (n, m) => n * call + m * read,
    words: `Seconds: ${short(call)} a call and ${short(read)} a read-out on ${device.name}, means over this run, in which ${video_seeds.length === 1 ? "one trajectory was followed at a time" : "several trajectories may have been followed together"}.`,
  };
}

/** Operations and seconds by part. */
export function costRows({ flops }: ProbeResult, run: ReportRun): Row[] {
  const operations = (value: number): string => `${short(value / 1e9)} GFLOP`;
  return [
    ...(flops
      ? [
          ["a call of the network", operations(flops.network_call)] as Row,
          [
            "a trajectory",
            `${operations(flops.trajectory)}, ${flops.calls} calls; encoding its episode ${operations(flops.encode)}`,
          ] as Row,
          [
            "a read-out",
            `${operations(flops.read_out)}; reading every probed step once ${short(100 * flops.grid_share)} % of the trajectory`,
          ] as Row,
          ["comparing hidden states", operations(flops.similarity)] as Row,
        ]
      : []),
    ...(run.parts ?? []).map(({ name, seconds }): Row => [`${name}, this run`, `${short(seconds)} s`]),
  ];
}
