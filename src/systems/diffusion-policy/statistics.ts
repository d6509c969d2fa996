/**
 * Between the data's units and the network's. Files up to LeRobot 0.3 hold the statistics among the weights, later ones in processor
 * files beside them; a checkpoint that has both, or neither, is refused.
 *
 *   MEAN_STD   n = (x − mean) / (std + 1e-8)                                          x = n·std + mean
 *   MIN_MAX    n = (x − min) / (max − min + 1e-8) · 2 − 1           in the weights     x = (n + 1) / 2 · (max − min) + min
 *              n = 2·(x − min) / d − 1,  d = max − min, or 1e-8 where that is 0       in processor files
 */
import { FormatError, UsageError } from "../../errors.ts";
import {
  type DiffusionPolicyConfig,
  type Feature,
  NORMALISATIONS,
  type Normalisation,
} from "../../networks/diffusion-policy/config.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import type { TensorSource } from "../../weights/source.ts";

/** Values of one feature: a vector's, or one for each channel of a picture. */
export interface Scale {
  readonly mode: Normalisation;
  /** mean or min, and std or max; empty without a mode */
  readonly a: Float32Array;
  readonly b: Float32Array;
  /** added to a spread before dividing; in processor files only where a range is 0 */
  readonly epsilon: number;
  readonly place: Place;
}

export type Place = "weights" | "processors";

/** Statistics of every feature by its key, and whatever else is known of the action. */
export interface PolicyStatistics {
  readonly place: Place;
  /** for observations, and for the actions that were really taken */
  readonly normalise: ReadonlyMap<string, Scale>;
  /** for the actions that come out */
  readonly action: Scale;
  /** mean of the data set's actions, in the data's units, where it is known */
  readonly actionMean?: Float32Array;
  /** names in the data → names in the configuration, where they differ */
  readonly renamed: ReadonlyMap<string, string>;
}

/** x in the data's units → the network's; element i belongs to entry ⌊i / every⌋ mod the statistics' length. */
export function normalise(x: ArrayLike<number>, scale: Scale, every = 1): Float32Array<ArrayBuffer> {
  return mapped(x, scale, every, (value, a, b, { mode, epsilon, place }) => {
    if (mode === "MEAN_STD") return (value - a) / (b + epsilon);
    if (place === "weights") return ((value - a) / (b - a + epsilon)) * 2 - 1;
    return (2 * (value - a)) / (b === a ? epsilon : b - a) - 1;
  });
}

/** The way back. */
export function toData(n: ArrayLike<number>, scale: Scale): Float32Array<ArrayBuffer> {
  return mapped(n, scale, 1, (value, a, b, { mode }) =>
    mode === "MEAN_STD" ? value * b + a : ((value + 1) / 2) * (b - a) + a,
  );
}

function mapped(
  x: ArrayLike<number>,
  scale: Scale,
  every: number,
  map: (value: number, a: number, b: number, scale: Scale) => number,
): Float32Array<ArrayBuffer> {
  const { mode, a, b } = scale;
  if (mode === "IDENTITY") return Float32Array.from(x);
  return Float32Array.from(x, (value, i) => {
    const at = Math.floor(i / every) % a.length;
    return map(value, a[at], b[at], scale);
  });
}

const PREPROCESSOR = "policy_preprocessor.json";
const POSTPROCESSOR = "policy_postprocessor.json";

/** Files beside config and weights that hold statistics, as far as the listing tells: those of the newer layout. */
export async function processorFiles(files: ModelFiles): Promise<readonly string[]> {
  const found = [PREPROCESSOR, POSTPROCESSOR].filter((path) => files.paths.includes(path));
  const states = await Promise.all(found.map(async (path) => stateFiles(await files.json(path))));
  return [...found, ...states.flat()];
}

/** Keys of the weights that are statistics. */
export const STATISTICS_KEYS = /^(normalize_inputs|normalize_targets|unnormalize_outputs)\.buffer_/;

/**
 * Reads the statistics from where they are.
 * @param files of the folder; undefined where there is nothing beside the weights
 * @throws FormatError when they are nowhere, in both places, malformed, or never set
 */
