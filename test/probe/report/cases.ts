/** Results for tests of the report: of PyTorch's decodes of the toy, without this or that, with everything, and with words that would do harm. */
import type { EpisodeMeasurement, ProbeMeasurement } from "../../../src/probe/experiment/measurement.ts";
import { type ProbeResult, probeResult } from "../../../src/probe/result/result.ts";
import { type FixtureOptions, referenceMeasurement } from "../fixture.ts";

export const countOf = (measurement: ProbeMeasurement): ProbeResult => probeResult(measurement);

/** A copy of what is counted once: counting resamples a hundred means. */
function counted(name: string, measurement: () => ProbeMeasurement): ProbeResult {
  const known = results.get(name) ?? countOf(measurement());
  results.set(name, known);
  return structuredClone(known);
}
const results = new Map<string, ProbeResult>();

export const resultOf = (options: FixtureOptions = {}): ProbeResult =>
  counted(JSON.stringify(options), () => referenceMeasurement(options));

export const withoutTruth = (): ProbeResult =>
  counted("without truth", () => {
    const measurement = referenceMeasurement();
    for (const episode of measurement.episodes) episode.truth = undefined;
    return measurement;
  });

/** Of all that a run can measure. */
export const fullResult = (): ProbeResult => counted("full", fullMeasurement);

/** All that a run can measure: whole schedules, labels, parts, hidden states, signals, shuffled frames, operations. */
export function fullMeasurement(): ProbeMeasurement {
  const measurement = referenceMeasurement();
  const [V, K, B, size] = [2, 7, 3, 72];
  const at = (episode: EpisodeMeasurement, v: number, k: number): Float32Array =>
    episode.actions.subarray((v * K + k) * size, (v * K + k + 1) * size);
  const { settings, episodes } = measurement;
  settings.budgets = [5, 10, 50];
  measurement.interval = 0.1;
  measurement.flow = { of: "the action decoder's flow", times: [0, 0.25, 0.5, 0.75] };
  measurement.parts = [
    { name: "position", from: 0, to: 2, kind: "squared", units: "m" },
    { name: "gripper", from: 2, to: 3, kind: "event", units: "1", states: [-1, 1] },
  ];
  episodes.forEach((episode, e) => {
    const runs = Array.from({ length: V }, (_, v) => v);
    const budgets = runs.flatMap((v) =>
      [1, 2, 6].flatMap((k, b) => [...at(episode, v, k)].map((x) => x * (b === B - 1 ? 1 : 1.05))),
    );
    episode.budgetActions = Float32Array.from(budgets);
    episode.dataBudgetActions = episode.budgetActions;
    episode.dataTruth = episode.truth;
    episode.shuffledContext = Float32Array.from(
      runs.flatMap((v) => [...at(episode, v, 0)].map((x) => 0.7 * x)),
    );
    episode.labels = { ambiguity: e % 2 === 0 ? "unambiguous" : "which block", scene: `scene ${e % 3}` };
    const table = (of: (i: number, j: number) => number): Float32Array =>
      Float32Array.from({ length: V * K * K }, (_, n) => of(Math.floor(n / K) % K, n % K));
    episode.tapCosine = table((i, j) => 1 - 0.1 * Math.abs(i - j));
    episode.tapCka = table((i, j) => 1 - 0.05 * Math.abs(i - j));
    episode.tapCosineNull = table((i, j) => 0.01 * (i - j));
    episode.tapCkaNull = table(() => 0.3);
    episode.tapSample = { rows: [512], tokens: [768] };
    const signal = (from: number): Float32Array =>
      Float32Array.from({ length: V * K }, (_, n) => (n % K < from ? Infinity : 1 / (1 + (n % K) + 0.1 * e)));
    episode.tapDrift = signal(1);
    episode.velocityChange = signal(2);
    const [P, along] = [
      4,
      (of: (p: number) => number) => Float32Array.from({ length: V * 4 }, (_, n) => of(n % P)),
    ];
    episode.flowSpeed = along((p) => 2 + p);
    episode.flowResidual = along((p) => (0.8 - 0.2 * p) * (1 + 0.01 * e) * (2 + p));
    episode.flowBend = along((p) => 0.1 * (2 + p));
    episode.flops = { encode: 1e9, trajectory: 51e9, readOut: 2e8, similarity: 1e8 };
  });
  return measurement;
}

/** The seconds that go with it. */
export const FULL_RUN = {
  ...{ date: "2026-11-25T12:00:00.000Z", command: "mimic-video-probe --episodes 8", seconds: 60 },
  parts: [
    { name: "trajectory", seconds: 40.8 },
    { name: "read-out", seconds: 11.2 },
  ],
  resumed_episodes: 0,
};

/** Words that would do something if they were not only words. */
export const HOSTILE = [
  "<script>window.pwned = 1</script>",
  "</script><script>window.pwned = 2</script>",
  "<!--<script>",
  '"><img src="https://example.com/x" onerror="window.pwned = 3">',
  "' onmouseover='window.pwned = 4' x='",
  '<a href="javascript:window.pwned = 5">here</a>',
  "javascript:window.pwned = 6",
  "</style><style>@import 'https://example.com/y';</style>",
  "</title></head><body onload=window.pwned=7>",
  "a\u2028b\u2029c",
  "&lt;b&gt; &amp; ${window.pwned = 8} %{x} $$ `",
  "https://example.com/image.png",
].join(" | ");

/** The same result with such words wherever words may come from outside. */
export function hostile(result: ProbeResult): ProbeResult {
  const words = (text: string) => `${text} ${HOSTILE}`;
  const { model, data } = result;
  return {
    ...result,
    statement: words(result.statement),
    model: {
      ...model,
      name: words(model.name),
      revision: words(model.revision),
      weights_sha256: words(model.weights_sha256),
      system: words(model.system),
      stamp: { [words("policy")]: words("bridge") },
    },
    data: { name: words(data.name), sha256: words(data.sha256), noise_sha256: HOSTILE },
    device: { name: HOSTILE, driver: HOSTILE, adapter: HOSTILE, software: true },
    dtype: words(result.dtype),
    variants: { [HOSTILE]: [HOSTILE] },
    versions: { [HOSTILE]: HOSTILE },
    episodes: result.episodes.map(({ index, id, prompt }) => ({
      ...{ index, id: words(id), prompt: words(prompt) },
    })),
    action_names: result.action_names.map(words),
    action_units: result.action_units.map(words),
    interval: { ...result.interval, method: words(result.interval.method) },
    verdict: { ...result.verdict, reason: words(result.verdict.reason) },
    spread_by_label: result.spread_by_label.map((spread) => ({
      ...{ ...spread, label: words(spread.label) },
      values: spread.values.map((own) => ({ ...own, value: words(own.value) })),
    })),
    by_part: result.by_part.map((part) => ({ ...part, name: words(part.name), unit: words(part.unit) })),
    exit_rules: result.exit_rules && {
      ...result.exit_rules,
      rules: result.exit_rules.rules.map((rule) => ({ ...rule, signal: words(rule.signal) })),
    },
    pareto:
      result.pareto &&
      result.pareto.map((point) => ({ ...point, signal: point.signal && words(point.signal) })),
  };
}
