/** The ways to another model and to other data: the toy again, a folder chosen or dropped, a name on the Hub. */
import { probeCommand } from "../src/commands/probe/settings.ts";
import type { DroppedFile } from "../src/weights/model-files.browser.ts";
import { byId } from "./dom.ts";
import { FormatError } from "../src/errors.ts";
import { acceptDrops, chosenFiles } from "./drop.ts";
import { whatIsDropped } from "./dropped.ts";
import { PAGE } from "./link.ts";
import type { DataChoices, DataPlace, ModelPlace } from "./protocol.ts";

/** The model that ships beside the page. */
export const TOY: ModelPlace = { kind: "toy", page: PAGE };

/** Fields that choose of a data set, named as the command line's options are; a link has them too. */
const CHOICES = ["camera", "state", "action", "task", "fps", "every", "ends", "resample"] as const;

interface Wishes {
  readonly open: (place: ModelPlace) => void;
  /** undefined: the model's own episodes */
  readonly useData: (place: DataPlace | undefined) => void;
  /** a result of the probe, as its report */
  readonly showReport: (file: DroppedFile) => void;
  /** what was typed or dropped cannot be used */
  readonly refuse: (error: Error) => void;
}

/** @returns what a link that was opened names of data, and what a link to what is set has of it */
export function offerModels({ open, useData, showReport, refuse }: Wishes): DataForm {
  const data = new DataForm(useData, refuse);
  const openFiles = (files: DroppedFile[]): void =>
    void whatIsDropped(files).then((dropped) => {
      if (dropped.kind === "wrong") refuse(new FormatError(dropped.why));
      else if (dropped.kind === "report") showReport(dropped.file);
      else if (dropped.kind === "data") data.take({ kind: "dropped", files });
      else open({ kind: "dropped", files });
    }, refuse);
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
  return data;
}

type Source = { readonly kind: "dropped"; readonly files: readonly DroppedFile[] } | undefined;

/** A recorded data set and what is chosen of it. */
export class DataForm {
  readonly #form = byId<HTMLFormElement>("data");
  readonly #use: Wishes["useData"];
  readonly #refuse: Wishes["refuse"];
  /** a folder that was dropped: other choices may be made of it */
  #dropped: Source;

  constructor(use: Wishes["useData"], refuse: Wishes["refuse"]) {
    this.#use = use;
    this.#refuse = refuse;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.#field("data-name").value.trim();
      if (name !== "") this.#dropped = undefined;
      else if (!this.#dropped) return;
      this.#send();
    });
    byId("own-data").addEventListener("click", () => {
      this.clear();
      use(undefined);
    });
  }

  /** Takes a dropped folder, with what is chosen in the fields. */
  take(dropped: NonNullable<Source>): void {
    this.#dropped = dropped;
    this.#field("data-name").value = "";
    this.#send();
  }

  /** Nothing but the model's own episodes. */
  clear(): void {
    this.#dropped = undefined;
    this.#form.reset();
  }

  /** Fills the fields from a link. @returns the set that it names */
  restore(link: URLSearchParams): DataPlace | undefined {
    if (!link.get("data")) return undefined;
    for (const name of CHOICES) {
      const field = this.#field(name);
      if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = link.has(name);
      else field.value = link.get(name) ?? field.value;
    }
    this.#field("data-name").value = link.get("data")!;
    return this.named();
  }

  /** The set that is named in the fields, if any. */
  named(): DataPlace | undefined {
    if (this.#field("data-name").value.trim() === "") return undefined;
    try {
      return this.#place();
    } catch (error) {
      this.#refuse(error as Error);
      return undefined;
    }
  }

  /** The set of the Hub, and what is chosen of it, as parameters of a link; a dropped one cannot be in it. */
  parameters(): Record<string, string> {
    const name = this.#field("data-name").value.trim();
    return name === "" ? {} : { data: name, ...this.#typed() };
  }

  #send(): void {
    try {
      this.#use(this.#place());
    } catch (error) {
      this.#refuse(error as Error);
    }
  }

  /** @throws UsageError for a choice that cannot be read */
  #place(): DataPlace {
    const name = this.#field("data-name").value.trim();
    // The command line's own rules read what is typed.
    const { recording = {} } = probeCommand({ ...this.#typed(), data: name || "dropped" }, "toy").settings;
    const said = Object.entries(recording).filter(([, value]) => value !== undefined);
    const choices = Object.fromEntries(said) as DataChoices;
    return { ...(this.#dropped ?? { kind: "hub", name }), choices };
  }

  #typed(): Record<string, string> {
    const values = CHOICES.map((name): [string, string] => {
      const field = this.#field(name);
      if (field instanceof HTMLInputElement && field.type === "checkbox")
        return [name, field.checked ? "true" : ""];
      return [name, field.value.trim()];
    });
    return Object.fromEntries(
      values.filter(([name, value]) => value !== "" && (name !== "ends" || value !== "drop")),
    );
  }

  #field(name: string): HTMLInputElement | HTMLSelectElement {
    return this.#form.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement;
  }
}
