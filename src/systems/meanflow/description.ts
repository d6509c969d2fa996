/**
 * What a checkpoint is: its network, how it was trained, and what its samples are. Said by a model.json beside it, by the metadata of a converted
 * file, by the configuration inside a torch checkpoint, or by the shapes of its tensors; what none of them says is asked for.
 */
import { FormatError, UsageError } from "../../errors.ts";
import { ConfigReader } from "../../networks/config.ts";
import { type MeanFlowConfig, readMeanFlowConfig } from "../../networks/meanflow/config.ts";
import type { StateTime } from "../../networks/meanflow/network.ts";
import type { TrainedOn } from "../../probe/subject.ts";
import type { TensorSource } from "../../weights/source.ts";
import type { Contents } from "../sampler.ts";
import { derivedConfig } from "./derived-config.ts";
import type { Architecture } from "./layouts.ts";
import { type Pictures, readNormalisation } from "./pictures.ts";

/**
 * What the loss taught the network of intervals: the displacement from the state on ("identity"), the literal loss of kylevedder/DenoisingZoo's
 * way from data to noise ("literal"), nothing, as of a plain flow ("flow"), or nobody says.
 */
export type Training = "identity" | "literal" | "flow" | "unknown";

export interface MeanFlowDescription {
  readonly config: MeanFlowConfig;
  readonly training: Training;
  readonly trainedOn: TrainedOn;
  readonly contents: Contents;
  /** of pictures */
  readonly pictures?: Pictures;
  /** rows and columns of a state */
  readonly size: readonly [number, number];
  /** for the provenance stamp */
  readonly words: string;
}

/** Networks of kylevedder/DenoisingZoo, whose loss and sampler disagree. */
const isZoo = (architecture: Architecture): boolean => architecture.startsWith("zoo_");
const TIMES: Readonly<Record<StateTime, string>> = { r: "0 noise, 1 data", t: "0 data, 1 noise" };

const KNOWN = [
  ...["kind", "architecture", "config", "parameters", "dtype", "convention", "labels", "image"],
  ...["guidance", "training", "weights_are", "weights", "latents", "loss"],
];

/** @throws FormatError unless it is the model.json of such a model */
export function weightsNamed(json: unknown, name: string): string | undefined {
  const c = new ConfigReader(json, name);
  return c.has("weights") ? c.text("weights") : undefined;
}

/**
 * A description from a model.json, or the same written into a file's metadata.
 * @param stateTime what a person says of the training, of networks of which it cannot be seen
 * @throws FormatError for a field that is missing or malformed, UsageError for one that is not supported or contradicts another
 */
export function readDescription(json: unknown, name: string, stateTime?: StateTime): MeanFlowDescription {
  const c = new ConfigReader(json, name);
  const raw = json as Readonly<Record<string, unknown>>;
  c.known(...KNOWN);
  c.only("kind", "meanflow");
  const own = (raw.config ?? {}) as Readonly<Record<string, unknown>>;
  const config = forSampling(readMeanFlowConfig({ arch: raw.architecture, ...own }, name));
  const training = trainingOf(config, raw, name, stateTime);
  const image = c.has("image") ? new ConfigReader(raw.image, `${name}, image`) : undefined;
  const labels = c.has("labels") ? new ConfigReader(raw.labels, `${name}, labels`) : undefined;
  if (labels && "classes" in config && labels.count("classes") !== config.classes)
    throw new UsageError(
      `${name}: labels.classes is ${labels.count("classes")}, and the network has ${config.classes} classes (num_classes)`,
    );
  return {
    ...{ config, training, trainedOn: trainedOnOf(c) },
    ...samplesOf(config, image, c.flag("latents", false), name),
    words: `${config.arch}, ${TRAINING_WORDS[training]}`,
  };
}

/** Without what only training uses, whose weights are left out (layouts.ts). */
function forSampling(config: MeanFlowConfig): MeanFlowConfig {
  if (config.arch === "imf_dit") return { ...config, twoHeads: false };
  return config.arch === "song_unet" ? { ...config, augment: 0 } : config;
}

