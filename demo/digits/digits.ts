/**
 * The digits: pictures by the average velocity and by Euler's steps side by side from the same noise, drawn call by call. Loaded when their
 * section is opened. Where nothing can be computed, recorded ones are shown after their last call.
 *
 * Axes: B pictures, C channels, H rows, W columns.
 */
import { make, prefersStill } from "../dom.ts";
import { hideFailure, showFailure } from "../failure.ts";
import { Block } from "./block.ts";
import { Controls } from "./controls.ts";
import { DistancePlot } from "./distance-plot.ts";
import { checkFigures, type Figures, sentence } from "./figures.ts";
import type {
  DigitsEvent,
  DigitsRequest,
  DrawnView,
  DrawWish,
  SamplesPlace,
  SamplesView,
} from "./protocol.ts";
import { readRecorded } from "./recorded.ts";
import { CALLS, type DigitsSettings } from "./settings.ts";
import { startSampling } from "./work.ts";
import "./digits.css";

const RULES = ["average", "instant"] as const;
/** Rows of pictures, and columns where they are not the classes. */
const [ROWS, COLUMNS] = [3, 10];
/** More classes than this are shown one at a time. */
const MOST_CLASSES = 12;
/** Milliseconds that a state stands at least while calls are looked at, and the last one while all numbers of calls are played. */
const pace = (calls: number): number => Math.min(500, Math.max(45, 1200 / calls));
const REST = 1600;

/** What draws: the worker, or the recording. */
interface Source {
  readonly draw: (id: number, wish: DrawWish) => void;
  /** pictures of one class, at most */
  readonly ofClass: number;
}

export class DigitsPanel {
  readonly #blocks = { average: new Block("average"), instant: new Block("instant") };
  readonly #controls: Controls;
  readonly #plot = new DistancePlot();
  readonly #says = make("p", { className: "says" });
  readonly #status = make("p", { className: "quiet", id: "digits-status" });
  readonly #announce = make("p", { className: "unseen" });
  readonly #back = make("button", { type: "button", textContent: "Back to the digits", hidden: true });
  readonly #onChange: () => void;
  #settings: DigitsSettings;
  #place!: SamplesPlace;
  /** opened, or asked for */
  #asked!: SamplesPlace;
  /** asks the worker, where one computes */
  #ask: ((request: DigitsRequest) => void) | undefined;
  #source: Source | undefined;
  #model: SamplesView | undefined;
  #figures: Figures | undefined;
  /** number of the pictures that are wanted; others come too late */
  #id = 0;
  #arrived = new Map<string, DrawnView[]>();
  #next = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #playing = false;

