/**
 * One plot with its names: the drawing of chart-svg.ts in its element, values at a step under the pointer or by arrow keys, what a
 * curve or a floor means when its name is pointed at or focused. Everything is there without a plot library.
 */
import { short } from "../src/probe/result/words.ts";
import { SHORT } from "./chart-words.ts";
import { type Drawn, drawPanel, type Scale } from "./chart-svg.ts";
import { make } from "./dom.ts";
import type { CurveView, Panel } from "./panels.ts";
import "./chart.css";

const HINT = "Point at the plot or use the arrow keys on it for values; point at a name for its meaning.";
const SVG = "http://www.w3.org/2000/svg";
let made = 0;

export class Plot {
  readonly #target: HTMLElement;
  readonly #legend: HTMLElement | undefined;
  readonly #svg = document.createElementNS(SVG, "svg");
  readonly #cursor = document.createElementNS(SVG, "line");
  readonly #mark = document.createElementNS(SVG, "line");
  readonly #names = make("div", { className: "level-names" });
  readonly #tip = make("div", { className: "tip", hidden: true });
  readonly #about = make("p", { className: "about", textContent: HINT });
  readonly #toggle = make("button", { type: "button", className: "scale", textContent: "linear" });
  readonly #beneath = make("div", { className: "beneath" }, this.#about, this.#toggle);
  readonly #id = `plot-${made++}`;
  #panel: Panel | undefined;
  #drawn: Drawn | undefined;
  #scale: Scale = "log";
  #marked: number | undefined;
  /** place among the steps that have values; undefined until one is asked for */
  #read: number | undefined;
  #again = false;

