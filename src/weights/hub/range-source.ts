/** A file on the Hub read by HTTP ranges, so that headers can be looked at without a download. */
import { HubError } from "../../errors.ts";
import { type ByteSource, checkRange } from "../source.ts";
import { fileUrl, type HubFile } from "./api.ts";
import { type HubClient } from "./client.ts";
import { bodyChunks, describeFailure, pause, request } from "./http.ts";

/** The server, a mirror perhaps, does not answer ranges. */
export class WholeFilesOnlyError extends HubError {}

/** The file as a byte source; each read is one request, repeated where the connection is lost. */
export function rangeSource(
  client: HubClient,
  repo: string,
  commit: string,
  file: Pick<HubFile, "path" | "size">,
): ByteSource {
  const url = fileUrl(client, repo, commit, file.path);
  const source: ByteSource = {
    name: `${repo}:${file.path}`,
    size: file.size,
    read: async (offset, length) => {
      checkRange(source, offset, length);
      if (length === 0) return new Uint8Array(0);
      const range = { range: `bytes=${offset}-${offset + length - 1}` };
      for (let failures = 1; ; failures++) {
        const response = await request(client, url, { repo, what: file.path }, range);
        const bytes = await readExactly(response, offset, length, client.retry.idleMs, source.name);
        if (bytes instanceof Uint8Array) return bytes;
        if (failures >= client.retry.attempts) {
          throw new HubError(
            `${source.name}: ${bytes}, ${failures} times at byte ${offset}. Run again later.`,
          );
        }
        await pause(client, failures, bytes);
      }
    },
  };
  return source;
}

/**
 * The same for a file that no listing was asked for: its size comes with its first byte. Lists of a repository with a hundred thousand
 * files are larger than what is read of one.
 */
export async function unlistedSource(
  client: HubClient,
  repo: string,
  commit: string,
  path: string,
): Promise<ByteSource> {
  const response = await request(
    client,
    fileUrl(client, repo, commit, path),
    { repo, what: path },
    { range: "bytes=0-0" },
  );
  await response.body?.cancel().catch(() => {});
  const size = Number(/^bytes \d+-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1]);
  if (response.status === 206 && Number.isSafeInteger(size))
    return rangeSource(client, repo, commit, { path, size });
  throw new WholeFilesOnlyError(
    `${repo}:${path}: the server sends whole files only (status ${response.status} for a range). Download the files instead.`,
  );
}

/** The bytes, or why they did not come. */
async function readExactly(
  response: Response,
  offset: number,
  length: number,
  idleMs: number,
  name: string,
): Promise<Uint8Array | string> {
  if (response.status !== 206) {
    await response.body?.cancel().catch(() => {});
    throw new WholeFilesOnlyError(
      `${name}: the server sends whole files only (status ${response.status} for a range). Download the model instead.`,
    );
  }
  const bytes = new Uint8Array(length);
  let filled = 0;
  try {
    for await (const chunk of bodyChunks(response, idleMs)) {
      if (filled + chunk.byteLength > length) return "more arrived than was asked for";
      bytes.set(chunk, filled);
      filled += chunk.byteLength;
    }
  } catch (error) {
    return describeFailure(error);
  }
  return filled === length ? bytes : `only ${filled} of ${length} bytes arrived from ${offset}`;
}