  constructor(body: HTMLElement, settings: DigitsSettings, onChange: () => void) {
    this.#settings = settings;
    this.#onChange = onChange;
    this.#controls = new Controls(settings, {
      set: (changed) => {
        this.#stopPlaying();
        this.#set({ ...this.#settings, ...changed });
      },
      play: () => (this.#playing ? this.#stopPlaying() : this.#play()),
      noise: () => {
        const wish = this.#wish();
        const next = this.#settings.seed + 1 + Math.max(...wish.seeds) - Math.min(...wish.seeds);
        this.#set({ ...this.#settings, seed: next > 999_999_999 ? 0 : next });
      },
      refuse: (message) => showFailure("UsageError", message, "Change it, and the pictures are drawn anew."),
    });
    this.#announce.setAttribute("role", "status");
    body.replaceChildren(
      this.#controls.element,
      make("div", { className: "sides" }, ...RULES.map((rule) => this.#blocks[rule].element)),
      make(
        "div",
        { className: "below" },
        this.#plot.element,
        make("div", {}, this.#says, this.#status, this.#back),
      ),
      this.#announce,
    );
  }

  get settings(): DigitsSettings {
    return this.#settings;
  }

  get place(): SamplesPlace {
    return this.#place;
  }

  /** Ends what plays. */
  stop(): void {
    this.#stopPlaying();
  }

  /**
   * Draws on this browser's GPU.
   * @param digits those beside the page, whose figures are known
   */
  async compute(place: SamplesPlace, digits: SamplesPlace): Promise<void> {
    this.#place = digits;
    await this.#readFigures(digits);
    const ask = (this.#ask = startSampling(
      (event) => this.#hear(event),
      (message) => showFailure("Error", message),
    ));
    this.#source = { draw: (id, wish) => ask({ type: "draw", id, wish }), ofClass: ROWS * COLUMNS };
    this.#back.addEventListener("click", () => this.open(digits));
    this.#open(place);
  }

  /** Another model of the same kind; where nothing is computed none can be opened. */
  open(place: SamplesPlace): void {
    if (!this.#ask) return;
    hideFailure();
    this.#stopPlaying();
    this.#open(place);
  }

  #open(place: SamplesPlace): void {
    this.#asked = place;
    this.#say("Opening…");
    this.#ask!({ type: "open", place });
  }

  /** Shows what was recorded of the digits beside the page. */
  async recorded(digits: SamplesPlace): Promise<void> {
    this.#place = digits;
    await this.#readFigures(digits);
    const file = await fetch(besidePage(digits, "recorded.safetensors"));
    if (!file.ok) throw new Error(`the recorded digits are not at ${file.url} (${file.status})`);
    const { shape, classes, rowsOf, picture } = await readRecorded(new Uint8Array(await file.arrayBuffer()));
    const ofClass = rowsOf(0).length;
    this.#source = {
      ofClass,
      draw: (id, { labels, seeds, calls }) => {
        const rows = labels!.map((label, i) => rowsOf(label)[seeds[i] % ofClass]);
        for (const rule of RULES)
          for (const step of [0, calls]) {
            const pictures = rows.map((row) => picture(step === 0 ? "noise" : rule, calls, row));
            const bytes = new Uint8Array(pictures.flatMap((each) => [...each]));
            this.#take(id, { rule, step, steps: calls, bytes });
          }
      },
    };
    this.#controls.recorded();
    this.#say("This browser offers no WebGPU, so these are recorded samples, shown after their last call.");
    const rules = RULES.map((name) => ({ name }));
    this.#show({ name: "digits", trainedOn: "toy", classes, shape, rules, mostTogether: Infinity });
  }

