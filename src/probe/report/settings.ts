/** What a run was made with and of, as rows of a table, and a command that makes it again. */
import type { ProbeResult } from "../result/result.ts";
import type { ReportRun } from "./run.ts";
import { axisName, sampleSentence, seedName, short } from "../result/sentences.ts";
import { marginWords } from "../result/verdict.ts";

type Row = readonly [name: string, value: string];

export function settingRows(result: ProbeResult): Row[] {
  const { verdict, interval, action_seeds } = result;
  return [
    [`${axisName(result)} steps`, String(result.video_steps)],
    ["probed steps", result.probe_steps.join(", ")],
    ["action steps", result.action_steps === 0 ? "none: one evaluation" : String(result.action_steps)],
    ["sample", sampleSentence(result)],
    [`${seedName(result)}s`, result.video_seeds.join(", ")],
    ["action seeds", action_seeds === "same" ? `the ${seedName(result)}'s own` : action_seeds.join(", ")],
    ["chunk", `${result.chunk_length} actions of ${result.action_names.length} dimensions`],
    [
      "dimensions",
      result.action_names.map((name, d) => `${name} (${result.action_units[d] ?? "?"})`).join(", "),
    ],
    [
      "margin",
      verdict.margin === null
        ? "none"
        : `${short(verdict.margin)}, ${verdict.margin_source ? marginWords(verdict.margin_source) : "source unknown"}`,
    ],
    ["intervals", `${100 * interval.level} %, ${interval.method}`],
    ["resamples", `${interval.resamples}, seed ${interval.seed}`],
  ];
}

export function provenanceRows(result: ProbeResult, run: ReportRun): Row[] {
  const { model, data, device, versions, variants } = result;
  return [
    ["model", `${model.name}, ${model.trained_on === "toy" ? "trained on a toy" : model.trained_on}`],
    ["system", model.system],
    ["revision", model.revision],
    ["weights sha256", model.weights_sha256],
    ...Object.entries(model.stamp).map(([key, value]): Row => [key, value]),
    ["data", data.name],
    ["data sha256", data.sha256],
    ["noise", data.noise_sha256 === null ? "drawn from the seeds" : `file, sha256 ${data.noise_sha256}`],
    ["device", `${device.name}${device.software ? " (software: a CPU that plays GPU)" : ""}`],
    ["driver", device.driver],
    ["adapter", device.adapter],
    ["weights kept as", result.dtype],
    ...(result.arithmetic ? [["products in", result.arithmetic] as Row] : []),
    ...(variants
      ? [
          [
            "programs",
            Object.entries(variants)
              .map(([kernel, names]) => `${kernel}: ${names.join(", ")}`)
              .join("; ") || "none chosen",
          ] as Row,
        ]
      : []),
    [
      "versions",
      Object.entries(versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(", "),
    ],
    ["result", `${result.schema}, version ${result.version}`],
    ...(run.date ? [["date", run.date] as Row] : []),
    ...(run.seconds === undefined ? [] : [["wall time", `${Math.round(run.seconds)} s`] as Row]),
  ];
}

/**
 * The settings as a command line. Folders of model and data are as they were named; of a file only the hash is known, so it is called by the
 * beginning of that.
 */
export function composedCommand(result: ProbeResult): string {
  const { model, data, verdict, action_seeds, budget_axis } = result;
  const known = (name: string, value: string | null | undefined): Row[] => (value ? [[name, value]] : []);
  const file = (name: string, hash: string | null | undefined): Row[] =>
    known(name, hash && `${name}-${hash.slice(0, 12)}.safetensors`);
  const list = (numbers: readonly number[]) => (numbers.length === 1 ? `${numbers[0]},` : numbers.join(","));
  const revision = model.revision === "unversioned" ? "" : `@${model.revision}`;
  const options: Row[] = [
    ["model", `${model.name}${revision}`],
    ...known("policy", model.stamp.policy),
    ...known("state-time", model.stamp["state-time"]),
    ["data", data.name],
    ...file("noise", data.noise_sha256),
    ...file("text", model.stamp.text),
    ["episodes", list(result.episodes.map(({ index }) => index))],
    ["video-steps", String(result.video_steps)],
    ["probe-steps", result.probe_steps.join(",")],
    ...known("budgets", budget_axis && list(budget_axis.steps)),
    ...(result.action_steps > 0 ? [["action-steps", String(result.action_steps)] as Row] : []),
    ["video-seeds", list(result.video_seeds)],
    ["action-seeds", action_seeds === "same" ? "same" : list(action_seeds)],
    ["dtype", result.dtype],
    ...known("arithmetic", result.arithmetic),
    ...(verdict.margin_source === "option" && verdict.margin !== null
      ? [["margin", String(verdict.margin)] as Row]
      : []),
  ];
  const flags = [
    ...(result.oracle_axis ? ["--oracle"] : []),
    ...(result.straightness ? ["--straightness"] : []),
  ];
  return [
    "node dist/probe.js",
    ...options.map(([name, value]) => `--${name} ${quoted(value)}`),
    ...flags,
  ].join(" ");
}

const quoted = (word: string) =>
  /^[\w@%+=:,./|-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
