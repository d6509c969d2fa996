/**
 * Finished episodes on disk: `units/episode-000012.safetensors`, one file each, with the fingerprint of everything
 * its numbers depend on in the file's metadata. A file appears only when it is whole, so what is listed is finished.
 */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, UsageError } from "../../errors.ts";
import { openFile } from "../../weights/files.node.ts";
import { encodeSafetensors, openSafetensors } from "../../weights/safetensors.ts";
import { joined, RESULT_FILES, writeAtomic } from "./files.node.ts";
import type { EpisodeMeasurement, Fingerprint, UnitStore } from "../experiment/measurement.ts";

/** Raised when the layout of a unit changes, so that older units are refused and not misread. */
const UNIT_VERSION = "3";

const ARRAYS = [
  "actions",
  "dataActions",
  "iterates",
  "oneJump",
  "zeroedContext",
  "otherContext",
  "truth",
  "dataTruth",
  "holdStill",
  "oracle",
  "dataOracle",
  "budgetActions",
  "dataBudgetActions",
  "ruleActions",
  "samples",
  "shuffledContext",
  "tapCosine",
  "tapCosineNull",
  "tapCka",
  "tapCkaNull",
  "tapDrift",
  "velocityChange",
  "flowResidual",
  "flowSpeed",
  "flowBend",
] as const;
type UnitArrays = Pick<EpisodeMeasurement, (typeof ARRAYS)[number]>;
const OPTIONAL: readonly string[] = [
  ...["truth", "dataTruth", "holdStill", "oracle", "dataOracle"],
  ...["budgetActions", "dataBudgetActions", "ruleActions", "samples", "shuffledContext"],
  ...["tapCosine", "tapCosineNull", "tapCka", "tapCkaNull", "tapDrift", "velocityChange"],
  ...["flowResidual", "flowSpeed", "flowBend"],
];

/** A store in a folder that also counts what it holds, for the message after an interrupt. */
export interface FolderStore extends UnitStore {
  /** Episodes finished so far, in this run or before. */
  finished(): number[];
  /** Episodes that this run measures; undefined before `begin`. */
  total(): number | undefined;
}

/** @param out the output folder; units lie in `units/` under it. */
export function folderStore(out: string): FolderStore {
  const folder = join(out, RESULT_FILES.units);
  const finished = new Set<number>();
  let fingerprint: Fingerprint | undefined;
  let share: readonly number[] | undefined;
  const list = () => Array.from(finished).sort((a, b) => a - b);
  const pathOf = (episode: number) => join(folder, `episode-${String(episode).padStart(6, "0")}.safetensors`);

  return {
    async begin(expected, episodes) {
      await mkdir(folder, { recursive: true });
      for (const name of (await readdir(folder)).sort()) {
        const match = /^episode-(\d+)\.safetensors$/.exec(name);
        if (!match) continue;
        // A damaged one is computed again, and written over.
        const unit = await readUnit(join(folder, name)).catch((error: unknown) => {
          if (error instanceof FormatError) return undefined;
          throw error;
        });
        if (!unit) continue;
        refuseDifference(join(folder, name), JSON.parse(unit.metadata.fingerprint) as Fingerprint, expected);
        finished.add(Number(match[1]));
      }
      fingerprint = expected;
      share = episodes ?? (Array.isArray(expected.episodes) ? (expected.episodes as number[]) : undefined);
      return list();
    },
    async load(episode) {
      if (!finished.has(episode)) return undefined;
      return (await readUnit(pathOf(episode))).measurement;
    },
    async save(measurement) {
      if (!fingerprint)
        throw new UsageError("A unit was saved before the store was begun; call begin first.");
      await writeAtomic(pathOf(measurement.episode), await encodeUnit(measurement, fingerprint));
      finished.add(measurement.episode);
    },
    finished: () => list().filter((episode) => share?.includes(episode) ?? true),
    total: () => share?.length,
  };
}

async function encodeUnit(measurement: EpisodeMeasurement, fingerprint: Fingerprint): Promise<Uint8Array> {
  const tensors = ARRAYS.flatMap((name) => {
    const array = measurement[name];
    return array ? [{ name, dtype: "F32" as const, shape: [array.length], data: joined([array]) }] : [];
  });
  const { episode, id, prompt, labels, truthPositions, variants, videoSeeds, tapSample, flops } = measurement;
  return encodeSafetensors(tensors, {
    version: UNIT_VERSION,
    unit: JSON.stringify({
      episode,
      id,
      prompt,
      labels,
      truthPositions,
      variants,
      videoSeeds,
      tapSample,
      flops,
    }),
    fingerprint: JSON.stringify(fingerprint),
  });
}

async function readUnit(
  path: string,
): Promise<{ measurement: EpisodeMeasurement; metadata: { fingerprint: string } }> {
  const file = await openFile(path);
  try {
    const source = await openSafetensors(file);
    const { metadata, tensors } = source;
    const [version, unit, fingerprint] = ["version", "unit", "fingerprint"].map((key) => metadata.get(key));
    const missing = ARRAYS.filter((name) => !OPTIONAL.includes(name) && !tensors.has(name));
    if (version !== UNIT_VERSION || !unit || !fingerprint || missing.length > 0)
      throw new FormatError(
        `${path} is no finished episode of this version (${version ?? "none"}, ${UNIT_VERSION} is needed). ` +
          "Remove it to have the episode computed again.",
      );
    const arrays = new Map<string, Float32Array>();
    // A copy, because the bytes of a file may begin anywhere and float32 needs a multiple of 4.
    for (const name of ARRAYS)
      if (tensors.has(name))
        arrays.set(name, new Float32Array(new Uint8Array(await source.read(name)).buffer));
    const header = JSON.parse(unit) as Pick<
      EpisodeMeasurement,
      | "episode"
      | "id"
      | "prompt"
      | "labels"
      | "truthPositions"
      | "variants"
      | "videoSeeds"
      | "tapSample"
      | "flops"
    >;
    const measurement = { ...header, ...(Object.fromEntries(arrays) as unknown as UnitArrays) };
    return { measurement, metadata: { fingerprint } };
  } finally {
    await file.close?.();
  }
}

function refuseDifference(path: string, stored: Fingerprint, expected: Fingerprint): void {
  const names = Array.from(new Set([...Object.keys(expected), ...Object.keys(stored)]));
  const differences = names.flatMap((name) => {
    const [there, here] = [stored[name], expected[name]].map((value) => JSON.stringify(value) ?? "nothing");
    return there === here ? [] : [`${name} was ${there} and is now ${here}`];
  });
  if (differences.length > 0)
    throw new UsageError(
      `${path} was measured with other settings: ${differences.join("; ")}. ` +
        "Resume with the settings it was measured with, or name another --out.",
    );
}
