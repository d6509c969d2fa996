/** `npm run demo` serves the page, `npm run demo:build` makes demo/dist: a static folder for any path of any host. */
import {
  cpSync,
  createReadStream,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";
import { plotlyInSlices } from "./plotly-in-slices.ts";
import { readRecording } from "./recording/recording.ts";

const here = path.dirname(fileURLToPath(import.meta.url));
const TOY = path.join(here, "..", "weights", "toy");

const { version } = JSON.parse(readFileSync(path.join(here, "..", "package.json"), "utf8")) as {
  version: string;
};

/** What a run of the page reads; noise and results of the reference are for tests. */
const published = (file: string): boolean => !/(reference|noise)\.|README/.test(file);

function toyFiles(folder = ""): { path: string; size: number }[] {
  return readdirSync(path.join(TOY, folder), { withFileTypes: true }).flatMap((entry) => {
    const at = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) return toyFiles(at);
    return published(entry.name) ? [{ path: at, size: statSync(path.join(TOY, at)).size }] : [];
  });
}

/** The toy checkpoint beside the page, with the list of its files: a static host cannot be asked for one. */
function toyBesidePage(): Plugin {
  return {
    name: "toy-beside-page",
    configureServer(server) {
      server.middlewares.use("/toy", (request, response, next) => {
        const file = decodeURIComponent((request.url ?? "/").split("?")[0]).slice(1);
        if (file === "files.json") response.end(JSON.stringify(toyFiles()));
        else if (toyFiles().some((known) => known.path === file))
          createReadStream(path.join(TOY, file)).pipe(response);
        else next();
      });
    },
    writeBundle({ dir }) {
      const to = path.join(dir!, "toy");
      for (const file of toyFiles()) {
        mkdirSync(path.dirname(path.join(to, file.path)), { recursive: true });
        cpSync(path.join(TOY, file.path), path.join(to, file.path));
      }
      writeFileSync(path.join(to, "files.json"), JSON.stringify(toyFiles()));
    },
  };
}

/** What the recording concluded stands in the page itself, to be read before any script runs. */
function verdictInPage(): Plugin {
  return {
    name: "verdict-in-page",
    async transformIndexHtml(html) {
      const file = path.join(here, "recording", "recording.safetensors.gz");
      const { verdict } = await readRecording(gunzipSync(readFileSync(file)));
      return html.replace("<!-- verdict -->", () => `<span class="verdict">${verdict.sentence}</span>`);
    },
  };
}

export default defineConfig({
  root: here,
  base: "./",
  define: { PROJECT_VERSION: JSON.stringify(version) },
  plugins: [toyBesidePage(), verdictInPage(), plotlyInSlices()],
  worker: { format: "es" },
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    modulePreload: false,
    chunkSizeWarningLimit: 1300,
  },
});
