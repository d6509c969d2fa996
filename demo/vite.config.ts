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
import { bytesSource } from "../src/weights/blob.ts";
import { openSafetensors } from "../src/weights/safetensors.ts";
import { type Described, encodeRecorded } from "./digits/recorded.ts";
import { plotlyInSlices } from "./plotly-in-slices.ts";
import { readRecording } from "./recording/recording.ts";

const here = path.dirname(fileURLToPath(import.meta.url));
const WEIGHTS = path.join(here, "..", "weights");

const { version } = JSON.parse(readFileSync(path.join(here, "..", "package.json"), "utf8")) as {
  version: string;
};

/** What a run of the page reads of the toy; noise and results of the reference are for tests. */
const ofToy = (file: string): boolean => !/(reference|noise)\.|README/.test(file);

/** What drawing digits reads: what judges them, and the rest, is for the probe. */
const ofDigits = (file: string): boolean => /^(model\.json|reference\.json|weights\.safetensors)$/.test(file);

/** Digits for browsers that compute none, made of the reference's. */
async function recordedDigits(): Promise<Uint8Array> {
  const file = (name: string): Buffer => readFileSync(path.join(WEIGHTS, "digits", name));
  const tensors = (name: string) => openSafetensors(bytesSource(Uint8Array.from(file(name)), name));
  return encodeRecorded(
    await tensors("reference.safetensors"),
    await tensors("noise.safetensors"),
    JSON.parse(file("model.json").toString()) as Described,
  );
}

/**
 * A checkpoint beside the page, with the list of its files: a static host cannot be asked for one.
 * @param made files that are in no folder
 */
function besidePage(
  model: string,
  published: (file: string) => boolean,
  made: Readonly<Record<string, () => Promise<Uint8Array>>> = {},
): Plugin {
  const from = path.join(WEIGHTS, model);
  const files = (folder = ""): { path: string; size: number }[] =>
    readdirSync(path.join(from, folder), { withFileTypes: true }).flatMap((entry) => {
      const at = path.posix.join(folder, entry.name);
      if (entry.isDirectory()) return files(at);
      return published(entry.name) ? [{ path: at, size: statSync(path.join(from, at)).size }] : [];
    });
  return {
    name: `${model}-beside-page`,
    configureServer(server) {
      server.middlewares.use(`/${model}`, (request, response, next) => {
        const file = decodeURIComponent((request.url ?? "/").split("?")[0]).slice(1);
        if (file === "files.json") response.end(JSON.stringify(files()));
        else if (Object.hasOwn(made, file)) void made[file]().then((bytes) => response.end(bytes), next);
        else if (files().some((known) => known.path === file))
          createReadStream(path.join(from, file)).pipe(response);
        else next();
      });
    },
    async writeBundle({ dir }) {
      const to = path.join(dir!, model);
      for (const file of files()) {
        mkdirSync(path.dirname(path.join(to, file.path)), { recursive: true });
        cpSync(path.join(from, file.path), path.join(to, file.path));
      }
      for (const [file, make] of Object.entries(made)) writeFileSync(path.join(to, file), await make());
      writeFileSync(path.join(to, "files.json"), JSON.stringify(files()));
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
  plugins: [
    besidePage("toy", ofToy),
    besidePage("digits", ofDigits, { "recorded.safetensors": recordedDigits }),
    verdictInPage(),
    plotlyInSlices(),
  ],
  worker: { format: "es" },
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    modulePreload: false,
    chunkSizeWarningLimit: 1300,
  },
});
