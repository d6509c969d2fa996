/**
 * Finished trials on disk: `trials/stop-0005-scenes-000008.json`, a file for the scenes that ran side by side at one stop, with the
 * fingerprint of everything they depend on. A file appears only when it is whole.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../../errors.ts";
import { writeAtomic } from "../../probe/result/files.node.ts";
import { formatJson } from "../../probe/result/json.ts";
import type { TrialKeeper } from "../../rollout/run.ts";
import type { Maker } from "../../probe/result/made-by.ts";
import type { Trial } from "../../rollout/trial.ts";
import type { World } from "../../worlds/world.ts";
import type { RolloutCommand } from "./options.ts";

/** Every value that decides how a trial goes, by name. */
export type Fingerprint = Readonly<Record<string, string | number>>;

/** Of what decides how the trials of a command go. */
export function fingerprintOf(
  { settings: { seed }, frozen }: Pick<RolloutCommand, "settings" | "frozen">,
  { model, device, versions }: Maker,
  world: Pick<World, "name" | "dataSha256">,
): Fingerprint {
  return {
    weights: model.weightsSha256,
    device: `${device.name}, ${device.driver}`,
    project: versions.project,
    world: world.name,
    ...(world.dataSha256 === undefined ? {} : { data: world.dataSha256 }),
    // As they were named: other frozen parts see other things.
    ...(frozen === undefined ? {} : { frozen }),
    seed,
  };
}

interface Unit {
  readonly fingerprint: Fingerprint;
  readonly trials: readonly Trial[];
}

export const TRIALS_FOLDER = "trials";

export class TrialStore implements TrialKeeper {
  readonly #folder: string;
  readonly #fingerprint: Fingerprint;

  constructor(out: string, fingerprint: Fingerprint) {
    this.#folder = join(out, TRIALS_FOLDER);
    this.#fingerprint = fingerprint;
  }

  /**
   * The trials of these scenes at a stop, if they were finished before; a damaged file counts as none.
   * @throws UsageError when they ran with other settings
   */
  async load(stop: number, scenes: readonly number[]): Promise<readonly Trial[] | undefined> {
    const path = this.#path(stop, scenes);
    const text = await readFile(path, "utf8").catch(() => undefined);
    if (text === undefined) return undefined;
    const unit = unitOf(text);
    if (!unit) return undefined;
    const names = new Set([...Object.keys(unit.fingerprint), ...Object.keys(this.#fingerprint)]);
    for (const name of names) {
      const [was, is] = [unit.fingerprint[name], this.#fingerprint[name]];
      if (was !== is)
        throw new UsageError(
          `${path} ran with other settings: ${name} was ${was ?? "nothing"} and is now ${is ?? "nothing"}. ` +
            "Resume with the settings it ran with, or name another --out.",
        );
    }
    const complete = unit.trials.map(({ scene }) => scene).join() === scenes.join();
    return complete ? unit.trials : undefined;
  }

  async save(stop: number, scenes: readonly number[], trials: readonly Trial[]): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await writeAtomic(this.#path(stop, scenes), formatJson({ fingerprint: this.#fingerprint, trials }));
  }

  #path(stop: number, [first]: readonly number[]): string {
    const [k, scene] = [String(stop).padStart(4, "0"), String(first).padStart(6, "0")];
    return join(this.#folder, `stop-${k}-scenes-${scene}.json`);
  }
}

/** Undefined where a file was cut off or is something else. */
function unitOf(text: string): Unit | undefined {
  try {
    const { fingerprint, trials } = JSON.parse(text) as Partial<Unit>;
    return fingerprint && Array.isArray(trials) ? { fingerprint, trials } : undefined;
  } catch {
    return undefined;
  }
}

/** How many files of finished trials lie in a folder. */
export async function finishedUnits(out: string): Promise<number> {
  const names = await readdir(join(out, TRIALS_FOLDER)).catch(() => [] as string[]);
  return names.filter((name) => name.endsWith(".json")).length;
}