export async function readStatistics(
  config: DiffusionPolicyConfig,
  weights: TensorSource,
  files?: ModelFiles,
): Promise<PolicyStatistics> {
  const inWeights = [...weights.tensors.keys()].some((key) => STATISTICS_KEYS.test(key));
  const beside = [PREPROCESSOR, POSTPROCESSOR].filter((path) => files?.paths.includes(path));
  if (inWeights && beside.length > 0)
    throw new FormatError(
      `${weights.name} holds normalisation statistics, and so do ${beside.join(" and ")} beside it. Which of them the model was trained ` +
        "with cannot be known; remove one.",
    );
  if (inWeights) return fromWeights(config, weights);
  if (!files || beside.length < 2)
    throw new FormatError(
      `${weights.name} holds no normalisation statistics (normalize_inputs…), and ${PREPROCESSOR} and ${POSTPROCESSOR} are not both ` +
        "beside it. Actions would be in [−1, 1] instead of the data's units.",
    );
  return fromProcessors(config, files);
}

const STATISTICS_OF = {
  MEAN_STD: ["mean", "std"],
  MIN_MAX: ["min", "max"],
  IDENTITY: [],
} as const satisfies Record<Normalisation, readonly string[]>;

/** Every observation and the action. */
const featuresOf = ({ cameras, state, environment, action }: DiffusionPolicyConfig): Feature[] => [
  ...cameras,
  state,
  ...(environment ? [environment] : []),
  action,
];

async function fromWeights(config: DiffusionPolicyConfig, weights: TensorSource): Promise<PolicyStatistics> {
  // Dots became underscores, which cannot be undone: the configuration's keys are changed likewise.
  const stored = (key: string): string => key.replaceAll(".", "_");
  const keys = featuresOf(config).map(({ key }) => key);
  const twin = keys.find((key, i) => keys.some((other, j) => j < i && stored(other) === stored(key)));
  if (twin) throw new FormatError(`${weights.name}: two features are called buffer_${stored(twin)} there`);
  const scale = async (where: string, feature: Feature): Promise<Scale> => {
    const [a, b] = await Promise.all(
      STATISTICS_OF[feature.normalisation].map((name) =>
        readStatistic(weights, `${where}.buffer_${stored(feature.key)}.${name}`, feature),
      ),
    );
    return scaleOf(feature.normalisation, a, b, 1e-8, "weights");
  };
  const { action } = config;
  const inputs = await Promise.all(
    featuresOf(config)
      .filter((feature) => feature !== action)
      .map(async (feature) => [feature.key, await scale("normalize_inputs", feature)] as const),
  );
  // Only training asks for those of targets; a file without them has the same in its outputs.
  const targets = [...weights.tensors.keys()].some((key) => key.startsWith("normalize_targets."));
  const outputs = await scale("unnormalize_outputs", action);
  return {
    place: "weights",
    normalise: new Map([
      ...inputs,
      [action.key, targets ? await scale("normalize_targets", action) : outputs],
    ]),
    action: outputs,
    renamed: new Map(),
  };
}

/** One step of a processor file. */
interface Step {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly stateFile?: string;
}

/** Steps that change no number of what we compute, beside those that are read. */
const MOVING = ["to_batch_processor", "device_processor"];

async function fromProcessors(config: DiffusionPolicyConfig, files: ModelFiles): Promise<PolicyStatistics> {
  const before = readSteps(await files.json(PREPROCESSOR), `${files.name}/${PREPROCESSOR}`);
  const after = readSteps(await files.json(POSTPROCESSOR), `${files.name}/${POSTPROCESSOR}`);
  const normalizer = theStep(before, "normalizer_processor", PREPROCESSOR, ["rename_observations_processor"]);
  const unnormalizer = theStep(after, "unnormalizer_processor", POSTPROCESSOR, []);
  const { rename_map: renames = {} } =
    before.find(({ name }) => name === "rename_observations_processor")?.config ?? {};
  const { action } = config;
  const first = await readScales(files, normalizer, featuresOf(config));
  const last = await readScales(files, unnormalizer, [action]);
  return {
    place: "processors",
    normalise: first.scales,
    action: last.scales.get(action.key)!,
    ...(first.actionMean && { actionMean: first.actionMean }),
    renamed: new Map(Object.entries(renames as Record<string, string>)),
  };

  async function readScales(folder: ModelFiles, step: Step, features: readonly Feature[]) {
    const { eps = 1e-8, norm_map: modes } = step.config as {
      eps?: unknown;
      norm_map?: Record<string, unknown>;
    };
    if (typeof eps !== "number" || !modes || !step.stateFile)
      throw new FormatError(
        `${folder.name}: the step ${step.name} has no number "eps", no "norm_map" or no "state_file"`,
      );
    const state = await folder.weights(step.stateFile);
    try {
      const scales = new Map<string, Scale>();
      for (const feature of features) {
        const mode = modeOf(feature, modes, step.name);
        const names = STATISTICS_OF[mode].map((name) => `${feature.key}.${name}`);
        const [a, b] = await Promise.all(names.map((name) => readStatistic(state, name, feature)));
        scales.set(feature.key, scaleOf(mode, a, b, eps, "processors"));
      }
      const mean = `${action.key}.mean`;
      const actionMean = state.tensors.has(mean) ? await readStatistic(state, mean, action) : undefined;
      return { scales, actionMean };
    } finally {
      await state.close();
    }
  }

  /** The mode that the file says, by the feature's type; a type that is not listed passes through. */
  function modeOf(feature: Feature, modes: Readonly<Record<string, unknown>>, step: string): Normalisation {
    const type =
      feature === config.action
        ? "ACTION"
        : feature === config.state
          ? "STATE"
          : feature === config.environment
            ? "ENV"
            : "VISUAL";
    const said = modes[type] ?? "IDENTITY";
    const known = NORMALISATIONS.find((mode) => mode === said);
    if (known) return known;
    throw new UsageError(
      `${files.name}: ${step} normalises ${type} by ${JSON.stringify(said)}, which is not supported; supported: ${NORMALISATIONS.join(", ")}`,
    );
  }
}

