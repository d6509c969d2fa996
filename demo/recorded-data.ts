/**
 * In the worker: a recorded data set, dropped on the page or named on the Hub, and read by ranges as the command line reads it. Loaded when
 * one is opened: readers of tables and containers are far larger than the page.
 */
import { dataFilesOf, type DataFiles } from "../src/data/lerobot/files.ts";
import { hubDataFiles, parseDataRef } from "../src/data/lerobot/hub.ts";
import { INFO } from "../src/data/lerobot/info.ts";
import { Recordings } from "../src/data/lerobot/recordings.ts";
import { LeRobotSet } from "../src/data/lerobot/set.ts";
import { FormatError, UsageError } from "../src/errors.ts";
import { blobSource } from "../src/weights/blob.ts";
import { defaultRetry } from "../src/weights/hub/client.ts";
import type { DroppedFile } from "../src/weights/model-files.browser.ts";
import type { DataPlace } from "./protocol.ts";

/**
 * @param onNote told a line that a person should read
 * @throws FormatError, HubError or UsageError for a place that gives no data set
 */
export async function openRecordings(place: DataPlace, onNote: (line: string) => void): Promise<Recordings> {
  const files = place.kind === "dropped" ? droppedSet(place.files) : await hubSet(place.name);
  return new Recordings(await LeRobotSet.open(files, { onNote }), place.choices);
}

function droppedSet(dropped: readonly DroppedFile[]): DataFiles {
  // Of nested sets the outermost is meant.
  const [info] = dropped
    .map(({ path }) => path)
    .filter((path) => path === INFO || path.endsWith(`/${INFO}`))
    .sort((a, b) => a.length - b.length);
  if (info === undefined)
    throw new FormatError(
      `there is no ${INFO} among the ${dropped.length} dropped files. Drop the whole folder of a data set.`,
    );
  const root = info.slice(0, -INFO.length);
  const sources = dropped
    .filter(({ path }) => path.startsWith(root))
    .map(({ path, file }) => [path.slice(root.length), blobSource(file, path)] as const);
  return dataFilesOf(root.split("/").at(-2) ?? "dropped data set", new Map(sources));
}

function hubSet(name: string): Promise<DataFiles> {
  const ref = parseDataRef(name.trim());
  if (!ref)
    throw new UsageError(
      `"${name}" is not the name of a data set on the Hub. Write owner/name, or owner/name@revision.`,
    );
  const client = {
    endpoint: "https://huggingface.co",
    // Unbound, a browser refuses to call it.
    fetch: (...request: Parameters<typeof fetch>) => globalThis.fetch(...request),
    retry: defaultRetry,
  };
  return hubDataFiles(client, ref);
}
