/** Selected variants in a browser: a file in the origin's private file system, which workers see too, as they do not see localStorage. */
import type { AutotuneStore } from "./autotune.ts";

/**
 * Choices by adapter, driver and version, a JSON file each. What cannot be read, or is damaged, counts as absent; what cannot be written
 * is timed again next time.
 */
export function browserStore(
  root: () => Promise<FileSystemDirectoryHandle> = () => navigator.storage.getDirectory(),
): AutotuneStore {
  const file = async (key: string, create: boolean): Promise<FileSystemFileHandle> => {
    const folder = await (await root()).getDirectoryHandle("variants", { create });
    return folder.getFileHandle(`${encodeURIComponent(key)}.json`.slice(-255), { create });
  };
  return {
    read: async (key) => {
      try {
        const content: unknown = JSON.parse(await (await (await file(key, false)).getFile()).text());
        return typeof content === "object" && content ? (content as Record<string, unknown>) : undefined;
      } catch {
        return undefined;
      }
    },
    write: async (key, choices) => {
      try {
        const stream = await (await file(key, true)).createWritable();
        await stream.write(JSON.stringify(choices));
        await stream.close();
      } catch {
        // Private windows and full disks refuse.
      }
    },
  };
}
