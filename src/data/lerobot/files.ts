/** A data set's files, wherever they lie: a folder, files that were dropped on a page, a repository of the Hub. */
import { FormatError } from "../../errors.ts";
import type { ByteSource } from "../../weights/source.ts";

export interface DataFiles {
  /** for messages and reports: the folder's name, or `owner/name` */
  readonly name: string;
  /** commit on the Hub; "unversioned" elsewhere */
  readonly revision: string;
  /** A file's bytes, by ranges. @throws FormatError or HubError when it is missing */
  bytes(path: string): Promise<ByteSource>;
  /** Paths of all files below a folder, sorted; none where there is no such folder. */
  list(folder: string): Promise<readonly string[]>;
}

/** Longer texts than this are no metadata. */
const MOST_TEXT = 2 ** 30;

/** A whole file as text. @throws FormatError when it is missing, or far too long */
export async function readText(files: DataFiles, path: string): Promise<string> {
  const source = await files.bytes(path);
  try {
    if (source.size > MOST_TEXT)
      throw new FormatError(`${files.name}/${path} has ${source.size} bytes, which no metadata has.`);
    return new TextDecoder().decode(await source.read(0, source.size));
  } finally {
    await source.close?.();
  }
}

/** Files in memory or dropped ones: a map from paths to bytes. */
export function dataFilesOf(
  name: string,
  sources: ReadonlyMap<string, ByteSource>,
  revision = "unversioned",
): DataFiles {
  return {
    name,
    revision,
    bytes: async (path) => {
      const source = sources.get(path);
      if (source) return source;
      throw new FormatError(`${name} has no ${path}. The data set is incomplete; give its whole folder.`);
    },
    list: async (folder) => [...sources.keys()].filter((path) => path.startsWith(`${folder}/`)).sort(),
  };
}