  async #readFigures(digits: SamplesPlace): Promise<void> {
    const file = await fetch(besidePage(digits, "reference.json"));
    if (!file.ok) throw new Error(`the figures of the digits are not at ${file.url} (${file.status})`);
    this.#figures = checkFigures((await file.json()) as Figures);
  }

  #hear(event: DigitsEvent): void {
    switch (event.type) {
      case "opened":
        this.#place = this.#asked;
        return this.#show(event.model);
      case "progress":
        return this.#say(`${event.words}: ${Math.round((100 * event.done) / event.total)} %`);
      case "drawn":
        return this.#take(event.id, event.drawn);
      case "done":
        if (event.id === this.#id) this.#say(this.#computed(event.seconds, event.device));
        return;
      case "failed": {
        const { during, kind, message } = event;
        const kept = during === "open" && this.#model;
        const drawing = during === "draw" ? "Change a setting to draw anew." : undefined;
        showFailure(kind, message, kept ? "The model that was open stays open." : drawing);
        this.#say(kept ? "Ready." : "Stopped.");
        this.#stopPlaying();
        if (during !== "open") return;
        if (kept) this.#draw();
        else if (this.#asked.kind !== "digits") this.#open(this.#place);
      }
    }
  }

  #show(model: SamplesView): void {
    this.#model = model;
    const known = model.name === "digits" && this.#place.kind === "digits";
    this.#back.hidden = known;
    for (const { name, refused } of model.rules) this.#blocks[name].refuse(refused);
    this.#plot.element.hidden = !known;
    this.#controls.open(model.classes, model.classes <= MOST_CLASSES);
    const { label } = this.#settings;
    if (label !== undefined && label >= model.classes) {
      const has = model.classes === 0 ? "no classes" : `the classes 0 to ${model.classes - 1}`;
      showFailure("LinkError", `there is no class ${label} here; ${model.name} knows ${has}.`);
      this.#settings = { ...this.#settings, label: undefined };
    }
    if (this.#settings.label === undefined && model.classes > MOST_CLASSES)
      this.#settings = { ...this.#settings, label: 0 };
    this.#set(this.#settings);
  }

  #set(settings: DigitsSettings): void {
    this.#settings = settings;
    this.#controls.show(settings);
    this.#onChange();
    this.#draw();
  }

  /** As the command line takes classes in turn, and counts seeds on with every turn. */
  #wish(): DrawWish {
    const { label, calls, seed } = this.#settings;
    const { classes = 0, mostTogether = 1 } = this.#model ?? {};
    const taken = label !== undefined ? [label] : Array.from({ length: classes }, (_, c) => c);
    const turn = Math.max(1, taken.length);
    const most = turn > 1 ? ROWS * turn : this.#source!.ofClass;
    const each = Array.from({ length: Math.min(most, mostTogether) }, (_, i) => i);
    return {
      ...(taken.length > 0 && { labels: each.map((i) => taken[i % turn]) }),
      seeds: each.map((i) => seed + Math.floor(i / turn)),
      calls,
    };
  }

  #draw(): void {
    const { shape, classes } = this.#model!;
    const { calls, label } = this.#settings;
    const wish = this.#wish();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#arrived = new Map();
    this.#next = 0;
    const known = this.#plot.element.hidden ? undefined : this.#figures;
    const columns = label === undefined && classes > 1 ? classes : COLUMNS;
    const words = this.#words(wish);
    for (const rule of RULES) this.#blocks[rule].begin({ count: wish.seeds.length, columns, shape, words });
    for (const rule of RULES) this.#blocks[rule].figures(known, calls);
    if (known) this.#plot.show(known, calls);
    this.#says.textContent = known ? sentence(known, calls) : "";
    this.#source!.draw(++this.#id, wish);
  }

  /** What a block shows, for those who do not see it. */
  #words({ seeds, labels }: DrawWish): string {
    const kinds = new Set(labels);
    const of = kinds.size === 1 ? ` of class ${labels![0]}` : kinds.size > 1 ? " of every class" : "";
    return `${seeds.length} pictures${of}`;
  }

  #take(id: number, drawn: DrawnView): void {
    if (id !== this.#id) return;
    this.#arrived.set(drawn.rule, [...(this.#arrived.get(drawn.rule) ?? []), drawn]);
    if (this.#timer === undefined) this.#advance();
  }

  /** Shows the next state when it is there of every rule, and those after it at a pace that can be followed. */
  #advance(): void {
    const drawing = this.#model!.rules.filter(({ refused }) => refused === undefined);
    const states = drawing.map(({ name }) => this.#arrived.get(name)?.[this.#next]);
    if (!states.every((state) => state !== undefined)) return;
    this.#next++;
    const [{ step, steps }] = states;
    const last = step === steps;
    if (last || !prefersStill()) for (const state of states) this.#blocks[state.rule].paint(state);
    const wait = last ? REST : prefersStill() ? 0 : pace(steps);
    if (last) this.#announce.textContent = `Drawn after ${steps} ${steps === 1 ? "call" : "calls"}`;
    if (last && !this.#playing) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (last) this.#playOn();
      else this.#advance();
    }, wait);
  }

  /** From one call on through all numbers of calls, or from the one that is shown. */
  #play(): void {
    this.#playing = true;
    this.#controls.playing = true;
    const { calls } = this.#settings;
    this.#set({ ...this.#settings, calls: calls === CALLS.at(-1) ? CALLS[0] : calls });
  }

  #playOn(): void {
    const next = CALLS[CALLS.indexOf(this.#settings.calls) + 1];
    if (!this.#playing || next === undefined) return this.#stopPlaying();
    this.#set({ ...this.#settings, calls: next });
  }

  #stopPlaying(): void {
    this.#playing = false;
    this.#controls.playing = false;
  }

  #computed(seconds: number, device: string): string {
    const { name, rules } = this.#model!;
    const drawing = rules.filter(({ refused }) => refused === undefined).length;
    const pictures = drawing * this.#wish().seeds.length;
    const time = seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`;
    const whose = this.#back.hidden ? "" : `${name}: `;
    return `${whose}${pictures} pictures of ${this.#settings.calls} ${this.#settings.calls === 1 ? "call" : "calls"} each, computed here in ${time} on ${device}.`;
  }

  #say(words: string): void {
    this.#status.textContent = words.charAt(0).toUpperCase() + words.slice(1);
  }
}

function besidePage(digits: SamplesPlace, file: string): URL {
  if (digits.kind !== "digits") throw new Error("only what lies beside the page has figures");
  return new URL(`digits/${file}`, digits.page);
}
