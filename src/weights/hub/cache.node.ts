/**
 * The cache of the Python client, shared with it in both directions (layout from its documentation, "Understand
 * caching"):
 *
 *     <cache>/models--owner--name/refs/<revision>              the commit id, as text
 *                                 blobs/<hash>                 contents; sha256 or git blob id
 *                                 snapshots/<commit>/<path>    relative symlinks to ../../blobs/<hash>
 *
 * A blob under its name is complete and verified; what is under construction has other names (`partial.node.ts`).
 */
import { randomBytes } from "node:crypto";
import {
  copyFile,
  mkdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { HubError } from "../../errors.ts";
import { contentName, DATASETS, type HubFile } from "./api.ts";
import { explainDisk, isReadOnly } from "./disk.ts";
import { type Machine, thisMachine } from "./machine.node.ts";
import { leftoverBytes, openPartialBlob, type PartialBlob } from "./partial.node.ts";
import { isSafePath } from "./ref.ts";

/** Part of a temporary name that nobody else uses, in this process, another container or on another host. */
const ownName = (): string => randomBytes(8).toString("hex");

/** Folders of one repository in the cache. */
export class RepoCache {
  readonly folder: string;

  constructor(
    cache: string,
    repo: string,
    readonly machine: Machine = thisMachine(),
  ) {
    // A data set's name begins with its kind, as in `datasets--owner--name`.
    const kind = repo.startsWith(DATASETS) ? "" : "models--";
    this.folder = join(cache, `${kind}${repo.replaceAll("/", "--")}`);
  }

  /** The commit a revision stood for when last asked. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    if (!isSafePath(revision)) return undefined;
    const text = await readFile(join(this.folder, "refs", revision), "utf8").catch(() => undefined);
    return text !== undefined && /^[0-9a-f]{40}$/.test(text.trim()) ? text.trim() : undefined;
  }

  /** Notes the commit of a branch or tag; without effect if the cache is read-only or someone else's. */
  async noteCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.commitOf(revision)) === commit) return;
    const path = join(this.folder, "refs", revision);
    try {
      await mkdir(dirname(path), { recursive: true });
      const fresh = `${path}.${ownName()}`;
      await writeFile(fresh, commit);
      await rename(fresh, path);
    } catch (error) {
      if (!isReadOnly(error)) throw explainDisk(error, path);
    }
  }

  /** Where files of a commit appear under their own names. */
  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** @throws HubError if the file was not listed with a hash */
  blob(file: HubFile): string {
    return join(this.folder, "blobs", contentName(file));
  }

  /** Whether the file is there under its name, with its length. */
  async has(commit: string, file: HubFile): Promise<boolean> {
    contentName(file);
    const stats = await stat(join(this.snapshot(commit), file.path)).catch(() => undefined);
    return stats?.isFile() === true && stats.size === file.size;
  }

  /** Those of `files` that are not there. */
  async missing(commit: string, files: readonly HubFile[]): Promise<HubFile[]> {
    const missing: HubFile[] = [];
    for (const file of files) if (!(await this.has(commit, file))) missing.push(file);
    return missing;
  }

  /** Whether its content is there, perhaps under another commit. A blob of another length is not the file. */
  async hasBlob(file: HubFile): Promise<boolean> {
    const stats = await stat(this.blob(file)).catch(() => undefined);
    return stats?.isFile() === true && stats.size === file.size;
  }

  /**
   * Gives a complete blob its name in the snapshot.
   * @throws HubError if a folder on the way is a link that leads out of the snapshot
   */
  async link(commit: string, file: HubFile): Promise<void> {
    const pointer = join(this.snapshot(commit), file.path);
    try {
      await mkdir(dirname(pointer), { recursive: true });
      const expected = join(await realpath(this.folder), "snapshots", commit, dirname(file.path));
      const actual = await realpath(dirname(pointer));
      if (actual !== expected) {
        throw new HubError(
          `${dirname(pointer)} leads to ${actual}; files are not written through links. Remove it.`,
        );
      }
      const target = relative(dirname(pointer), this.blob(file));
      if ((await readlink(pointer).catch(() => undefined)) === target) return;
      const fresh = `${pointer}.${ownName()}.link`;
      await rm(fresh, { force: true });
      // Windows allows links to few; a second copy is what the Python client falls back to as well.
      await symlink(target, fresh).catch(() => copyFile(this.blob(file), fresh));
      await rename(fresh, pointer);
    } catch (error) {
      throw error instanceof HubError ? error : explainDisk(error, pointer);
    }
  }

  /** Opens a file for the blob that nobody else writes, with what earlier downloads left of it. */
  async openPartial(file: HubFile): Promise<PartialBlob> {
    const blob = this.blob(file);
    try {
      await mkdir(dirname(blob), { recursive: true });
    } catch (error) {
      throw explainDisk(error, dirname(blob));
    }
    return openPartialBlob(blob, this.machine);
  }

  /** Bytes of it that are still to be fetched: earlier downloads may have left a beginning. */
  async lackingBytes(file: HubFile): Promise<number> {
    return file.size - (await leftoverBytes(this.blob(file), file.size, this.machine));
  }
}
