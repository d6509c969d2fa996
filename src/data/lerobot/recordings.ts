/** A data set with what was chosen of it: what a system is handed in place of a folder of its own episodes. */
import { UsageError } from "../../errors.ts";
import { streamingHasher } from "../../weights/hub/hash.ts";
import { readText } from "./files.ts";
import { type Camera, type Vector } from "./info.ts";
import { named } from "./episode.ts";
import type { LeRobotSet } from "./set.ts";
import type { WindowChoice } from "./windows.ts";

export interface Choices extends WindowChoice {
  /** keys of cameras, in the order of the model's */
  readonly cameras?: readonly string[];
  readonly state?: string;
  readonly action?: string;
  /** how states and actions are meant: a name that the system knows, or what a mapping file says */
  readonly embodiment?: unknown;
  /** windows that will be asked for: how many from the first on, or which; default all */
  readonly asked?: number | readonly number[];
}

export class Recordings {
  readonly set: LeRobotSet;
  readonly choices: Choices;

  constructor(set: LeRobotSet, choices: Choices = {}) {
    this.set = set;
    this.choices = choices;
  }

  /** `owner/name@commit`, or the folder's name */
  get name(): string {
    const { name, revision } = this.set.files;
    return revision === "unversioned" ? name : `${name}@${revision}`;
  }

  /**
   * The cameras that were chosen, or the only ones there are.
   * @param count as many as the model sees
   * @throws UsageError listing what exists
   */
  cameras(count: number): readonly Camera[] {
    const { set, choices } = this;
    const keys = choices.cameras ?? (set.cameras.length === count ? set.cameras.map(({ key }) => key) : []);
    if (keys.length !== count) {
      const has = set.cameras.map(({ key, height, width }) => `${key} (${height}×${width})`).join(", ");
      const depth = set.info.depth.length > 0 ? ` Depth is no picture: ${set.info.depth.join(", ")}.` : "";
      throw new UsageError(
        `the model sees ${count} camera${count > 1 ? "s" : ""}${choices.cameras ? `, ${keys.length} were named` : ""}; ` +
          `${set.name} has ${has || "none"}.${depth} Choose with --camera.`,
      );
    }
    return keys.map((key) => named(set.cameras, key, "camera", set.name));
  }

  /** @throws UsageError listing what exists */
  vector(which: "state" | "action"): Vector {
    const { set, choices } = this;
    const usual = which === "state" ? "observation.state" : "action";
    const key = choices[which] ?? usual;
    const chosen = set.vectors.find((vector) => vector.key === key);
    if (chosen) return chosen;
    const has = set.vectors.map(({ key: k, size }) => `${k} (${size})`).join(", ");
    throw new UsageError(
      `${set.name} has no vector "${key}"; it has ${has || "none"}. Choose with --${which}.`,
    );
  }

  /**
   * The same, of the size that the model takes.
   * @throws UsageError with both sizes and the names of the numbers
   */
  vectorOf(which: "state" | "action", size: number): Vector {
    const vector = this.vector(which);
    if (vector.size === size) return vector;
    const names = vector.names ? ` (${vector.names.join(", ")})` : "";
    const others = this.set.vectors.filter((other) => other.size === size).map(({ key }) => key);
    throw new UsageError(
      `${this.set.name}: ${vector.key} has ${vector.size} numbers${names}, the model's ${which} has ${size}. ` +
        (others.length > 0
          ? `Of that size are ${others.join(", ")}: --${which}.`
          : "No vector of the set has that size."),
    );
  }

  /**
   * 64 hex digits over what decides the windows: the commit and the choices; of a folder without a commit, all its metadata, which hold
   * the statistics of every episode.
   */
  async sha256(): Promise<string> {
    const { files } = this.set;
    const hash = streamingHasher("sha256");
    const add = (text: string): void => void hash.update(new TextEncoder().encode(`${text}\n`));
    add(this.name);
    const decisive = Object.entries(this.choices).filter(
      ([key, value]) => key !== "asked" && value !== undefined,
    );
    add(JSON.stringify(decisive.sort(([a], [b]) => (a < b ? -1 : 1))));
    if (files.revision === "unversioned") {
      for (const path of await files.list("meta")) {
        add(path);
        const source = await files.bytes(path);
        hash.update(await source.read(0, source.size));
        await source.close?.();
      }
    } else add(await readText(files, "meta/info.json"));
    return hash.hex();
  }

  close(): Promise<void> {
    return this.set.close();
  }
}

/** Windows of one recording are no evidence of their own: where there are several, they say which it is. */
export const labelsOf = ({ choices }: Recordings, episode: number): Readonly<Record<string, string>> =>
  choices.every === undefined ? {} : { recording: `episode ${episode}` };

/** How many actions of a chunk were recorded, where that is not all: those behind the end of an episode repeat its last. */
export function positionsOf(recorded: readonly boolean[]): { readonly truthPositions?: number } {
  const end = recorded.indexOf(false);
  return end < 0 ? {} : { truthPositions: end };
}
