/**
 * Two calls of the Hub's public API: a revision to its commit, and the files of a commit. Facts from the Hub's
 * API documentation: `/api/models/{repo}/revision/{revision}` and `/api/models/{repo}/tree/{revision}` (`/api/datasets/…` for data), paged by
 * `Link: <…>; rel="next"`; large files carry `lfs.oid`, their sha256, all files `oid`, their git hash.
 */
import { HubError } from "../../errors.ts";
import { type HubClient } from "./client.ts";
import { requestJson } from "./http.ts";
import { isSafePath } from "./ref.ts";

export interface HubFile {
  readonly path: string;
  /** bytes */
  readonly size: number;
  /** what its content hashes to: sha256 of LFS files, the git blob id of others. Also its name in the cache */
  readonly hash: string;
  readonly algorithm: "sha256" | "git-sha1";
  /** why it cannot be had, where its entry in the list is not as it should be; its hash is then not used */
  readonly problem?: string;
}

/** More pages than this are not a model's files but a server gone wrong. */
const maxPages = 1000;

/**
 * The full commit id of a branch, tag or commit.
 * @throws HubError
 */
export async function resolveRevision(client: HubClient, repo: string, revision: string): Promise<string> {
  const url = `${apiUrl(client, repo)}/revision/${encodeURIComponent(revision)}`;
  const { json } = await requestJson(client, url, { repo, what: `revision ${revision}` });
  const sha = (json as { sha?: unknown } | null)?.sha;
  if (typeof sha !== "string" || !/^[0-9a-f]{40}$/.test(sha)) throw strange(client, repo, "no commit id");
  return sha;
}

/**
 * All files of a commit below `path`. What nobody could ask for is left out: names that are no path on every system, submodules.
 * @throws HubError
 */
export async function listTree(
  client: HubClient,
  repo: string,
  commit: string,
  path = "",
): Promise<HubFile[]> {
  const files: HubFile[] = [];
  const below = path === "" ? "" : `/${encodePath(path)}`;
  let next: string | undefined = `${apiUrl(client, repo)}/tree/${commit}${below}?recursive=true`;
  for (let page = 0; next !== undefined; page++) {
    if (page >= maxPages) throw strange(client, repo, `more than ${maxPages} pages of files`);
    const { json: entries, response } = await requestJson(client, next, {
      repo,
      what: "the list of its files",
    });
    if (!Array.isArray(entries)) throw strange(client, repo, "no list of files");
    for (const entry of entries as unknown[]) {
      const file = readEntry(entry);
      if (file !== undefined) files.push(file);
    }
    next = nextPage(response, client, repo);
  }
  return files;
}

/** A repository is a model's, or a data set's where its name begins with `datasets/`. */
function apiUrl({ endpoint }: HubClient, repo: string): string {
  return `${endpoint}/api/${repo.startsWith(DATASETS) ? "" : "models/"}${repo}`;
}

/** What the Hub puts before the name of a data set. */
export const DATASETS = "datasets/";

/** Where the content of a file is; answers with a redirect for large ones. */
export function fileUrl(client: HubClient, repo: string, commit: string, path: string): string {
  return `${client.endpoint}/${repo}/resolve/${commit}/${encodePath(path)}`;
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

/**
 * What the content of a file is called where it is kept: its hash. Listings are not trusted, so this is where they are judged:
 * a repository may list anything beside what is needed.
 * @throws HubError if its entry has no such hash, or no size
 */
export function contentName(file: HubFile): string {
  if (file.problem === undefined) return file.hash;
  throw new HubError(
    `${file.path} is needed, but its entry in the list of files ${file.problem}. Check HF_ENDPOINT; run again.`,
  );
}

function readEntry(entry: unknown): HubFile | undefined {
  const { type, path, size, oid, lfs } = (entry ?? {}) as Record<string, unknown>;
  if (type !== "file" || typeof path !== "string" || !isSafePath(path)) return undefined;
  const large = typeof lfs === "object" && lfs !== null ? (lfs as Record<string, unknown>) : undefined;
  const digits = large === undefined ? 40 : 64;
  const hash = large === undefined ? oid : large.oid;
  const bytes = large === undefined ? size : large.size;
  const problem =
    typeof hash !== "string" || hash.length !== digits || !/^[0-9a-f]+$/.test(hash)
      ? `has no hash of ${digits} hexadecimal digits`
      : !Number.isSafeInteger(bytes) || (bytes as number) < 0
        ? "has no size"
        : undefined;
  const algorithm = large === undefined ? "git-sha1" : "sha256";
  return problem === undefined
    ? { path, size: bytes as number, hash: hash as string, algorithm }
    : { path, size: 0, hash: "", algorithm, problem };
}

function nextPage(response: Response, client: HubClient, repo: string): string | undefined {
  const link = /<([^>]*)>\s*;\s*rel="next"/.exec(response.headers.get("link") ?? "")?.[1];
  if (link === undefined) return undefined;
  const url = new URL(link, response.url || client.endpoint);
  // The token goes with the request, so the next page may not be elsewhere.
  if (url.origin !== new URL(client.endpoint).origin)
    throw strange(client, repo, `a next page at ${url.origin}`);
  return url.href;
}

function strange(client: HubClient, repo: string, what: string): HubError {
  return new HubError(
    `${repo}: ${client.endpoint} answered strangely: ${what}. Check HF_ENDPOINT; run again.`,
  );
}