const TRAINING_WORDS: Readonly<Record<Training, string>> = {
  identity: "trained for the average velocity from the state on",
  literal: "trained by the literal loss, from data to noise",
  flow: "trained as a plain flow",
  unknown: "trained by a loss that nothing names",
};

function trainedOnOf(c: ConfigReader): TrainedOn {
  const words = c.has("weights_are") ? c.text("weights_are") : "";
  return /\btoy\b/.test(words) ? "toy" : /\brandom\b/.test(words) ? "random" : "pretrained";
}

/** Where the convention stands, it decides; elsewhere the architecture does, but for the repository of which it cannot be seen. */
function trainingOf(
  { arch }: MeanFlowConfig,
  raw: Readonly<Record<string, unknown>>,
  name: string,
  asked: StateTime | undefined,
): Training {
  const own: StateTime = isZoo(arch) ? "r" : "t";
  const convention =
    raw.convention === undefined ? undefined : new ConfigReader(raw.convention, `${name}, convention`);
  const said = convention?.has("state_time") ? convention.text("state_time") : undefined;
  convention?.only("state_time", "r", "t");
  // Of those networks 0 is noise in either case.
  convention?.only("time", TIMES[own]);
  if (asked !== undefined && !isZoo(arch) && asked !== own)
    throw new UsageError(`--state-time ${asked}: of a ${arch} the state stands at ${own}. Leave it out.`);
  if (asked !== undefined && said !== undefined && asked !== said)
    throw new UsageError(
      `--state-time ${asked}: ${name} says ${said} (convention.state_time). Leave the option out, or correct the file.`,
    );
  if (!isZoo(arch)) {
    if (said !== undefined && said !== own)
      throw new UsageError(`${name}: convention.state_time is ${said}; of a ${arch} it is ${own}`);
    return "identity";
  }
  const stated = asked ?? said;
  if (stated !== undefined) return stated === "r" ? "identity" : "literal";
  return lossOf(raw.loss, name) ?? "unknown";
}

/** What a training configuration of that repository says of the loss. */
function lossOf(loss: unknown, name: string): Training | undefined {
  if (loss === undefined) return undefined;
  const c = new ConfigReader(loss, `${name}, loss`);
  c.only("state_time", "r", "t");
  if (c.has("state_time")) return c.text("state_time") === "r" ? "identity" : "literal";
  const target = c.has("_target_") ? c.text("_target_") : "";
  // As it is published (commit 7e216f5): times from noise to data, and the state at t.
  if (target === "losses.meanflow_loss.MeanFlowLoss") return "literal";
  if (target === "torch.nn.MSELoss") return "flow";
  return undefined;
}

/** What states are, by the network's shapes and what the file says of pictures. */
function samplesOf(
  config: MeanFlowConfig,
  image: ConfigReader | undefined,
  latents: boolean,
  name: string,
): Pick<MeanFlowDescription, "contents" | "pictures" | "size"> {
  if (config.arch === "zoo_mlp") return { contents: "vectors", size: [1, 1] };
  const side = "resolution" in config ? config.resolution : "size" in config ? config.size : undefined;
  const { channels } = config;
  if (side === undefined && !image)
    throw new UsageError(
      `${name}: a ${config.arch} does not say how large its pictures are; write "image": { "channels": ${channels}, "height": …, "width": … } into it`,
    );
  const rows = image ? image.count("height") : side!;
  const columns = image ? image.count("width") : side!;
  const wrong =
    (side !== undefined && (rows !== side || columns !== side)) ||
    (image && image.count("channels") !== channels);
  if (wrong)
    throw new UsageError(
      `${name}: image is ${image!.count("channels")} × ${rows} × ${columns}, and the network's states are ${channels} × ${side ?? rows} × ${side ?? columns}`,
    );
  // The autoencoder that such networks were trained behind has latents of four channels.
  const behind = latents || (!image && channels !== 1 && channels !== 3);
  if (behind) return { contents: "latents", size: [rows, columns] };
  const levels = image?.has("normalisation")
    ? readNormalisation(image.text("normalisation"), name)
    : ({ top: 255, rounding: "down" } as const);
  return {
    contents: "pictures",
    size: [rows, columns],
    pictures: { channels, rows, columns, ...levels },
  };
}

