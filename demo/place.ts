/** In the worker: from where a model is to its files. */
import { FormatError, UsageError } from "../src/errors.ts";
import { fetchModelToOpfs } from "../src/weights/hub/opfs.browser.ts";
import type { Choose } from "../src/weights/hub/remote-files.ts";
import { formatHubRef, parseHubRef } from "../src/weights/hub/ref.ts";
import { blobSource } from "../src/weights/blob.ts";
import {
  type DroppedFile,
  droppedFolder,
  fetchedFolder,
  type FolderSources,
  type ListedFile,
} from "../src/weights/model-files.browser.ts";
import type { ModelPlace } from "./protocol.ts";

/** An opened folder; its `episodes/` lie in the same map. */
export interface OpenedPlace {
  readonly name: string;
  readonly revision: string;
  readonly sources: FolderSources;
}

export type Download = (phase: string, done: number, total: number) => void;

/** @throws FormatError, UsageError or HubError for a place that gives no model */
export async function openPlace(place: ModelPlace, onDownload: Download): Promise<OpenedPlace> {
  switch (place.kind) {
    case "toy":
      return openBeside("toy", new URL("toy/", place.page).href, onDownload);
    case "dropped":
      return { ...modelAmong(place.files), revision: "unversioned" };
    case "hub":
      return openHub(place.name, neededByAny, onDownload);
  }
}

/** A checkpoint that was published with the page, in a folder of its name. */
export async function openBeside(name: string, base: string, onDownload: Download): Promise<OpenedPlace> {
  const response = await fetch(new URL("files.json", base)).catch(() => undefined);
  if (!response?.ok) {
    throw new FormatError(
      `the ${name} checkpoint is not at ${base} (${response ? response.status : "no answer"}). Publish the page with its ${name} folder.`,
    );
  }
  const files = (await response.json()) as ListedFile[];
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  const sources = fetchedFolder(base, files, (_, count) => {
    done += count;
    onDownload("downloading", done, total);
  });
  return { name, revision: "unversioned", sources };
}

const neededByAny: Choose = async (remote) => {
  const { recognise } = await import("../src/systems/registry.ts");
  return (await recognise(remote)).needed(remote, {});
};

/** @param choose which of its files are needed */
export async function openHub(name: string, choose: Choose, onDownload: Download): Promise<OpenedPlace> {
  const ref = parseHubRef(name.trim());
  if (!ref) {
    throw new UsageError(
      `"${name}" is not a name on the Hub. Write owner/name, or owner/name@revision:folder.`,
    );
  }
  const sources = await fetchModelToOpfs(ref, {
    choose,
    onProgress: ({ bytes, totalBytes }) => onDownload("downloading from the Hub", bytes, totalBytes),
  });
  return { name: formatHubRef(ref), revision: ref.revision, sources };
}

/** The composed model among dropped files, else the folder that has both a configuration and weights. */
export function modelAmong(files: readonly DroppedFile[]): Omit<OpenedPlace, "revision"> {
  const names = new Set(files.map(({ path }) => path));
  if ([...names].some((path) => /(^|\/)model\.json$/.test(path))) return droppedFolder(files);
  const roots = [...names].flatMap((path) => /^(.*\/)?config\.json$/.exec(path)?.slice(1) ?? []);
  const found = roots
    .map((root: string | undefined) => root ?? "")
    .filter((root) => names.has(`${root}model.safetensors`))
    .sort((a, b) => a.length - b.length);
  if (found.length === 0) return droppedFolder(files);
  if (found.length > 1 && found[0].split("/").length === found[1].split("/").length)
    throw new UsageError(
      `there are several models among the dropped files: ${found.join(", ")}. Drop one folder`,
    );
  const inside = files.filter(({ path }) => path.startsWith(found[0]));
  return {
    name: found[0].split("/").at(-2) ?? "dropped model",
    sources: new Map(inside.map(({ path, file }) => [path.slice(found[0].length), blobSource(file, path)])),
  };
}
