/** Files and folders dropped anywhere on the page. */
import type { DroppedFile } from "../src/weights/model-files.browser.ts";

/** Calls `onFiles` with all files of what is dropped, folders walked to their ends; `hint` shows while something hovers. */
export function acceptDrops(hint: HTMLElement, onFiles: (files: DroppedFile[]) => void): void {
  const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hint.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    // Only leaving the window has nothing it goes to.
    if (!event.relatedTarget) hint.hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hint.hidden = true;
    const items = [...event.dataTransfer!.items].filter(({ kind }) => kind === "file");
    // Entries are only there during the event, so they are taken before anything is awaited.
    const found = items.map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
    void Promise.all(found.map(({ entry, file }) => filesOf(entry, file))).then((lists) =>
      onFiles(lists.flat()),
    );
  });
}

/** Files chosen with a folder dialog. */
export const chosenFiles = (list: FileList): DroppedFile[] =>
  [...list].map((file) => ({ path: file.webkitRelativePath || file.name, file }));

async function filesOf(entry: FileSystemEntry | null, file: File | null): Promise<DroppedFile[]> {
  if (entry?.isDirectory) {
    const lists = (await childrenOf(entry as FileSystemDirectoryEntry)).map((child) => filesOf(child, null));
    return (await Promise.all(lists)).flat();
  }
  if (entry?.isFile && !file) {
    file = await new Promise<File>((done, fail) => (entry as FileSystemFileEntry).file(done, fail));
  }
  return file ? [{ path: entry?.fullPath.replace(/^\//, "") || file.name, file }] : [];
}

async function childrenOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    // A reader hands out at most a hundred at a time, and an empty list at the end.
    const some = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    if (some.length === 0) return all;
    all.push(...some);
  }
}
