/**
 * Which policies a folder of the release offers, from file names alone. A decoder's name says all: its policy, the backbone whose
 * hidden states it was trained on, and after how many blocks they are tapped.
 *
 *     action_decoder/w2a_<policy>_v2w_<backbone>_lr<rate>_layer<L>_….pt
 *     video_backbone/v2w_<backbone>.pt
 *     dataset_statistics/<policy>.json
 */
import { FormatError, UsageError } from "../../errors.ts";

/** An action decoder with all that belongs to it; paths are relative to the folder. */
export interface Policy {
  /** as `--policy` takes it, such as `bridge` or `bridge@bridge_lora` */
  readonly name: string;
  readonly decoder: string;
  /** the backbone as the decoder's name has it, without `v2w_` and `.pt` */
  readonly backboneName: string;
  readonly backbone: string;
  /** L: the hidden states are those after this many blocks */
  readonly layer: number;
  readonly statistics: string;
}

/** A decoder's file name, taken apart. */
interface Decoder {
  readonly path: string;
  readonly policy: string;
  readonly backbone: string;
  readonly layer: number;
}

const DECODERS = "action_decoder/";
const BACKBONES = "video_backbone/";

/** Whether there is anything that `decodersOf` may understand. */
export const looksLikeDecoder = (path: string): boolean => /^action_decoder\/w2a_[^/]+\.pt$/.test(path);
export const looksLikeBackbone = (path: string): boolean => /^video_backbone\/v2w_[^/]+\.pt$/.test(path);

/** @throws FormatError for a name that does not say its backbone and layer */
function decodersOf(paths: readonly string[]): Decoder[] {
  return paths.filter(looksLikeDecoder).map((path) => {
    const stem = path.slice(DECODERS.length, -".pt".length);
    // The backbone's own name has a learning rate too, so the last one before the layer is the decoder's.
    const parts = /^w2a_(.+?)_v2w_(.+)_layer(\d+)(?:_.*)?$/.exec(stem);
    if (!parts) {
      throw new FormatError(
        `${path} does not say its backbone and layer. A decoder's name is ` +
          "w2a_<policy>_v2w_<backbone>_lr<rate>_layer<number>_….pt, as published.",
      );
    }
    const [, policy, before, layer] = parts;
    return { path, policy, backbone: before.replace(/_lr[^_]+$/, ""), layer: Number(layer) };
  });
}

/** `bridge_lora_rank256_lr1.778e-04_…` → `bridge_lora` */
const leadingName = (backbone: string): string => backbone.replace(/_(rank\d|lr\d|bsz\d|iter_\d).*$/, "");

/** From short to long; the shortest that tells the decoders of one policy apart is used. */
const NAMINGS: readonly ((d: Decoder) => string)[] = [
  (d) => d.policy,
  (d) => `${d.policy}@${leadingName(d.backbone)}`,
  (d) => `${d.policy}@${d.backbone}`,
  (d) => `${d.policy}@${d.path.slice(`${DECODERS}w2a_${d.policy}_v2w_`.length, -".pt".length)}`,
];

function named(decoders: readonly Decoder[]): { name: string; decoder: Decoder }[] {
  return decoders.map((decoder) => {
    const siblings = decoders.filter((d) => d.policy === decoder.policy);
    const naming = NAMINGS.find((name) => new Set(siblings.map(name)).size === siblings.length)!;
    return { name: naming(decoder), decoder };
  });
}

/** Names that `--policy` takes, sorted. @throws FormatError for a decoder whose name says too little */
export function policyNames(paths: readonly string[]): string[] {
  return named(decodersOf(paths))
    .map(({ name }) => name)
    .sort();
}

/**
 * The policy that is asked for, with its files.
 * @param folder for messages
 * @param asked may be left out where there is one
 * @throws UsageError when none of several is asked for, when it is not offered, or when its name is that of several; FormatError when its backbone
 *   or statistics are missing
 */
export function choosePolicy(folder: string, paths: readonly string[], asked?: string): Policy {
  const offered = named(decodersOf(paths));
  const list = offered.map(({ name }) => name).sort();
  const choose = `Choose one with --policy: ${list.join(", ")}.`;
  if (asked === undefined && offered.length !== 1)
    throw new UsageError(`${folder} holds ${list.length} policies. ${choose}`);
  // A name longer than is needed here is as good.
  const found = offered.filter(
    ({ decoder, name }) => asked === undefined || name === asked || NAMINGS.some((n) => n(decoder) === asked),
  );
  if (asked !== undefined && found.length === 0)
    throw new UsageError(refusal(folder, offered, asked, choose));
  if (found.length > 1) {
    const names = found.map(({ name }) => name).sort();
    throw new UsageError(
      `${folder} has ${found.length} policies "${asked}", which differ in the backbone they were trained on. ` +
        `Choose one with --policy: ${names.join(", ")}.`,
    );
  }
  const [{ name, decoder }] = found;
  const backbone = backboneOf(folder, paths, decoder);
  const statistics = `dataset_statistics/${decoder.policy}.json`;
  if (!paths.includes(statistics)) {
    throw new FormatError(
      `${folder} has no ${statistics}, the statistics that policy "${name}" normalises state and actions with. ` +
        "Fetch it from where the decoder came from.",
    );
  }
  return {
    name,
    decoder: decoder.path,
    backboneName: decoder.backbone,
    backbone,
    layer: decoder.layer,
    statistics,
  };
}

function refusal(
  folder: string,
  offered: readonly { name: string; decoder: Decoder }[],
  asked: string,
  choose: string,
): string {
  const [policy, backbone] = asked.split("@") as [string, string | undefined];
  const own = offered.find(({ decoder }) => decoder.policy === policy);
  if (backbone === undefined || !own) return `${folder} has no policy "${asked}". ${choose}`;
  return (
    `${folder} has no decoder of "${policy}" that was trained on the backbone "${backbone}"; its own is ` +
    `${leadingName(own.decoder.backbone)}. A decoder cannot read another backbone's hidden states. ${choose}`
  );
}

/** The decoder's own backbone; where the merged file is absent, the one with its adapters apart. */
function backboneOf(folder: string, paths: readonly string[], decoder: Decoder): string {
  const fused = `${BACKBONES}v2w_${decoder.backbone}.pt`;
  const unfused = fused.replace(/_fused\.pt$/, ".pt");
  const found = [fused, unfused].find((path) => paths.includes(path));
  if (found) return found;
  const others = paths.filter(looksLikeBackbone);
  const there = others.length > 0 ? others.join(", ") : "none";
  throw new FormatError(
    `${folder} has no ${fused}${unfused === fused ? "" : ` and no ${unfused}`}, the backbone that ${decoder.path} was trained on ` +
      `(there: ${there}). A decoder cannot read another backbone's hidden states; fetch its own.`,
  );
}
