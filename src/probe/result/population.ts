/**
 * What all samples together have, as it stands in the result: distances of distributions, variance, shares; by calls of the network and by the rule that
 * leads a schedule; and the verdict, which single read-outs cannot give (statistics/population.ts).
 */
import type { ProbeMeasurement } from "../experiment/measurement.ts";
import type { Interval } from "../statistics/bootstrap.ts";
import { MARGIN_FRACTION } from "../statistics/margin.ts";
import type { PopulationEstimates, PopulationPoint } from "../statistics/population.ts";
import { list, nullable, number, object, oneOf, record, type Shape, text } from "./shape.ts";
import { short } from "./words.ts";

/** Values by the measure's name; null where a measure has none, as a variance of one sample. */
export interface PopulationCurves {
  calls: number[];
  values: Record<string, (number | null)[]>;
  standard_errors: Record<string, (number | null)[]>;
  /** of judging measures: error less that at the end of the longest schedule, with its 95 % interval */
  differences: Record<string, ({ mean: number; interval: Interval } | null)[]>;
}

export interface PopulationSchedules extends PopulationCurves {
  rule: string;
  words: string;
  /** Fewest calls from which on no probed schedule of this rule is worse than the longest; null: none, or undetermined. */
  sufficient: number | null;
}

export interface PopulationResult {
  /** n */
  samples: number;
  /** What they are compared with. */
  against: string;
  /** `margin`: how much worse a schedule may be; null of a measure that judges nothing. */
  measures: { name: string; words: string; target: number | null; margin: number | null }[];
  /** The measures of other sets, for scale. */
  floors: { words: string; values: Record<string, number> }[];
  /** 5 % of whose error is the margin. */
  margin_source: string;
  resamples: number;
  seed: number;
  /** (K) */
  stop: PopulationCurves;
  /** (1 + R), the rule of the stop axis first. */
  schedules: PopulationSchedules[];
  verdict: { status: "sufficient" | "undetermined"; reason: string };
}

export function populationResult(
  estimates: PopulationEstimates,
  { settings, stopCalls, budgetCalls, rules }: ProbeMeasurement,
): PopulationResult {
  const { measures, floors, worst, schedules, stop } = estimates;
  const named = measures.map(({ name }) => name);
  const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
  const curves = (points: readonly PopulationPoint[], calls: readonly number[]): PopulationCurves => {
    const by = <T>(names: readonly string[], of: (point: PopulationPoint, name: string) => T) =>
      Object.fromEntries(names.map((name) => [name, points.map((point) => of(point, name))]));
    const judging = measures.filter(({ target }) => target !== undefined).map(({ name }) => name);
    return {
      calls: [...calls],
      values: by(named, (point, name) => finite(point[name].value)),
      standard_errors: by(named, (point, name) => finite(point[name].standardError)),
      differences: by(judging, (point, name) => {
        const { mean, low, high } = point[name].difference!;
        return [mean, low, high].every(Number.isFinite) ? { mean, interval: { low, high } } : null;
      }),
    };
  };
  const stops = stopCalls ?? settings.probeSteps.map((step) => step + 1);
  const calls = budgetCalls ?? (settings.budgets ?? []).map((steps) => steps + 1);
  const ways = schedules.map(({ points, sufficient }, r): PopulationSchedules => {
    const { name = "own", words = "the schedule" } = rules?.[r] ?? {};
    return {
      ...{ rule: name, words, ...curves(points, calls) },
      sufficient: sufficient === null ? null : calls[sufficient],
    };
  });
  const result = {
    ...{ samples: estimates.samples, against: estimates.against },
    measures: measures.map(({ name, words, target = null, margin = null }) => ({
      name,
      words,
      target,
      margin,
    })),
    floors: floors.map(({ words, values }) => ({ words, values: { ...values } })),
    margin_source: floors[worst].words,
    ...{ resamples: estimates.resamples, seed: estimates.seed },
    stop: curves(stop, stops),
    schedules: ways,
  };
  return { ...result, verdict: verdictOf(result, estimates.doubt) };
}

function verdictOf(
  { measures, schedules, margin_source, samples, against }: Omit<PopulationResult, "verdict">,
  doubt: string | undefined,
): PopulationResult["verdict"] {
  if (doubt !== undefined) return { status: "undetermined", reason: doubt };
  if (schedules.length === 0)
    return { status: "undetermined", reason: "No whole schedules were run; --budgets 1,2,4,… runs some." };
  const [own] = schedules;
  const longest = own.calls.at(-1)!;
  const judging = measures.filter(({ target }) => target !== null);
  const allowed = judging.map(({ words, margin }) => `${words} ${short(margin!)}`).join(", ");
  const sentences = schedules.map((schedule) =>
    scheduleWords(schedule, judging, `${longest} by the ${own.words}`),
  );
  return {
    status: "sufficient",
    reason:
      `${sentences.join(" ")} Judged by ${samples} samples against ${against}: no measure may be worse than at the end of ${longest} calls of the ` +
      `${own.words} by more than ${100 * MARGIN_FRACTION} % of the error of ${margin_source} (${allowed}).`,
  };
}

function scheduleWords(
  { words, calls, sufficient, differences }: PopulationSchedules,
  judging: PopulationResult["measures"],
  longest: string,
): string {
  const before = sufficient === null ? calls.length - 1 : calls.indexOf(sufficient) - 1;
  const failing =
    before < 0
      ? []
      : judging.flatMap(({ name, words: what, margin }) => {
          const difference = differences[name][before];
          return difference && difference.interval.high <= margin!
            ? []
            : [`${what} ${difference ? worseWords(difference, margin!) : "not known"}`];
        });
  const why = before < 0 ? "" : ` (${calls[before]}: ${failing.join("; ")})`;
  return sufficient === null
    ? `By the ${words} not even ${calls.at(-1)} calls are as good as ${longest}${why}.`
    : `By the ${words} ${sufficient} ${sufficient === 1 ? "call is" : "calls are"} enough${why}.`;
}

function worseWords(
  { mean, interval: { low, high } }: { mean: number; interval: Interval },
  margin: number,
): string {
  return mean > margin
    ? `worse by ${short(mean)} [${short(low)}, ${short(high)}]`
    : `may be worse by up to ${short(high)}`;
}

const values = record(list(nullable(number())));
const curves = {
  calls: list(number({ least: 0, whole: true })),
  values,
  standard_errors: values,
  differences: record(
    list(
      nullable(
        object<{ mean: number; interval: Interval }>({
          mean: number(),
          interval: object<Interval>({ low: number(), high: number() }),
        }),
      ),
    ),
  ),
};

export const POPULATION: Shape<PopulationResult> = object<PopulationResult>({
  samples: number({ least: 0, whole: true }),
  against: text(),
  measures: list(
    object<PopulationResult["measures"][number]>({
      ...{ name: text(), words: text() },
      ...{ target: nullable(number()), margin: nullable(number({ least: 0 })) },
    }),
  ),
  floors: list(object<PopulationResult["floors"][number]>({ words: text(), values: record(number()) })),
  margin_source: text(),
  resamples: number({ least: 1, whole: true }),
  seed: number({ least: 0, whole: true }),
  stop: object<PopulationCurves>(curves),
  schedules: list(
    object<PopulationSchedules>({
      ...curves,
      ...{ rule: text(), words: text(), sufficient: nullable(number({ least: 0, whole: true })) },
    }),
  ),
  verdict: object<PopulationResult["verdict"]>({
    status: oneOf("sufficient", "undetermined"),
    reason: text(/\S/),
  }),
});
