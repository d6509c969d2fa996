/** The built page as a static host serves it, below a path of its own. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";

/** Bundles demo/ into `folder`. */
export async function buildDemo(folder: string): Promise<void> {
  const outDir = path.resolve(folder);
  await build({ configFile: "demo/vite.config.ts", logLevel: "warn", build: { outDir, emptyOutDir: true } });
}

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
};

export interface Site {
  /** address of the page, with a slash at its end */
  readonly url: string;
  stop(): void;
}

/** Serves `folder` under `/some/where/`, and nothing anywhere else. */
export async function serve(folder: string): Promise<Site> {
  const below = "/some/where/";
  const server: Server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://localhost");
    const file = path.join(folder, pathname.slice(below.length), pathname.endsWith("/") ? "index.html" : "");
    if (!pathname.startsWith(below) || !existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": TYPES[path.extname(file)] ?? "application/octet-stream" });
    response.end(readFileSync(file));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${below}`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Bytes after gzip of every file of the page without the weights, by path. */
export function compressedSizes(folder: string): Map<string, number> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const own = files.filter(
    (file) => !/^(toy|digits)\//.test(file) && statSync(path.join(folder, file)).isFile(),
  );
  return new Map(own.map((file) => [file, gzipSync(readFileSync(path.join(folder, file))).length]));
}

/** What a visit begins with. */
export const PAGE = /^index\.html$|\.css$|^assets\/index-[^/]*\.js$/;
export const WORKER = /^assets\/worker-[^/]*\.js$/;

/** Files that a visit begins with: those that `begins` names, and what they import other than on demand. */
export function firstFiles(folder: string, ...begins: readonly RegExp[]): Set<string> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const starts = files.filter((file) => begins.some((begin) => begin.test(file)));
  const first = new Set<string>();
  const add = (file: string): void => {
    if (first.has(file)) return;
    first.add(file);
    if (!file.endsWith(".js")) return;
    const code = readFileSync(path.join(folder, file), "utf8");
    for (const [, name] of code.matchAll(/(?:from|import)\s*["']\.\/([^"']+\.js)["']/g))
      add(path.posix.join(path.posix.dirname(file), name));
  };
  for (const file of starts) add(file);
  return first;
}