  /**
   * @param target where the plot goes; it keeps its size
   * @param legend a list for the names of its curves; without one they are not named
   * @param label what it shows, for those who do not see it
   */
  constructor(target: HTMLElement, legend: HTMLElement | undefined, label: string) {
    this.#target = target;
    this.#legend = legend;
    const svg = this.#svg;
    svg.setAttribute("role", "slider");
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("aria-label", label);
    svg.setAttribute("aria-orientation", "horizontal");
    this.#cursor.setAttribute("class", "cursor");
    this.#mark.setAttribute("class", "mark");
    this.#tip.setAttribute("aria-hidden", "true");
    this.#toggle.setAttribute("aria-pressed", "false");
    this.#toggle.setAttribute("aria-label", `Linear axis: ${label}`);
    // Its room is kept, so that nothing moves when it comes.
    this.#beneath.style.visibility = "hidden";
    (legend ?? target).after(this.#beneath);
    this.#toggle.addEventListener("click", () => {
      this.#scale = this.#scale === "log" ? "linear" : "log";
      this.#toggle.setAttribute("aria-pressed", String(this.#scale === "linear"));
      this.#draw();
    });
    svg.addEventListener("pointermove", (event) => this.#readAt(event));
    svg.addEventListener("pointerdown", (event) => this.#readAt(event));
    svg.addEventListener("pointerleave", () => this.#hideTip());
    svg.addEventListener("blur", () => this.#hideTip());
    svg.addEventListener("focus", () => this.#showTip(this.#read ?? this.#nearest(this.#marked ?? 0)));
    svg.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#redraw()).observe(target);
  }

  /** @param panel undefined: nothing, as before anything ran */
  show(panel: Panel | undefined): void {
    if (panel === this.#panel) return;
    this.#panel = panel;
    this.#beneath.style.visibility = panel ? "visible" : "hidden";
    if (panel) return this.#draw();
    this.#drawn = this.#read = undefined;
    this.#target.replaceChildren();
    this.#legend?.replaceChildren();
    delete this.#legend?.dataset.key;
  }

  /** Marks the step that is shown elsewhere. */
  mark(step: number | undefined): void {
    if (step === this.#marked) return;
    this.#marked = step;
    this.#place(this.#mark, step);
  }

  /** Once a frame, however often the size changes. */
  #redraw(): void {
    if (this.#again) return;
    this.#again = true;
    requestAnimationFrame(() => {
      this.#again = false;
      if (this.#panel) this.#draw();
    });
  }

  #draw(): void {
    const [panel, target] = [this.#panel, this.#target];
    if (!panel) return;
    const size = { width: target.clientWidth, height: target.clientHeight };
    if (size.width === 0) return;
    const drawn = (this.#drawn = drawPanel(panel, size, this.#scale));
    const svg = this.#svg;
    svg.setAttribute("width", String(size.width));
    svg.setAttribute("height", String(size.height));
    svg.innerHTML = drawn.markup.replaceAll("%frame", `${this.#id}-frame`);
    svg.append(this.#mark, this.#cursor);
    this.#place(this.#mark, this.#marked);
    this.#nameLevels(panel, drawn);
    this.#nameCurves(panel);
    if (svg.parentElement !== target) target.replaceChildren(svg, this.#names, this.#tip);
    svg.setAttribute("aria-valuemin", "0");
    svg.setAttribute("aria-valuemax", String(panel.steps));
    this.#say();
    if (!this.#tip.hidden) this.#showTip(this.#read);
  }

  #place(line: SVGLineElement, step: number | undefined): void {
    const drawn = this.#drawn;
    line.setAttribute("visibility", drawn && step !== undefined ? "visible" : "hidden");
    if (!drawn || step === undefined) return;
    const x = drawn.x(step).toFixed(1);
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: drawn.frame.top, y2: drawn.frame.bottom }))
      line.setAttribute(name, String(value));
  }

  /** Buttons, so that they can be focused; kept while the floors are the same, so that a focus stays. */
  #nameLevels({ levels = [] }: Panel, { frame, names }: Drawn): void {
    const key = levels.map(({ name }) => name).join();
    if (this.#names.dataset.key !== key) {
      this.#names.dataset.key = key;
      const buttons = levels.map(({ name }, i) => {
        const button = make("button", { type: "button", textContent: SHORT[name] ?? name });
        const line = (): string => `[data-level="${i}"]`;
        this.#explains(button, line, () => {
          const { name, about, value } = this.#panel!.levels![i];
          return `${name}, ${short(value)}: ${about}`;
        });
        return button;
      });
      this.#names.replaceChildren(...buttons);
    }
    levels.forEach(({ colour }, i) => {
      const { style } = this.#names.children[i] as HTMLElement;
      style.left = `${frame.right + 14}px`;
      style.top = `${names[i]}px`;
      style.color = `var(--${colour})`;
    });
  }

  #nameCurves({ curves }: Panel): void {
    const list = this.#legend;
    const nameOf = ({ group, name }: CurveView): string => group ?? name;
    const first = curves.filter(
      (curve, i) => curves.findIndex((other) => nameOf(other) === nameOf(curve)) === i,
    );
    const key = first.map(nameOf).join();
    if (!list || list.dataset.key === key) return;
    list.dataset.key = key;
    const items = first.map((curve) => {
      const { colour, dash, about } = curve;
      const button = make("button", { type: "button", textContent: nameOf(curve) });
      button.style.setProperty("--colour", `var(--${colour})`);
      button.style.setProperty("--dash", dash === "dash" ? "dashed" : dash === "dot" ? "dotted" : "solid");
      const own = (): string =>
        this.#panel!.curves.flatMap((one, i) =>
          nameOf(one) === nameOf(curve) ? [`[data-curve="${i}"]`] : [],
        ).join();
      this.#explains(button, own, () => about);
      return make("li", {}, button);
    });
    list.replaceChildren(...items);
  }

  /** While a name is pointed at or focused, its line stands out and the words below say what it is. */
  #explains(button: HTMLButtonElement, lines: () => string, words: () => string): void {
    const begin = (): void => {
      this.#about.textContent = words();
      this.#svg.classList.add("one");
      for (const line of this.#svg.querySelectorAll(lines())) line.classList.add("chosen");
    };
    const end = (): void => {
      this.#about.textContent = HINT;
      this.#svg.classList.remove("one");
      for (const line of this.#svg.querySelectorAll(".chosen")) line.classList.remove("chosen");
    };
    for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, begin);
    for (const event of ["pointerleave", "blur"])
      button.addEventListener(event, () => {
        if (event === "blur" || document.activeElement !== button) end();
      });
    this.#about.id ||= `${this.#id}-about`;
    button.setAttribute("aria-describedby", this.#about.id);
  }

  #nearest(step: number): number | undefined {
    const steps = this.#drawn?.steps ?? [];
    if (steps.length === 0) return undefined;
    return steps.reduce(
      (best, one, i) => (Math.abs(one - step) < Math.abs(steps[best] - step) ? i : best),
      0,
    );
  }

  #readAt({ clientX }: PointerEvent): void {
    if (!this.#drawn || !this.#panel) return;
    const { x } = this.#drawn;
    const at = clientX - this.#svg.getBoundingClientRect().left;
    this.#showTip(this.#nearest((at - x(0)) / (x(1) - x(0))));
  }

  #key(event: KeyboardEvent): void {
    const count = this.#drawn?.steps.length ?? 0;
    if (event.key === "Escape") return this.#hideTip();
    if (count === 0) return;
    const now = this.#read ?? this.#nearest(this.#marked ?? 0)!;
    const to = {
      ArrowLeft: now - 1,
      ArrowDown: now - 1,
      ArrowRight: now + 1,
      ArrowUp: now + 1,
      Home: 0,
      End: count - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#showTip(Math.min(Math.max(to, 0), count - 1));
  }

  #showTip(read: number | undefined): void {
    const [drawn, panel] = [this.#drawn, this.#panel];
    if (read === undefined || !drawn || !panel || read >= drawn.steps.length) return this.#hideTip();
    this.#read = read;
    const step = drawn.steps[read];
    this.#place(this.#cursor, step);
    const rows = valuesAt(panel, step).map(({ curve, words }) => {
      const row = make(
        "div",
        {},
        make("i"),
        make("span", { textContent: curve.name }),
        make("b", { textContent: words }),
      );
      row.style.setProperty("--colour", `var(--${curve.colour})`);
      return row;
    });
    const words = `${panel.step} ${Number(step.toFixed(2))}`;
    this.#tip.replaceChildren(make("strong", { textContent: words }), ...rows);
    this.#tip.hidden = false;
    const { width } = this.#tip.getBoundingClientRect();
    const x = drawn.x(step);
    const beside = x + 12 + width <= this.#target.clientWidth ? x + 12 : x - 12 - width;
    this.#tip.style.left = `${Math.max(0, beside)}px`;
    this.#say();
  }

  #hideTip(): void {
    this.#tip.hidden = true;
    this.#place(this.#cursor, undefined);
  }

  /** For a screen reader: the step and every value at it. */
  #say(): void {
    const [drawn, panel] = [this.#drawn!, this.#panel!];
    const read = this.#read ?? this.#nearest(this.#marked ?? 0);
    const step = read === undefined ? undefined : drawn.steps[read];
    this.#svg.setAttribute("aria-valuenow", String(step ?? 0));
    const values = step === undefined ? [] : valuesAt(panel, step);
    const words = values.map(({ curve, words }) => `${curve.name} ${words}`).join("; ");
    this.#svg.setAttribute("aria-valuetext", words ? `${panel.step} ${step}: ${words}` : "nothing yet");
  }
}

/** What every curve is at a step, with its interval where there is one. */
export function valuesAt({ curves }: Panel, step: number): { curve: CurveView; words: string }[] {
  return curves.flatMap((curve) => {
    const i = curve.steps.indexOf(step);
    if (i < 0 || i >= curve.values.length) return [];
    const ends = curve.interval?.[i];
    const words = `${short(curve.values[i])}${ends ? ` [${short(ends.low)}, ${short(ends.high)}]` : ""}`;
    return [{ curve, words }];
  });
}
