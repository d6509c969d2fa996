/** In the worker: from where a model is to its files. */
import { FormatError, UsageError } from "../src/errors.ts";
import { fetchModelToOpfs } from "../src/weights/hub/opfs.browser.ts";
import { formatHubRef, parseHubRef } from "../src/weights/hub/ref.ts";
import {
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
      return openToy(new URL("toy/", place.page).href, onDownload);
    case "dropped":
      return { ...droppedFolder(place.files), revision: "unversioned" };
    case "hub":
      return openHub(place.name, onDownload);
  }
}

async function openToy(base: string, onDownload: Download): Promise<OpenedPlace> {
  const response = await fetch(new URL("files.json", base)).catch(() => undefined);
  if (!response?.ok) {
    throw new FormatError(
      `the toy checkpoint is not at ${base} (${response ? response.status : "no answer"}). Publish the page with its toy folder.`,
    );
  }
  const files = (await response.json()) as ListedFile[];
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  const sources = fetchedFolder(base, files, (_, count) => {
    done += count;
    onDownload("downloading", done, total);
  });
  return { name: "toy", revision: "unversioned", sources };
}

async function openHub(name: string, onDownload: Download): Promise<OpenedPlace> {
  const ref = parseHubRef(name.trim());
  if (!ref) {
    throw new UsageError(
      `"${name}" is not a name on the Hub. Write owner/name, or owner/name@revision:folder.`,
    );
  }
  const sources = await fetchModelToOpfs(ref, {
    onProgress: ({ bytes, totalBytes }) => onDownload("downloading from the Hub", bytes, totalBytes),
  });
  return { name: formatHubRef(ref), revision: ref.revision, sources };
}
