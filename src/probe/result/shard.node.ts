/**
 * Parts of a run on disk. A folder of a part holds `units/` and, once it is whole, `shard.json`: all that `probe.json` needs besides the units. Putting
 * parts together is reading them as the whole run would have.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, UsageError } from "../../errors.ts";
import { parseStrictJson } from "../../weights/strict-json.ts";
import {
  type EpisodeMeasurement,
  type Fingerprint,
  fingerprintOf,
  type FullSettings,
  type MeasuredFlow,
  type ProbeMeasurement,
  type ProbeProvenance,
  type Shard,
} from "../experiment/measurement.ts";
import { joinParts, mergedVariants } from "../experiment/share.ts";
import type { Part } from "../subject.ts";
import type { Reference } from "../figure/style.ts";
import { RESULT_FILES, writeAtomic } from "./files.node.ts";
import { formatJson } from "./json.ts";
import { readText } from "./read-result.node.ts";
import { RUN_SHAPE, type RunRecord, SHARD_SHAPE } from "./run-record.ts";
import { boolean, either, list, nullable, number, object, oneOf, record, type Shape, text } from "./shape.ts";
import { folderStore } from "./unit-store.node.ts";

const SHARD_SCHEMA = "mimic-video-probe-shard";
const SHARD_VERSION = 3;

/** How a result is shown: the same for all parts, as it belongs to the one result. */
export interface Presentation {
  margin?: number;
  reference: Reference;
}

/** Settings that only say where something lies or how it is found, or that the provenance tells. */
type NotKept =
  | "modelDir"
  | "dataDir"
  | "recording"
  | "noiseFile"
  | "adapter"
  | "dtype"
  | "unexpected"
  | "rename"
  | "nonFinite"
  | "verify"
  | "policy"
  | "frozen"
  | "text"
  | "encodeText"
  | "gpuMemory"
  | "stateTime"
  | "shard";

/** All others, each with its value: a setting that is new does not compile until it is kept here. */
type KeptSettings = Required<Omit<FullSettings, NotKept>>;

/** `shard.json` */
interface ShardDocument {
  schema: typeof SHARD_SCHEMA;
  version: typeof SHARD_VERSION;
  shard: Shard;
  /** Episodes of which this part measured all or some seeds. */
  measured: number[];
  margin: number | null;
  reference: Reference;
  settings: KeptSettings;
  provenance: ProvenanceDocument;
  action_names: string[];
  action_units: string[];
  dataset_mean: number[] | null;
  tau: number[];
  /** Calls of the network at each probe step and budget; null where the system does not count them. */
  stop_calls: number[] | null;
  budget_calls: number[] | null;
  /** How a result speaks of what was read; null: of actions. */
  words: WordsDocument | null;
  /** How whole schedules are led; null where there is one way. */
  rules: RuleDocument[] | null;
  /** Whose straightness was measured, and when; null: nobody's. */
  flow: MeasuredFlow | null;
  /** Noise left at each probe step; null where iterates are no states of the trajectory. */
  stop_null: number[] | null;
  action_times: number[];
  chunk_length: number;
  parts: PartDocument[] | null;
  /** Seconds from one position to the next. */
  interval: number | null;
}

/** A part of the read-out; `states` null where it has none. */
interface PartDocument extends Omit<Part, "states"> {
  states: number[] | null;
}

type WordsDocument = { what: string; read: string; truth: string };
type RuleDocument = { name: string; words: string };
type ProvenanceDocument = Omit<ProbeProvenance, "variants">;

