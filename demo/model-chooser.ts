/** The ways to another model: the toy again, a folder chosen or dropped, a name on the Hub. */
import type { DroppedFile } from "../src/weights/model-files.browser.ts";
import { byId } from "./dom.ts";
import { acceptDrops, chosenFiles } from "./drop.ts";
import { PAGE } from "./link.ts";
import type { ModelPlace } from "./protocol.ts";

/** The model that ships beside the page. */
export const TOY: ModelPlace = { kind: "toy", page: PAGE };

export function offerModels(open: (place: ModelPlace) => void): void {
  const openFiles = (files: DroppedFile[]): void => open({ kind: "dropped", files });
  byId("toy").addEventListener("click", () => open(TOY));
  byId("hub").addEventListener("submit", (event) => {
    event.preventDefault();
    open({ kind: "hub", name: byId<HTMLInputElement>("hub-name").value });
  });
  const folder = byId<HTMLInputElement>("choose");
  folder.addEventListener("change", () => {
    const files = chosenFiles(folder.files!);
    // The same folder can be chosen again, after a file in it was mended.
    folder.value = "";
    // Closing the dialog chooses nothing.
    if (files.length > 0) openFiles(files);
  });
  acceptDrops(byId("drop"), openFiles);
}