/** Metadata of a converted file, and what the field holds: a model.json. */
export const METADATA = "meanflow";

/**
 * A model.json for a checkpoint that has none.
 * @param source under the network's own keys
 * @throws UsageError saying what is not known and how to say it
 */
export function describeAlone(source: TensorSource, architecture: Architecture): Record<string, unknown> {
  const written = source.metadata?.get(METADATA);
  if (written !== undefined) {
    try {
      return JSON.parse(written) as Record<string, unknown>;
    } catch {
      throw new FormatError(`${source.name}: its metadata "${METADATA}" is not JSON`);
    }
  }
  const base = { kind: "meanflow", architecture };
  const inside = configInside(source, architecture);
  if (inside) return { ...base, ...inside };
  const { config, unknown } = derivedConfig(architecture, source.tensors);
  return { ...base, config, ...(unknown.length > 0 && { unknown }) };
}

/** @throws UsageError when something of a description is not known, with what is known */
export function refuseUnknown(json: Readonly<Record<string, unknown>>, name: string): void {
  const { unknown, ...known } = json;
  if (!Array.isArray(unknown)) return;
  throw new UsageError(
    `${name}: a ${String(known.architecture)} whose tensors do not say ${unknown.join(", ")}. ` +
      `Write a model.json beside it with these in "config": ${JSON.stringify(known)}`,
  );
}

/** Classes of kylevedder/DenoisingZoo, as its configurations name them. */
const ZOO_TARGETS: Readonly<Record<string, Architecture>> = {
  "models.unet.unet.UNet": "zoo_unet",
  "models.dit.dit.DiT": "zoo_dit",
  "models.flow_matching.mlp.MLP": "zoo_mlp",
  "models.flow_matching.cnn.SmallCNN": "zoo_cnn",
};

/** Model and loss of a configuration stored in the checkpoint; undefined where there is none. */
function configInside(
  { values, name }: TensorSource,
  architecture: Architecture,
): Record<string, unknown> | undefined {
  const model = nested(values, "config.model");
  if (!model) return undefined;
  const { _target_: target, ...config } = model;
  if (typeof target !== "string" || ZOO_TARGETS[target] !== architecture)
    throw new UsageError(
      `${name}: its configuration names the class ${JSON.stringify(target)}, and its tensors are those of a ${architecture}`,
    );
  const loss = nested(values, "config.loss");
  return { config, ...(loss && { loss }) };
}

/** What lies under a dotted name, lists as lists; undefined where nothing does. */
function nested(values: TensorSource["values"], under: string): Record<string, unknown> | undefined {
  const found = [...(values ?? [])].filter(([name]) => name.startsWith(`${under}.`));
  if (found.length === 0) return undefined;
  const tree = new Map<string, unknown>();
  for (const [name, value] of found) {
    const parts = name.slice(under.length + 1).split(".");
    let at = tree;
    for (const part of parts.slice(0, -1)) {
      const next = at.get(part);
      const below = next instanceof Map ? (next as Map<string, unknown>) : new Map<string, unknown>();
      at.set(part, below);
      at = below;
    }
    at.set(parts.at(-1)!, value);
  }
  return asJson(tree) as Record<string, unknown>;
}

function asJson(value: unknown): unknown {
  if (!(value instanceof Map)) return value;
  const entries = [...(value as Map<string, unknown>)].map(([key, inner]) => [key, asJson(inner)] as const);
  return entries.every(([key], i) => key === String(i))
    ? entries.map(([, inner]) => inner)
    : Object.fromEntries(entries);
}