const whole = number({ least: 0, whole: true });
const SHARD_DOCUMENT: Shape<ShardDocument> = object<ShardDocument>({
  schema: oneOf(SHARD_SCHEMA),
  version: oneOf(SHARD_VERSION),
  shard: SHARD_SHAPE,
  measured: list(whole),
  margin: nullable(number({ least: 0 })),
  reference: oneOf("final", "truth", "both"),
  settings: object<KeptSettings>({
    episodes: list(whole),
    videoSteps: whole,
    probeSteps: list(whole),
    actionSteps: whole,
    videoSeeds: list(whole),
    actionSeeds: either(list(whole), oneOf("same"), Array.isArray),
    oracle: boolean,
    straightness: boolean,
    budgets: list(whole),
    arithmetic: oneOf("f32", "f16"),
    variants: record(text()),
    rules: list(text()),
  }),
  provenance: object<ProvenanceDocument>({
    model: object<ProbeProvenance["model"]>({
      name: text(),
      revision: text(),
      weightsSha256: text(),
      trainedOn: oneOf("random", "toy", "pretrained"),
      system: text(),
      stamp: record(text()),
    }),
    data: object<ProbeProvenance["data"]>({ name: text(), sha256: text() }),
    noiseSha256: nullable(text()),
    device: object<ProbeProvenance["device"]>({
      name: text(),
      driver: text(),
      adapter: text(),
      software: boolean,
    }),
    dtype: oneOf("f32", "bf16", "f16"),
    versions: record(text()),
  }),
  action_names: list(text()),
  action_units: list(text()),
  dataset_mean: nullable(list(number())),
  tau: list(number()),
  stop_calls: nullable(list(whole)),
  budget_calls: nullable(list(whole)),
  words: nullable(object<WordsDocument>({ what: text(), read: text(), truth: text() })),
  rules: nullable(list(object<RuleDocument>({ name: text(), words: text() }))),
  stop_null: nullable(list(number())),
  flow: nullable(object<MeasuredFlow>({ of: text(), times: list(number()) })),
  action_times: list(number()),
  chunk_length: whole,
  parts: nullable(
    list(
      object<PartDocument>({
        name: text(),
        ...{ from: whole, to: whole },
        kind: oneOf("squared", "rotation6d", "rotvec", "event", "logits"),
        units: text(),
        states: nullable(list(number())),
      }),
    ),
  ),
  interval: nullable(number({ least: 0 })),
});

/** Says that a part is whole, and what it was. */
export async function writeShard(
  out: string,
  { settings, provenance, ...measurement }: ProbeMeasurement,
  shard: Shard,
  { margin, reference }: Presentation,
): Promise<void> {
  const { model, data, noiseSha256, device, dtype, versions } = provenance;
  const { videoSteps, actionSteps, videoSeeds, actionSeeds } = settings;
  const document: ShardDocument = {
    ...{ schema: SHARD_SCHEMA, version: SHARD_VERSION },
    shard,
    measured: measurement.episodes.map(({ episode }) => episode),
    margin: margin ?? null,
    reference,
    settings: {
      episodes: [...settings.episodes],
      probeSteps: [...settings.probeSteps],
      ...{ videoSteps, actionSteps, videoSeeds, actionSeeds },
      oracle: settings.oracle ?? false,
      straightness: settings.straightness ?? false,
      // None is no budget.
      budgets: [...(settings.budgets ?? [])],
      arithmetic: settings.arithmetic ?? "f32",
      variants: settings.variants ?? {},
      rules: [...(settings.rules ?? [])],
    },
    provenance: { model, data, noiseSha256, device, dtype, versions },
    action_names: measurement.actionNames,
    action_units: measurement.actionUnits,
    dataset_mean: measurement.datasetMean ? [...measurement.datasetMean] : null,
    tau: measurement.taus,
    stop_calls: measurement.stopCalls ?? null,
    budget_calls: measurement.budgetCalls ?? null,
    words: measurement.words ? { ...measurement.words } : null,
    rules: measurement.rules?.map(({ name, words }) => ({ name, words })) ?? null,
    stop_null: measurement.stopNull ?? null,
    flow: measurement.flow ?? null,
    action_times: measurement.actionTimes,
    chunk_length: measurement.chunkLength,
    parts:
      measurement.parts?.map((part) => ({ ...part, states: part.states ? [...part.states] : null })) ?? null,
    interval: measurement.interval ?? null,
  };
  await writeAtomic(join(out, RESULT_FILES.shard), formatJson(document));
}

