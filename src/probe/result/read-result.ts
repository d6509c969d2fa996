/**
 * `probe.json` as somebody sent it, of this version or an older one, into a `ProbeResult`. The text is not trusted: every key is checked for type, size and
 * finiteness before anything is drawn, and only described keys are kept.
 *
 *   version 1   a two-sided rule for the sufficient step, which answers another question: read as undetermined, with the reason
 *   version 2   with the block `timing`, which run.json has now
 */
import { type Json, parseStrictJson } from "../../weights/strict-json.ts";
import type { ProbeResult } from "./result.ts";
import { RESULT_SCHEMA, RESULT_VERSION } from "./result.ts";
import { RESULT_SHAPE } from "./result-shape.ts";
import { refuse, type Sizes } from "./shape.ts";
import { STOPPING_SHAPES } from "./stopping.ts";

/** Longest axes: more points than a figure has pixels, and bounds on what is allocated. */
const LONGEST = { E: 100_000, K: 10_000, M: 10_000, T: 10_000, D: 10_000 } as const;
/** Objects in objects of a result, at most. */
const MOST_DEPTH = 12;

type Document = ReadonlyMap<string, Json>;

/**
 * @param file named in messages
 * @throws FormatError naming file and key: not JSON, another kind of document, a version from the future, a value of another type or
 *   length than it must be, a number that is not finite
 */
export function readResult(text: string, file: string): ProbeResult {
  const parsed = parseStrictJson(text, file, { maxDepth: MOST_DEPTH });
  const place = { file, key: "", sizes: {} };
  if (!(parsed instanceof Map)) return refuse(place, "is no JSON object");
  const document: Map<string, Json> = parsed;
  if (document.get("schema") !== RESULT_SCHEMA)
    refuse({ ...place, key: "schema" }, `is not "${RESULT_SCHEMA}"`);
  const version = document.get("version");
  if (version !== 1 && version !== 2 && version !== RESULT_VERSION)
    refuse(
      { ...place, key: "version" },
      typeof version === "number" && version > RESULT_VERSION
        ? `is ${version}; this program reads up to ${RESULT_VERSION}, so a newer one is needed`
        : `is none of 1 to ${RESULT_VERSION}`,
    );
  const sizes = sizesOf(document, file);
  const current = version === 1 ? fromVersion1(document) : document;
  current.set("version", RESULT_VERSION);
  if (version !== RESULT_VERSION) {
    // What version 3 gained.
    current.set(
      "episode_labels",
      Array.from({ length: sizes.E }, () => new Map()),
    );
    current.set("spread_by_label", []);
    current.set("budget_axis", null);
  }
  withLater(current);
  const result = RESULT_SHAPE.read(current, { file, key: "", sizes });
  checkSteps(result, file);
  checkPopulation(result, file);
  return result;
}

function sizesOf(document: Document, file: string): Sizes & { readonly E: number } {
  const place = (key: string) => ({ file, key, sizes: {} });
  const length = (key: string, most: number): number => {
    const value = document.get(key);
    if (!Array.isArray(value)) return refuse(place(key), "is no list");
    return value.length >= 1 && value.length <= most
      ? value.length
      : refuse(place(key), `has ${value.length} entries; 1 to ${most} may be`);
  };
  const whole = (key: string, least: number, most: number): number => {
    const value = document.get(key);
    return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most
      ? value
      : refuse(place(key), `is no whole number from ${least} to ${most}`);
  };
  const M = whole("action_steps", 0, LONGEST.M);
  const budgets = document.get("budget_axis");
  const B = budgets instanceof Map ? budgets.get("steps") : undefined;
  const flow = document.get("straightness");
  const P = flow instanceof Map ? flow.get("times") : undefined;
  return {
    ...(Array.isArray(B) ? { B: B.length } : {}),
    ...(Array.isArray(P) ? { P: P.length } : {}),
    E: length("episodes", LONGEST.E),
    K: length("probe_steps", LONGEST.K),
    V: length("video_seeds", LONGEST.K),
    ...{ M, "M + 1": M + 1 },
    T: whole("chunk_length", 1, LONGEST.T),
    D: length("action_names", LONGEST.D),
  };
}

