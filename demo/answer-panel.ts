/**
 * The answer as it fills in: what all episodes measured so far say, and the scene on the screen; further down why, what misleads, and what
 * must not be concluded.
 */
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

/** How the page is read, until something was measured. */
const HOW_TO_READ =
  "Run imagines what comes next; the errors appear as the steps are reached. Dashed lines are what ignoring the scene would score; the dotted curve is what any straight " +
  "flow gives, whatever was learned.";

export class AnswerPanel {
  readonly #line: HTMLElement;
  readonly #notes: HTMLElement;
  readonly #scene = make("span", { className: "says" });
  /** what the scene's answer is worth */
  readonly #worth = make("span");
  readonly #picture = make("span");
  readonly #all = make("span", { className: "verdict" });
  readonly #reason = make("span");
  readonly #statement = make("span");
  readonly #rule = make("span", { className: "rule", id: "settling-rule", hidden: true });
  readonly #why = make("button", { type: "button", className: "why", textContent: "How this is counted" });
  #running = false;
  #soFar: SoFarView | undefined;

  /**
   * @param line what is read first
   * @param notes what stands behind it
   */
  constructor(line: HTMLElement, notes: HTMLElement) {
    this.#line = line;
    this.#notes = notes;
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
    for (const part of this.#parts) say(part, "");
    this.#line.replaceChildren(HOW_TO_READ);
    this.#notes.replaceChildren();
  }

  /** A run begins. */
  begin(): void {
    this.clear();
    this.#running = true;
  }

  /** What a larger run concluded, beside which a recorded scene is shown. */
  recorded({ sentence, numbers }: { readonly sentence: string; readonly numbers: string }): void {
    this.clear();
    say(this.#all, sentence);
    say(this.#reason, numbers);
  }

  /** The scene on the screen, whenever more is known of it or another one is looked at. */
  show(scene: ShownScene): void {
    const whole = scene.states.length > 0 && scene.states.every(Boolean);
    const [first = "", ...more] = whole || !this.#running ? sceneSentences(scene) : [];
    say(this.#scene, first && `${first} `);
    if (whole) this.#scene.append(this.#why, this.#rule);
    say(this.#worth, more.join(" "));
    this.#rule.textContent = ` ${settlingRule(scene)}`;
    say(this.#picture, pictureSentence(scene) ?? "");
    this.#arrange();
  }

  /** One more episode is known. */
  soFar(soFar: SoFarView): void {
    this.#soFar = soFar;
    if (soFar.of > 1) this.#sayVerdict(...headed(soFarSentence(soFar)));
    this.#arrange();
  }

  done(result: ProbeResult): void {
    this.#running = false;
    this.#sayVerdict(...resultSentences(result));
    say(this.#statement, result.statement);
    this.#arrange();
  }

  /** What was reached stays. */
  cancelled(): void {
    this.#running = false;
    if (this.#soFar && this.#soFar.of > 1)
      this.#sayVerdict(...headed(`Cancelled after ${soFarSentence(this.#soFar)}`));
    this.#arrange();
  }

  get #parts(): readonly HTMLElement[] {
    return [this.#all, this.#scene, this.#worth, this.#picture, this.#reason, this.#statement];
  }

  #sayVerdict(head: string, rest: string): void {
    say(this.#all, head);
    say(this.#reason, rest);
  }

  #arrange(): void {
    const said = (parts: readonly HTMLElement[]): HTMLElement[] =>
      parts.filter(({ textContent }) => textContent !== "");
    const line = said([this.#all, this.#scene]);
    if (line.length > 0) place(this.#line, line);
    place(this.#notes, said([this.#worth, this.#picture, this.#reason, this.#statement]));
  }
}

/** A first sentence, and the others. */
function headed(sentences: string): readonly [head: string, rest: string] {
  const end = /\. (?=[A-Z0-9])/.exec(sentences)?.index ?? sentences.length;
  return [sentences.slice(0, end + 1), sentences.slice(end + 2)];
}

/** What is read aloud is what has changed. */
function place(parent: HTMLElement, shown: readonly HTMLElement[]): void {
  const now = [...parent.childNodes];
  if (now.length !== shown.length || now.some((node, i) => node !== shown[i]))
    parent.replaceChildren(...shown);
}

function say(part: HTMLElement, words: string): void {
  const own = part.firstChild?.nodeType === 3 ? part.firstChild.textContent : part.textContent;
  if (own !== words) part.textContent = words;
}
