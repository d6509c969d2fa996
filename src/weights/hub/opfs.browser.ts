/**
 * Checkpoints from the Hub in the browser's own file system (OPFS): the same download, resumed by range and verified,
 * as on disk. Blobs are kept by hash, so a file that two models share, or that moved, is not fetched twice.
 *
 *     <origin's OPFS>/hub/<hash>                complete and verified
 *                         <hash>.incomplete     under construction
 *
 * Only async handles are used, so it works on the page as in a worker.
 */
import { FormatError, HubError } from "../../errors.ts";
import { blobSource } from "../blob.ts";
import { formatBytes } from "../listing.ts";
import { type ByteSource } from "../source.ts";
import { contentName, fileUrl, type HubFile, listTree, resolveRevision } from "./api.ts";
import { downloadFile, type PartialFile } from "./download.ts";
import { streamingHasher } from "./hash.ts";
import { defaultRetry, type HubClient } from "./client.ts";
import { neededFiles } from "./needed.ts";
import { type Progress } from "./progress.ts";
import { type HubRef } from "./ref.ts";
import { type Choose, remoteFiles } from "./remote-files.ts";

export interface BrowserFetchOptions {
  /** of the person who runs the page; never ship one with it */
  readonly token?: string;
  readonly endpoint?: string;
  readonly onProgress?: (progress: Progress) => void;
  /** chooses among the files, shown by ranges, by their paths; default: what `neededFiles` finds */
  readonly choose?: Choose;
  /** for tests; the browser's by default */
  readonly storage?: StorageManager;
  readonly client?: Partial<HubClient>;
}

/** Bytes gathered before a write is committed: each commit copies the file in some browsers. */
const commitBytes = 32 * 1024 * 1024;

/**
 * Brings the files that `ref` needs into OPFS.
 * @returns byte sources by their path below the model, opened from OPFS: nothing is held in memory
 * @throws HubError, also when the browser's quota has no room, with the numbers
 */
export async function fetchModelToOpfs(
  ref: HubRef,
  options: BrowserFetchOptions = {},
): Promise<ReadonlyMap<string, ByteSource>> {
  const storage = options.storage ?? navigator.storage;
  const client: HubClient = {
    endpoint: options.endpoint ?? "https://huggingface.co",
    token: options.token,
    // Unbound, a browser refuses to call it.
    fetch: (...request) => globalThis.fetch(...request),
    retry: defaultRetry,
    ...options.client,
  };
  const folder = await (await storage.getDirectory()).getDirectoryHandle("hub", { create: true });
  const commit = await resolveRevision(client, ref.repo, ref.revision);
  const tree = await listTree(client, ref.repo, commit);
  const fetchOne = (file: HubFile, onBytes: (count: number) => void) =>
    fetchBlob(client, ref.repo, commit, folder, file, onBytes, storage);
  const text = async (file: HubFile): Promise<string> => (await fetchOne(file, () => {})).text();
  const needed = options.choose
    ? await remoteFiles(client, ref, commit, tree, async (file) =>
        parsed(await text(file), `${ref.repo}:${file.path}`),
      ).chosen(options.choose)
    : await neededFiles(ref.repo, tree, ref.path, text);

  const missing: HubFile[] = [];
  for (const file of needed) if ((await existing(folder, file)) === undefined) missing.push(file);
  const progress: Progress = {
    name: ref.repo,
    totalBytes: missing.reduce((sum, { size }) => sum + size, 0),
    totalFiles: missing.length,
    bytes: 0,
    files: 0,
  };
  let lacking = 0;
  for (const file of missing) lacking += file.size - (await begunBytes(folder, file));
  await reserve(storage, lacking);
  for (const file of missing) {
    await fetchOne(file, (count) => {
      progress.bytes += count;
      options.onProgress?.(progress);
    });
    progress.files++;
    options.onProgress?.(progress);
  }

  const root = ref.path === "" ? "" : `${ref.path}/`;
  const sources = new Map<string, ByteSource>();
  for (const file of needed) {
    const blob = await existing(folder, file);
    const path = file.path.startsWith(root) ? file.path.slice(root.length) : file.path;
    sources.set(path, blobSource(blob!, `${ref.repo}:${file.path}`));
  }
  return sources;
}

/** @throws FormatError with the file's name */
function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new FormatError(`${where} is not JSON: ${(error as Error).message}`);
  }
}

/**
 * Asks that the browser does not clear what is stored, and refuses what its quota cannot take.
 * @throws HubError with what is needed and what is left
 */
async function reserve(storage: StorageManager, needed: number): Promise<void> {
  if (needed === 0) return;
  // Without permission the files may be cleared under pressure and are fetched again: no reason to stop.
  await storage.persist?.().catch(() => false);
  const { quota, usage = 0 } = await storage.estimate();
  if (quota !== undefined && quota - usage < needed) throw noRoom(needed, quota - usage);
}