/** A whole run from its parts. */
export interface MergedRun {
  measurement: ProbeMeasurement;
  presentation: Presentation;
  /** Of the parts that have one, in their order. */
  runs: RunRecord[];
}

/**
 * Puts the parts of a run together.
 * @param folders of all parts, in any order
 * @throws UsageError naming parts that are missing, there twice, not finished, or of other settings
 * @throws FormatError for a file that is damaged
 */
export async function mergeShards(folders: readonly string[]): Promise<MergedRun> {
  const parts = await Promise.all(
    folders.map(async (folder) => ({ folder, document: await readShard(folder) })),
  );
  parts.sort((a, b) => a.document.shard.index - b.document.shard.index);
  refuseIncomplete(parts);
  const [{ folder: first, document }] = parts;
  for (const part of parts.slice(1)) refuseDifference(first, document, part.folder, part.document);
  const { budgets, rules, ...kept } = document.settings;
  const settings: FullSettings = {
    ...{ modelDir: document.provenance.model.name, ...kept },
    budgets: budgets.length > 0 ? budgets : undefined,
    ...(rules.length > 0 && { rules }),
  };
  const fingerprint = fingerprintOf(settings, document.provenance);
  const units = new Map<number, EpisodeMeasurement[]>();
  for (const part of parts)
    for (const unit of await unitsOf(part.folder, part.document, fingerprint))
      units.set(unit.episode, [...(units.get(unit.episode) ?? []), unit]);
  const absent = settings.episodes.filter((episode) => !units.has(episode));
  if (absent.length > 0)
    throw new UsageError(
      `No part measured episode ${absent.join(", ")}; the parts do not belong to one run.`,
    );
  const episodes = settings.episodes.map((episode) => joinParts(units.get(episode)!, settings.videoSeeds));
  return {
    measurement: {
      settings,
      provenance: { ...document.provenance, variants: mergedVariants(episodes) },
      actionNames: document.action_names,
      actionUnits: document.action_units,
      datasetMean: document.dataset_mean ? Float32Array.from(document.dataset_mean) : undefined,
      taus: document.tau,
      stopCalls: document.stop_calls ?? undefined,
      budgetCalls: document.budget_calls ?? undefined,
      words: document.words ?? undefined,
      rules: document.rules ?? undefined,
      stopNull: document.stop_null ?? undefined,
      flow: document.flow ?? undefined,
      actionTimes: document.action_times,
      chunkLength: document.chunk_length,
      parts: document.parts?.map(partOf),
      interval: document.interval ?? undefined,
      episodes,
      timing: { phases: [], resumedEpisodes: 0 },
    },
    presentation: { margin: document.margin ?? undefined, reference: document.reference },
    runs: await runsOf(parts.map(({ folder }) => folder)),
  };
}

const partOf = ({ states, ...part }: PartDocument): Part =>
  states ? { ...part, states: [states[0], states[1]] } : part;

interface ShardFolder {
  folder: string;
  document: ShardDocument;
}

async function readShard(folder: string): Promise<ShardDocument> {
  const path = join(folder, RESULT_FILES.shard);
  const exists = (of: string): Promise<boolean> =>
    stat(of).then(
      () => true,
      () => false,
    );
  if (!(await exists(folder))) throw new UsageError(`${folder}: there is no such folder.`);
  if (!(await exists(path))) {
    if (await exists(join(folder, RESULT_FILES.result)))
      throw new UsageError(
        `${folder} holds a whole run (${RESULT_FILES.result}) and no part of one: there is nothing to merge it with.`,
      );
    if (await exists(join(folder, RESULT_FILES.units)))
      throw new UsageError(
        `${folder}: this part is not finished. Continue it with its own options and --resume.`,
      );
    throw new UsageError(
      `${folder} holds no part of a run (no ${RESULT_FILES.shard}). Name folders that --shard wrote.`,
    );
  }
  const json = parseStrictJson(await readText(path), path, { maxDepth: 12 });
  return SHARD_DOCUMENT.read(json, { file: path, key: "", sizes: {} });
}

