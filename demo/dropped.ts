/** What dropped or chosen files are, by their names and, of a single JSON file, by what it says of itself. Nothing is opened for it. */
import { RESULT_SCHEMA } from "../src/probe/result/result.ts";
import type { DroppedFile } from "../src/weights/model-files.browser.ts";

export type Dropped =
  | { readonly kind: "model" }
  | { readonly kind: "data" }
  /** a result of the probe */
  | { readonly kind: "report"; readonly file: DroppedFile }
  | { readonly kind: "wrong"; readonly why: string };

/** What every LeRobot data set has and no model. */
const DATA_SET = /(^|\/)meta\/info\.json$/;
const MODEL = /(^|\/)model\.json$/;
const RESULT = /(^|\/)probe\.json$/;
/** Beginning of a file that says what it is. */
const HEAD = 4096;

const WANTED =
  "Drop the folder of a model (model.json, or config.json with model.safetensors), the folder of a data set (meta/info.json), or a probe.json";

export async function whatIsDropped(files: readonly DroppedFile[]): Promise<Dropped> {
  const paths = files.map(({ path }) => path);
  const has = (name: RegExp): boolean => paths.some((path) => name.test(path));
  if (has(MODEL)) return { kind: "model" };
  if (has(DATA_SET)) return { kind: "data" };
  const configs = paths.filter((path) => /(^|\/)config\.json$/.test(path));
  if (configs.some((path) => paths.includes(path.replace(/config\.json$/, "model.safetensors"))))
    return { kind: "model" };
  const results = files.filter(({ path }) => RESULT.test(path));
  if (results.length > 1) {
    const why = `there are ${results.length} results among what was dropped (${results[0].path}, …). Drop one of them`;
    return { kind: "wrong", why };
  }
  const file = results[0] ?? (files.length === 1 && /\.json$/i.test(paths[0]) ? files[0] : undefined);
  if (!file) return { kind: "wrong", why: `${named(paths)} cannot be opened here. ${WANTED}` };
  // Under another name it has to say that it is one; under this name the reader says what is wrong with it.
  if (results.length === 1 || (await isResult(file.file))) return { kind: "report", file };
  return {
    kind: "wrong",
    why: `“${file.path}” is no result of the probe, no model and no data set. ${WANTED}`,
  };
}

async function isResult(file: Blob): Promise<boolean> {
  return new RegExp(`"schema"\\s*:\\s*"${RESULT_SCHEMA}"`).test(await file.slice(0, HEAD).text());
}

function named(paths: readonly string[]): string {
  if (paths.length === 1) return `“${paths[0]}”`;
  return `of ${paths.length} files (${paths.slice(0, 2).join(", ")}, …) none`;
}