/** Steps must lie where the figure looks for them. */
function checkSteps({ probe_steps: steps, video_steps, verdict }: ProbeResult, file: string): void {
  const place = (key: string) => ({ file, key, sizes: {} });
  if (steps.some((step, i) => i > 0 && step <= steps[i - 1]))
    refuse(place("probe_steps"), "is not ascending");
  if (steps[steps.length - 1] > video_steps)
    refuse(place("probe_steps"), `goes beyond ${video_steps} video_steps`);
  const { step, best_step, better_steps, worse_steps, equivalent_steps } = verdict;
  const named = { step: [step], best_step: [best_step], better_steps, worse_steps, equivalent_steps };
  for (const [key, list] of Object.entries(named)) {
    const stray = list.find((one) => one !== null && !steps.includes(one));
    if (stray !== undefined) refuse(place(`verdict.${key}`), `names step ${stray}, which was not probed`);
  }
  if ((step === null) !== (verdict.status === "undetermined"))
    refuse(place("verdict.status"), `is "${verdict.status}" while verdict.step is ${step}`);
  if (verdict.margin !== null && verdict.margin_source === null)
    refuse(place("verdict.margin_source"), "is missing while there is a margin");
}

/** Every measure must have a value, or none, at every point. */
function checkPopulation({ population }: ProbeResult, file: string): void {
  if (!population) return;
  const place = (key: string) => ({ file, key: `population.${key}`, sizes: {} });
  const ways = population.schedules.map((curves, r) => ({ key: `schedules[${r}]`, curves }));
  for (const { key, curves } of [{ key: "stop", curves: population.stop }, ...ways])
    for (const { name, target, margin } of population.measures) {
      if ((target === null) !== (margin === null))
        refuse(place("measures"), `give ${name} a target without a margin, or a margin without a target`);
      const judging = target === null ? [] : (["differences"] as const);
      for (const part of ["values", "standard_errors", ...judging] as const)
        if (curves[part][name]?.length !== curves.calls.length)
          refuse(
            place(`${key}.${part}.${name}`),
            `has not one entry for each of ${curves.calls.length} calls`,
          );
    }
  for (const { key, curves } of ways)
    if (curves.calls.length === 0 || curves.calls.length !== ways[0].curves.calls.length)
      refuse(place(`${key}.calls`), "has another number of entries than the first, or none");
  const stray = population.floors.find(({ values }) =>
    population.measures.some(({ name }) => values[name] === undefined),
  );
  if (stray) refuse(place("floors"), `have no value of some measure for ${JSON.stringify(stray.words)}`);
}

/** What version 3 gained without another number: a file that does not say it did not measure it. */
function withLater(document: Map<string, Json>): void {
  const later: Record<string, Json> = {
    ...{
      iterate_axis: null,
      tap_similarity: null,
      by_part: [],
      other_rules: [],
      population: null,
      words: null,
      flops: null,
      control_differences: null,
      arithmetic: null,
      straightness: null,
    },
    ...Object.fromEntries(Object.keys(STOPPING_SHAPES).map((key) => [key, null])),
    signals: new Map<string, Json>([
      ["tap_drift", null],
      ["velocity_change", null],
    ]),
  };
  for (const [key, value] of Object.entries(later)) if (!document.has(key)) document.set(key, value);
  const controls = document.get("controls");
  if (controls instanceof Map && !controls.has("frames_shuffled"))
    document.set("controls", new Map([...controls, ["frames_shuffled", null]]));
}

/** What version 1 did not know, as far as it can be said; what it said otherwise, in today's words. */
function fromVersion1(old: Document): Map<string, Json> {
  const document = new Map(old);
  const absent = (key: string, value: Json): void => {
    if (!document.has(key)) document.set(key, value);
  };
  for (const key of ["variants", "oracle_axis", "oracle_axis_interval"]) absent(key, null);
  for (const key of ["mse_to_last_data_units", "mse_to_truth_data_units"]) absent(key, null);
  const withMore = (key: string, more: Record<string, Json>): void => {
    const value = document.get(key);
    if (value instanceof Map) document.set(key, new Map([...Object.entries(more), ...value]));
  };
  withMore("model", { system: "mimic-video", stamp: new Map<string, Json>() });
  // Its coverage was not measured for the method of that time.
  withMore("interval", { expected_coverage: null });
  const rule = document.get("sufficient_step");
  const said = (key: string): Json => (rule instanceof Map ? (rule.get(key) ?? null) : null);
  const interval = document.get("interval");
  const tolerance = said("tolerance");
  document.set(
    "verdict",
    new Map<string, Json>(
      Object.entries({
        status: "undetermined",
        step: null,
        reason:
          "This file is of version 1, whose rule was two-sided and answered another question; measure again for a verdict.",
        margin: tolerance,
        margin_source: tolerance === null ? null : "hold_still",
        independent_episodes: interval instanceof Map ? (interval.get("clusters") ?? 0) : 0,
        difference: said("difference"),
        difference_interval: said("difference_interval"),
        ...{ better_steps: [], worse_steps: [], equivalent_steps: [] },
        ...{ best_step: null, regret_of_last: null, regret_of_step: null },
      }),
    ),
  );
  return document;
}
