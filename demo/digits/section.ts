/** The section of the digits as the page knows it before it is opened: what draws in it is loaded then. */
import { byId, prefersStill } from "../dom.ts";
import { showFailure } from "../failure.ts";
import { PAGE } from "../link.ts";
import type { ModelPlace } from "../protocol.ts";
import { adapterHere } from "../work.ts";
import type { DigitsPanel } from "./digits.ts";
import type { SamplesPlace } from "./protocol.ts";
import { parametersOf, settingsOf } from "./settings.ts";
import "./section.css";

/** The ones that ship beside the page. */
const DIGITS: SamplesPlace = { kind: "digits", page: PAGE };

export class DigitsSection {
  readonly #details = byId<HTMLDetailsElement>("digits");
  readonly #link: URLSearchParams;
  #panel: Promise<DigitsPanel> | undefined;
  #shown: DigitsPanel | undefined;

  /**
   * @param link what the address asked for when the page was opened; what it says of the digits opens the section
   * @param onChange the section was opened or closed, or something in it was set
   */
  constructor(link: URLSearchParams, onChange: () => void) {
    this.#link = new URLSearchParams([...link].filter(([name]) => name.startsWith("digits")));
    this.#details.addEventListener("toggle", () => {
      if (this.#details.open) void this.#load(onChange);
      else this.#shown?.stop();
      onChange();
    });
    if (this.#link.size === 0) return;
    this.#details.open = true;
    void this.#load(onChange).then(() => this.#show());
  }

  /** Another model of the same kind, dropped or of the Hub. */
  open(place: ModelPlace): void {
    this.#details.open = true;
    this.#show();
    void this.#load().then((panel) => {
      if (place.kind !== "toy") panel?.open(place);
    });
  }

  /** For a link; none while the section is closed. */
  parameters(): [name: string, value: string][] {
    if (!this.#details.open) return [];
    if (!this.#shown) return this.#link.size > 0 ? [...this.#link] : [["digits", "all"]];
    const { settings, place } = this.#shown;
    return [
      ...parametersOf(settings),
      ...(place.kind === "hub" ? ([["digits-model", place.name]] as [string, string][]) : []),
    ];
  }

  #show(): void {
    this.#details.scrollIntoView({ behavior: prefersStill() ? "auto" : "smooth", block: "start" });
  }

  /** @returns undefined where its script could not be fetched, which was said */
  async #load(onChange = (): void => {}): Promise<DigitsPanel | undefined> {
    this.#panel ??= this.#begin(onChange);
    try {
      return (this.#shown = await this.#panel);
    } catch (error) {
      this.#panel = undefined;
      showFailure("Error", (error as Error).message, "Check the connection, and open the section again.");
      return undefined;
    }
  }

  async #begin(onChange: () => void): Promise<DigitsPanel> {
    const [{ DigitsPanel }, computes] = await Promise.all([import("./digits.ts"), adapterHere()]);
    const named = this.#link.get("digits-model");
    const place: SamplesPlace = named === null ? DIGITS : { kind: "hub", name: named };
    const panel = new DigitsPanel(byId("digits-body"), settingsOf(this.#link), onChange);
    await (computes ? panel.compute(place, DIGITS) : panel.recorded(DIGITS));
    return panel;
  }
}
