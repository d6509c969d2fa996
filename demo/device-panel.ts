/** What the page runs on and what it costs. */
import { formatBytes } from "../src/weights/listing.ts";
import { make } from "./dom.ts";
import type { CostView, DeviceView } from "./protocol.ts";

export class DevicePanel {
  readonly #list: HTMLElement;
  #device: DeviceView | undefined;
  #cost: CostView | undefined;

  constructor(list: HTMLElement) {
    this.#list = list;
    this.#draw();
  }

  set device(device: DeviceView) {
    this.#device = device;
    this.#draw();
  }

  set cost(cost: CostView) {
    this.#cost = cost;
    this.#draw();
  }

  #draw(): void {
    const facts: [string, string][] = [];
    if (this.#device) {
      const { name, adapter, software, features, limits } = this.#device;
      facts.push(["adapter", software ? `${name} (a CPU that plays GPU: slow, but the same numbers)` : name]);
      facts.push(["in WebGPU’s words", adapter]);
      for (const [label, value] of limits) facts.push([label, formatBytes(value)]);
      const useful = ["shader-f16", "subgroups", "timestamp-query"].filter((feature) =>
        features.includes(feature),
      );
      facts.push(["of use here", useful.join(", ") || "none of the optional features"]);
    } else facts.push(["adapter", "not opened yet"]);
    const seconds = (value: number | undefined): string =>
      value === undefined
        ? "–"
        : value < 1
          ? `${(1000 * value).toPrecision(3)} ms`
          : `${value.toPrecision(3)} s`;
    facts.push(["a video step", seconds(this.#cost?.videoStep)]);
    facts.push(["an action step", seconds(this.#cost?.actionStep)]);
    const { heldBytes, peakBytes } = this.#cost ?? {};
    facts.push([
      "GPU memory",
      heldBytes === undefined ? "–" : `${formatBytes(heldBytes)} now, ${formatBytes(peakBytes!)} at most`,
    ]);
    this.#list.replaceChildren(
      ...facts.flatMap(([term, value]) => [
        make("dt", { textContent: term }),
        make("dd", { textContent: value }),
      ]),
    );
  }
}
