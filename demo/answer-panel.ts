/** The answer as it fills in: of the scene on the screen, of the episodes measured behind it, and what must not be concluded. */
import type { ProbeResult } from "../src/probe/result/result.ts";
import {
  pictureSentence,
  resultSentences,
  sceneSentences,
  settlingRule,
  type ShownScene,
  soFarSentence,
} from "./answer.ts";
import { make } from "./dom.ts";
import type { SoFarView } from "./protocol.ts";
import "./answer.css";

export class AnswerPanel {
  readonly #line: HTMLElement;
  /** how the page is read, until something was measured */
  readonly #first: string;
  readonly #scene = make("span", { className: "says" });
  readonly #picture = make("span");
  readonly #all = make("span", { className: "verdict" });
  readonly #rule = make("span", { className: "rule", id: "settling-rule", hidden: true });
  readonly #why = make("button", { type: "button", className: "why", textContent: "How this is counted" });
  #running = false;
  #said = "";
  #soFar: SoFarView | undefined;

  constructor(line: HTMLElement) {
    this.#line = line;
    this.#first = line.textContent;
    this.#why.setAttribute("aria-expanded", "false");
    this.#why.setAttribute("aria-controls", "settling-rule");
    this.#why.addEventListener("click", () => {
      this.#rule.hidden = !this.#rule.hidden;
      this.#why.setAttribute("aria-expanded", String(!this.#rule.hidden));
    });
  }

  /** As before anything was measured. */
  clear(): void {
    this.#soFar = undefined;
    this.#running = false;
    for (const part of [this.#scene, this.#picture, this.#all]) part.textContent = "";
    this.#said = "";
    this.#line.replaceChildren(this.#first);
  }

  /** A run begins. */
  begin(): void {
    this.clear();
    this.#running = true;
  }

  /** The scene on the screen, whenever more is known of it or another one is looked at. */
  show(scene: ShownScene): void {
    const whole = scene.states.length > 0 && scene.states.every(Boolean);
    const [first, ...more] = whole || !this.#running ? sceneSentences(scene) : [];
    const words = [first ?? "", ...more].join(" ");
    // What is read aloud is what has changed.
    if (this.#said !== words) {
      const rest = ` ${more.join(" ")} `;
      this.#scene.replaceChildren(...(first ? [make("strong", { textContent: first }), rest] : []));
      if (first && whole) this.#scene.append(this.#why, this.#rule);
      this.#said = words;
    }
    this.#rule.textContent = ` ${settlingRule(scene)}`;
    say(this.#picture, pictureSentence(scene) ?? "");
    this.#arrange();
  }

  /** One more episode is known. */
  soFar(soFar: SoFarView): void {
    this.#soFar = soFar;
    if (soFar.of > 1) say(this.#all, soFarSentence(soFar));
    this.#arrange();
  }

  done(result: ProbeResult): void {
    this.#running = false;
    say(this.#all, resultSentences(result));
    this.#arrange(result.statement);
  }

  /** What was reached stays. */
  cancelled(): void {
    this.#running = false;
    if (this.#soFar && this.#soFar.of > 1) say(this.#all, `Cancelled after ${soFarSentence(this.#soFar)}`);
    this.#arrange();
  }

  #arrange(statement = ""): void {
    const parts = [this.#scene, this.#picture, this.#all].filter(({ textContent }) => textContent !== "");
    const shown = [...parts, ...(statement ? [make("span", { textContent: statement })] : [])];
    if (shown.length === 0) return;
    const now = [...this.#line.childNodes];
    if (statement || now.length !== shown.length || now.some((node, i) => node !== shown[i]))
      this.#line.replaceChildren(...shown);
  }
}

function say(part: HTMLElement, words: string): void {
  if (part.textContent !== words) part.textContent = words;
}
