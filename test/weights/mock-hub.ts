/**
 * A Hub on loopback, as the public API behaves: revisions, paged trees, `resolve` with ETags and ranges, large
 * files redirected to a storage host of another origin, tokens, gates; and faults on demand. The real client
 * talks to it through `HF_ENDPOINT`.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { join, relative } from "node:path";

export interface MockFile {
  readonly bytes: Uint8Array;
  readonly lfs: boolean;
  /** bytes that the listing says, where that is not what there is */
  readonly listedSize?: number;
}

export interface MockRepo {
  readonly commit: string;
  readonly files: Map<string, MockFile>;
  /** further names of the commit */
  tags?: readonly string[];
  /** requests need this token: without it the repository does not exist, as on the Hub */
  token?: string;
  /** requests get 403 until the terms are accepted */
  gated?: boolean;
  /** listed as they are, for listings that a hostile server would send */
  extraEntries?: unknown[];
}

export interface LoggedRequest {
  readonly path: string;
  readonly range?: string;
  readonly authorization?: string;
  readonly storage: boolean;
}

/** What goes wrong with one request. */
export type Fault =
  | { readonly status: number; readonly headers?: Record<string, string> }
  /** the connection is reset after so many bytes of body */
  | { readonly resetAfter: number }
  /** the response ends cleanly but early */
  | { readonly endAfter: number }
  /** bytes arrive and then nothing */
  | { readonly stallAfter: number }
  | { readonly ignoreRange: true }
  /** one bit of the body is another */
  | { readonly corrupt: true }
  | { readonly append: number };

export class MockHub {
  readonly repos = new Map<string, MockRepo>();
  readonly requests: LoggedRequest[] = [];
  /** asked for each request; a fault or nothing */
  fault: (request: LoggedRequest) => Fault | undefined = () => undefined;
  /** told before each piece of body goes out */
  onBytes: (count: number) => void = () => {};
  /** bytes of a piece, and how long to wait after each */
  pieceBytes = 64 * 1024;
  pieceDelayMs = 0;
  pageSize = 1000;
  endpoint = "";
  #storage = "";
  readonly #servers: Server[] = [];

  static async start(): Promise<MockHub> {
    const hub = new MockHub();
    hub.endpoint = await hub.#listen(false);
    hub.#storage = await hub.#listen(true);
    return hub;
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** A repository with the files of a folder; weights are large files, all others not. */
  addFolder(repo: string, folder: string, prefix = ""): MockRepo {
    const files = new Map<string, MockFile>();
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      files.set(prefix + relative(folder, path), {
        bytes: readFileSync(path),
        lfs: /\.(safetensors|pt)$/.test(path),
      });
    }
    return this.add(repo, files);
  }

  add(repo: string, files: Map<string, MockFile>): MockRepo {
    const commit = createHash("sha1").update(repo).digest("hex");
    const added: MockRepo = { commit, files };
    this.repos.set(repo, added);
    return added;
  }

  async #listen(storage: boolean): Promise<string> {
    const server = createServer((request, response) => {
      this.#handle(request, response, storage).catch(() => response.destroy());
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async #handle(request: IncomingMessage, response: ServerResponse, storage: boolean): Promise<void> {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader(
      "access-control-expose-headers",
      "content-range, etag, link, retry-after, x-error-code",
    );
    if (request.method === "OPTIONS") {
      return void response.writeHead(204, { "access-control-allow-headers": "authorization, range" }).end();
    }
    const { range, authorization } = request.headers;
    const logged = { path: request.url!, range, authorization, storage };
    this.requests.push(logged);
    const fault = this.fault(logged);
    if (fault !== undefined && "status" in fault) {
      response.writeHead(fault.status, fault.headers).end("fault");
    } else if (storage) {
      // Signed storage addresses refuse a second kind of authorization.
      if (authorization !== undefined) return void response.writeHead(400).end();
      const hash = request.url!.slice(1);
      const file = [...this.repos.values()]
        .flatMap(({ files }) => [...files.values()])
        .find((candidate) => sha256(candidate.bytes) === hash);
      if (file === undefined) response.writeHead(404).end();
      else await this.#send(response, file.bytes, range, fault);
    } else {
      await this.#answer(new URL(request.url!, this.endpoint), response, logged, fault);
    }
  }