function readSteps(json: unknown, name: string): Step[] {
  const { steps } = (json ?? {}) as { steps?: unknown };
  if (!Array.isArray(steps)) throw new FormatError(`${name} has no list of "steps"`);
  return steps.map((step: unknown, i) => {
    const { registry_name: said, config = {}, state_file: file } = (step ?? {}) as Record<string, unknown>;
    const fits = typeof said === "string" && config !== null && typeof config === "object";
    if (!fits || (file !== undefined && file !== null && typeof file !== "string"))
      throw new FormatError(
        `${name}: step ${i} is ${JSON.stringify(step)?.slice(0, 120)}, expected a "registry_name" and a "config"`,
      );
    const stateFile = typeof file === "string" ? file : undefined;
    if (stateFile && (stateFile.startsWith("/") || stateFile.split(/[\\/]/).includes("..")))
      throw new FormatError(`${name}: the state file "${stateFile}" lies outside of the model's folder`);
    return { name: said, config: config as Record<string, unknown>, stateFile };
  });
}

/** The one step that normalises. @throws UsageError naming a step that is not known here */
function theStep(steps: readonly Step[], wanted: string, file: string, others: readonly string[]): Step {
  const unknown = steps.find(({ name }) => ![wanted, ...MOVING, ...others].includes(name));
  if (unknown) throw new UsageError(`${file}: the step "${unknown.name}" is not supported`);
  const cast = steps.find(({ config }) => ![undefined, null, "float32"].includes(config.float_dtype as null));
  if (cast)
    throw new UsageError(
      `${file}: float_dtype = ${JSON.stringify(cast.config.float_dtype)} is not supported`,
    );
  const found = steps.filter(({ name }) => name === wanted);
  if (found.length !== 1) throw new FormatError(`${file} has ${found.length} steps "${wanted}", expected 1`);
  return found[0];
}

const stateFiles = (json: unknown): string[] =>
  readSteps(json, "processor").flatMap(({ stateFile }) => (stateFile ? [stateFile] : []));

const scaleOf = (
  mode: Normalisation,
  a: Float32Array | undefined,
  b: Float32Array | undefined,
  epsilon: number,
  place: Place,
): Scale => ({ mode, a: a ?? new Float32Array(0), b: b ?? new Float32Array(0), epsilon, place });

/** A vector as wide as the feature, or a value for each channel of a picture. */
async function readStatistic(source: TensorSource, key: string, { shape }: Feature): Promise<Float32Array> {
  const info = source.tensors.get(key);
  const found = info ? `${info.dtype} (${info.shape.join(", ")})` : "missing";
  const expected = [shape[0], ...shape.slice(1).map(() => 1)];
  const floats = ["F32", "F64", "F16", "BF16"].includes(info?.dtype ?? "");
  if (!info || !floats || info.shape.join() !== expected.join())
    throw new FormatError(
      `${source.name}: the statistic "${key}" is ${found}, expected F32 (${expected.join(", ")}). The package would pass the feature through unchanged.`,
    );
  const values = Float32Array.from(toFloat32(await source.read(key), info.dtype));
  const bad = values.find((value) => !Number.isFinite(value));
  if (bad === undefined) return values;
  throw new FormatError(
    `${source.name}: the statistic "${key}" holds ${bad}; it was never set. Take a checkpoint that was trained.`,
  );
}