function noRoom(needed: number, left: number | undefined): HubError {
  const room = left === undefined ? "" : `, and this site may store ${formatBytes(Math.max(0, left))} more`;
  return new HubError(
    `${formatBytes(needed)} are to be stored in the browser${room}. Free disk space, or clear this site's data; ` +
      "private windows allow least.",
  );
}

async function existing(folder: FileSystemDirectoryHandle, file: HubFile): Promise<File | undefined> {
  const handle = await folder.getFileHandle(contentName(file)).catch(() => undefined);
  const blob = await handle?.getFile();
  return blob?.size === file.size ? blob : undefined;
}

/** Bytes of it that an earlier visit has left, and that need no further room. */
async function begunBytes(folder: FileSystemDirectoryHandle, file: HubFile): Promise<number> {
  const handle = await folder.getFileHandle(`${contentName(file)}.incomplete`).catch(() => undefined);
  const { size } = (await handle?.getFile()) ?? { size: 0 };
  return size > file.size ? 0 : size;
}

async function fetchBlob(
  client: HubClient,
  repo: string,
  commit: string,
  folder: FileSystemDirectoryHandle,
  file: HubFile,
  onBytes: (count: number) => void,
  storage: StorageManager,
): Promise<File> {
  // A second tab that asks for the same waits for the first: both would write one file.
  const locks = (globalThis.navigator as Partial<Navigator> | undefined)?.locks;
  const fetched = () => fetchAlone(client, repo, commit, folder, file, onBytes, storage);
  return locks === undefined ? fetched() : locks.request(`mimic-video hub ${file.hash}`, fetched);
}

async function fetchAlone(
  ...[client, repo, commit, folder, file, onBytes, storage]: Parameters<typeof fetchBlob>
) {
  const present = await existing(folder, file);
  if (present !== undefined) return present;
  const part = await OpfsPartial.open(folder, file, storage);
  try {
    await downloadFile(client, repo, commit, file, part, streamingHasher, onBytes);
  } finally {
    await part.flush();
  }
  await part.finish();
  const complete = await existing(folder, file);
  if (complete !== undefined) return complete;
  throw new HubError(`${fileUrl(client, repo, commit, file.path)}: stored, but gone again. Reload the page.`);
}

/** A file under construction in OPFS. */
class OpfsPartial implements PartialFile {
  readonly #folder: FileSystemDirectoryHandle;
  readonly #file: HubFile;
  readonly #storage: StorageManager;
  readonly #handle: FileSystemFileHandle;
  readonly length: number;
  #written: number;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  private constructor(
    folder: FileSystemDirectoryHandle,
    file: HubFile,
    storage: StorageManager,
    handle: FileSystemFileHandle,
    length: number,
  ) {
    this.#folder = folder;
    this.#file = file;
    this.#storage = storage;
    this.#handle = handle;
    this.length = this.#written = length;
  }

  static async open(
    folder: FileSystemDirectoryHandle,
    file: HubFile,
    storage: StorageManager,
  ): Promise<OpfsPartial> {
    const handle = await folder.getFileHandle(`${file.hash}.incomplete`, { create: true });
    return new OpfsPartial(folder, file, storage, handle, (await handle.getFile()).size);
  }

  async *contents(): AsyncIterable<Uint8Array> {
    const blob = await this.#handle.getFile();
    for (let at = 0; at < blob.size; at += commitBytes) {
      yield new Uint8Array(await blob.slice(at, at + commitBytes).arrayBuffer());
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes.slice());
    this.#pendingBytes += bytes.byteLength;
    if (this.#pendingBytes >= commitBytes) await this.flush();
  }

  /** Commits what was gathered; what a closed tab loses is less than `commitBytes`. */
  async flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const [pending, bytes] = [this.#pending, this.#pendingBytes];
    [this.#pending, this.#pendingBytes] = [[], 0];
    try {
      const writable = await this.#handle.createWritable({ keepExistingData: true });
      await writable.seek(this.#written);
      for (const chunk of pending) await writable.write(chunk as Uint8Array<ArrayBuffer>);
      await writable.close();
      this.#written += bytes;
    } catch (error) {
      if ((error as DOMException).name !== "QuotaExceededError") throw error;
      const { quota, usage = 0 } = await this.#storage.estimate();
      throw noRoom(this.#file.size - this.#written, quota === undefined ? undefined : quota - usage);
    }
  }

  async clear(): Promise<void> {
    [this.#pending, this.#pendingBytes, this.#written] = [[], 0, 0];
    const writable = await this.#handle.createWritable();
    await writable.close();
  }

  /** Gives the verified file its name: renamed where the browser can, copied where it cannot. */
  async finish(): Promise<void> {
    const handle = this.#handle as FileSystemFileHandle & { move?: (name: string) => Promise<void> };
    if (handle.move !== undefined) return handle.move(this.#file.hash);
    const target = await this.#folder.getFileHandle(this.#file.hash, { create: true });
    const writable = await target.createWritable();
    await (await this.#handle.getFile()).stream().pipeTo(writable);
    await this.#folder.removeEntry(`${this.#file.hash}.incomplete`);
  }
}