function refuseIncomplete(parts: readonly ShardFolder[]): void {
  if (parts.length === 0) throw new UsageError("merge needs the folders of all parts. Name them.");
  const { folder, document } = parts[0];
  const { count } = document.shard;
  const other = parts.find((part) => part.document.shard.count !== count);
  if (other)
    throw new UsageError(
      `${folder} is part ${nameOf(document.shard)} and ${other.folder} part ${nameOf(other.document.shard)}: they are of different divisions.`,
    );
  const twice = parts.find(
    ({ document: { shard } }, i) => i > 0 && shard.index === parts[i - 1].document.shard.index,
  );
  if (twice) {
    const same = parts.filter(({ document: { shard } }) => shard.index === twice.document.shard.index);
    throw new UsageError(
      `Part ${nameOf(twice.document.shard)} is there ${same.length} times: ${same.map((part) => part.folder).join(", ")}. Name each part once.`,
    );
  }
  const missing = Array.from({ length: Math.min(count, 1e6) }, (_, i) => i).filter(
    (i) => !parts.some(({ document: { shard } }) => shard.index === i),
  );
  if (missing.length > 0)
    throw new UsageError(
      `${missing.length === 1 ? "Part" : "Parts"} ${missing
        .slice(0, 20)
        .map((index) => nameOf({ index, count }))
        .join(", ")}` +
        `${missing.length > 20 ? ", …" : ""} ${missing.length === 1 ? "is" : "are"} missing. Run ${missing.length === 1 ? "it" : "them"}, or name the folder.`,
    );
}

const nameOf = ({ index, count }: Shard): string => `${index}/${count}`;

/** What must be equal for the result to be one: everything but names of places and what each part measured. */
function refuseDifference(first: string, one: ShardDocument, second: string, two: ShardDocument): void {
  const comparable = (document: ShardDocument): Map<string, string> => {
    const { model, data, ...origin } = document.provenance;
    const unnamed = { ...origin, model: { ...model, name: "" }, data: { ...data, name: "" } };
    const own = { shard: null, measured: null };
    return new Map(leaves({ ...document, ...own, provenance: unnamed }, ""));
  };
  const [a, b] = [comparable(one), comparable(two)];
  const differences = [...new Set([...a.keys(), ...b.keys()])].flatMap((key) =>
    a.get(key) === b.get(key) ? [] : [`${key} is ${brief(a.get(key))} and ${brief(b.get(key))}`],
  );
  if (differences.length > 0)
    throw new UsageError(
      `${first} and ${second} are parts of different runs: ${differences.slice(0, 8).join("; ")}.`,
    );
}

const brief = (words = "absent"): string => (words.length > 80 ? `${words.slice(0, 80)}…` : words);

function leaves(value: unknown, key: string): [string, string][] {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return [[key, JSON.stringify(value) ?? "absent"]];
  }
  return Object.entries(value).flatMap(([name, inner]) =>
    leaves(inner, key === "" ? name : `${key}.${name}`),
  );
}

async function unitsOf(
  folder: string,
  { measured }: ShardDocument,
  fingerprint: Fingerprint,
): Promise<EpisodeMeasurement[]> {
  const store = folderStore(folder);
  const found = await store.begin(fingerprint, measured);
  const lost = measured.filter((episode) => !found.includes(episode));
  if (lost.length > 0)
    throw new FormatError(
      `${folder}: episode ${lost.join(", ")} is missing from ${RESULT_FILES.units}/ or damaged. Measure this part again with --resume.`,
    );
  return Promise.all(measured.map(async (episode) => (await store.load(episode))!));
}

async function runsOf(folders: readonly string[]): Promise<RunRecord[]> {
  const runs: RunRecord[] = [];
  for (const folder of folders) {
    const path = join(folder, RESULT_FILES.run);
    if (!(await stat(path).catch(() => undefined))) continue;
    runs.push(
      RUN_SHAPE.read(parseStrictJson(await readText(path), path), { file: path, key: "", sizes: {} }),
    );
  }
  return runs;
}
