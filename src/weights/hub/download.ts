/**
 * One file from the Hub into a place that may hold its beginning already: resumed by range after every kind of
 * interruption, and verified by size and hash before the caller may give it its name. The same for Node and OPFS.
 */
import { HubError } from "../../errors.ts";
import { fileUrl, type HubFile } from "./api.ts";
import { type HubClient } from "./client.ts";
import { bodyChunks, describeFailure, pause, request } from "./http.ts";

/** A file under construction. */
export interface PartialFile {
  /** bytes that are there from an earlier run */
  readonly length: number;
  /** what the file holds now, read from it */
  contents(): AsyncIterable<Uint8Array>;
  append(bytes: Uint8Array): Promise<void>;
  /** returns when all that was appended is in the file */
  flush(): Promise<void>;
  /** back to no bytes */
  clear(): Promise<void>;
}

export interface Hasher {
  update(bytes: Uint8Array): unknown;
  /** lower-case hexadecimal */
  hex(): string;
}

/** A fresh hash of the algorithm. */
export type NewHasher = (algorithm: "sha256" | "sha1") => Hasher;

/**
 * Completes `part` to the whole file.
 * @param onBytes told of every change of what is there, negative when something had to be thrown away
 * @throws HubError if the Hub cannot give it, or gives something else twice
 */
export async function downloadFile(
  client: HubClient,
  repo: string,
  commit: string,
  file: HubFile,
  part: PartialFile,
  newHasher: NewHasher,
  onBytes: (count: number) => void = () => {},
): Promise<void> {
  let { length } = part;
  const restart = async () => {
    await part.clear();
    onBytes(-length);
    length = 0;
  };
  onBytes(length);
  if (length > file.size) await restart();

  const url = fileUrl(client, repo, commit, file.path);
  for (let mismatches = 0; ; mismatches++) {
    for (let failures = 0; length < file.size;) {
      const before = length;
      const range: Record<string, string> = length > 0 ? { range: `bytes=${length}-` } : {};
      const response = await request(client, url, { repo, what: file.path }, range);
      if (length > 0 && !continuesAt(response, length)) await restart();
      const lost = await receive(response, client.retry.idleMs, async (chunk) => {
        if (length + chunk.byteLength > file.size) throw tooLong(repo, file);
        await part.append(chunk);
        length += chunk.byteLength;
        onBytes(chunk.byteLength);
      });
      if (length === file.size) break;
      failures = length > before ? 1 : failures + 1;
      if (failures >= client.retry.attempts) throw lostForGood(repo, file, length, failures, lost);
      await pause(client, failures, lost);
    }
    await part.flush();
    if (await holds(part, file, newHasher)) return;
    // A stretch of zeros after a power cut, or a proxy's page saved as content: once more from the start.
    if (mismatches > 0) throw mismatch(repo, file);
    await restart();
  }
}

/** Size and hash of what lies in the file, not of what was sent to it. */
async function holds(part: PartialFile, file: HubFile, newHasher: NewHasher): Promise<boolean> {
  const hash = newHasher(file.algorithm === "sha256" ? "sha256" : "sha1");
  // A git blob id is the sha1 of this line followed by the content.
  if (file.algorithm === "git-sha1") hash.update(new TextEncoder().encode(`blob ${file.size}\0`));
  let bytes = 0;
  for await (const chunk of part.contents()) {
    hash.update(chunk);
    bytes += chunk.byteLength;
  }
  return bytes === file.size && hash.hex() === file.hash;
}

function continuesAt(response: Response, offset: number): boolean {
  const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
  return response.status === 206 && Number(start) === offset;
}

/** Feeds the body to `take`; returns why it ended. What `take` throws is passed on, a lost connection is not. */
async function receive(
  response: Response,
  idleMs: number,
  take: (chunk: Uint8Array) => Promise<void>,
): Promise<string> {
  const chunks = bodyChunks(response, idleMs)[Symbol.asyncIterator]();
  try {
    for (;;) {
      let next: IteratorResult<Uint8Array>;
      try {
        next = await chunks.next();
      } catch (error) {
        return describeFailure(error);
      }
      if (next.done) return "the connection ended early";
      await take(next.value);
    }
  } finally {
    await chunks.return?.();
  }
}

function tooLong(repo: string, file: HubFile): HubError {
  return new HubError(
    `${repo}: ${file.path} goes on after its ${file.size} bytes; what arrives is not the file listed. Run again.`,
  );
}

function lostForGood(
  repo: string,
  file: HubFile,
  length: number,
  failures: number,
  reason: string,
): HubError {
  return new HubError(
    `${repo}: ${file.path} stopped at ${length} of ${file.size} bytes, ${failures} times in a row (${reason}). ` +
      "Run again to resume from there.",
  );
}

function mismatch(repo: string, file: HubFile): HubError {
  return new HubError(
    `${repo}: ${file.path} arrived twice with another ${file.algorithm} than the listed ${file.hash}; it was not kept. ` +
      "A proxy or mirror between here and the Hub may change it: check HF_ENDPOINT.",
  );
}