  async #answer(url: URL, response: ServerResponse, request: LoggedRequest, fault?: Fault): Promise<void> {
    const path = decodeURIComponent(url.pathname);
    // A data set's name begins with its kind, here as in addresses; a model's does not.
    const api = /^\/api\/(?:models\/)?((?:datasets\/)?[^/]+\/[^/]+)\/(revision|tree)\/(.+)$/.exec(path);
    const resolve = /^\/((?:datasets\/)?[^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const repo = this.repos.get((api ?? resolve)?.[1] ?? "");
    if (
      repo === undefined ||
      (repo.token !== undefined && request.authorization !== `Bearer ${repo.token}`)
    ) {
      return void response.writeHead(401, { "x-error-code": "RepoNotFound" }).end();
    }
    if (repo.gated && (resolve !== null || api?.[2] === "tree")) {
      return void response.writeHead(403, { "x-error-code": "GatedRepo" }).end();
    }
    const revision = (api ? api[3] : resolve![2]).replace(/^([0-9a-f]{40})\/.*/, "$1");
    if (!["main", "refs/pr/1", repo.commit, ...(repo.tags ?? [])].includes(revision)) {
      return void response.writeHead(404, { "x-error-code": "RevisionNotFound" }).end();
    }
    if (api?.[2] === "revision") return void sendJson(response, { id: api[1], sha: repo.commit });
    const below = /^[0-9a-f]{40}\/(.+)$/.exec(api?.[3] ?? "")?.[1];
    if (api?.[2] === "tree") return this.#tree(url, response, repo, below);
    const file = repo.files.get(resolve![3]);
    if (file === undefined) return void response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
    response.setHeader("x-repo-commit", repo.commit);
    if (!file.lfs) {
      response.setHeader("etag", `"${gitHash(file.bytes)}"`);
      return this.#send(response, file.bytes, request.range, fault);
    }
    const headers = { "x-linked-etag": `"${sha256(file.bytes)}"`, "x-linked-size": file.bytes.length };
    response.writeHead(302, { ...headers, location: `${this.#storage}/${sha256(file.bytes)}` }).end();
  }

  #tree(url: URL, response: ServerResponse, repo: MockRepo, below = ""): void {
    const within = [...repo.files].filter(([path]) => below === "" || path.startsWith(`${below}/`));
    if (within.length === 0 && below !== "")
      return void response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
    const entries: unknown[] = within.map(([path, { bytes, lfs, listedSize = bytes.length }]) => ({
      type: "file",
      path,
      oid: gitHash(bytes),
      size: listedSize,
      ...(lfs ? { lfs: { oid: sha256(bytes), size: listedSize, pointerSize: 130 } } : {}),
    }));
    const folders = new Set(
      [...repo.files.keys()].filter((path) => path.includes("/")).map((path) => path.split("/")[0]),
    );
    for (const path of folders) entries.push({ type: "directory", path, oid: "0".repeat(40), size: 0 });
    entries.push(...(repo.extraEntries ?? []));
    const start = Number(url.searchParams.get("cursor") ?? 0);
    const end = start + this.pageSize;
    if (end < entries.length) {
      url.searchParams.set("cursor", String(end));
      response.setHeader("link", `<${url.href}>; rel="next"`);
    }
    sendJson(response, entries.slice(start, end));
  }

  async #send(
    response: ServerResponse,
    whole: Uint8Array,
    range?: string,
    fault: Fault | object = {},
  ): Promise<void> {
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec("ignoreRange" in fault ? "" : (range ?? "")) ?? [];
    const start = from === undefined ? 0 : Number(from);
    const end = to ? Math.min(Number(to) + 1, whole.length) : whole.length;
    if (start >= whole.length && start > 0) return void response.writeHead(416).end();
    let body = whole.slice(start, end);
    if ("corrupt" in fault) body[body.length >> 1] ^= 1;
    if ("append" in fault) body = Uint8Array.from([...body, ...new Uint8Array(fault.append)]);
    const headers: Record<string, string> = { "accept-ranges": "bytes" };
    if (from !== undefined) headers["content-range"] = `bytes ${start}-${end - 1}/${whole.length}`;
    if (!("endAfter" in fault)) headers["content-length"] = String(body.length);
    response.writeHead(from === undefined ? 200 : 206, headers);
    const cut = ["resetAfter", "endAfter", "stallAfter"].map((key) => (fault as Record<string, number>)[key]);
    const limit = cut.find((bytes) => bytes !== undefined) ?? body.length;
    for (let at = 0; at < Math.min(limit, body.length); at += this.pieceBytes) {
      const piece = body.subarray(at, Math.min(at + this.pieceBytes, limit));
      this.onBytes(piece.length);
      if (response.destroyed) return;
      await new Promise((resolve) => response.write(piece, resolve));
      if (this.pieceDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.pieceDelayMs));
    }
    if ("resetAfter" in fault) response.socket?.resetAndDestroy();
    else if (!("stallAfter" in fault)) response.end();
  }
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

export function sha256(bytes: Uint8Array): string {
  let known = hashes.get(bytes);
  if (known === undefined) hashes.set(bytes, (known = createHash("sha256").update(bytes).digest("hex")));
  return known;
}
const hashes = new WeakMap<Uint8Array, string>();

export function gitHash(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}
