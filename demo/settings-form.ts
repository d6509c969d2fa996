/** The form and the link that restores it. What is typed is read by the command line's own rules. */
import { stepsToProbe } from "../src/probe/experiment/settings.ts";
import type { ModelView, RunSettings } from "./protocol.ts";
import { probeCommand } from "../src/commands/probe/settings.ts";
import { FEWEST_EPISODES } from "../src/probe/statistics/sufficient.ts";

/** Fields that go to the probe as they are typed. */
const TYPED = ["video-steps", "probe-steps", "action-steps", "video-seeds", "action-seeds", "dtype"] as const;
const DEFAULTS: Record<string, string> = {
  "video-steps": "50",
  "probe-steps": "",
  "action-steps": "",
  "video-seeds": "2",
  "action-seeds": "1",
  dtype: "f32",
  // The fewest that give a verdict, see src/probe/statistics/sufficient.ts.
  episodes: String(FEWEST_EPISODES),
};

const VIDEO_STEPS = 50;

export class SettingsForm {
  readonly #form: HTMLFormElement;
  #usual: Record<string, string> = DEFAULTS;
  #plan: ModelView["plan"];

  constructor(form: HTMLFormElement, onChange: () => void) {
    this.#form = form;
    this.restore(new URLSearchParams());
    form.addEventListener("change", () => {
      this.#showDefaults();
      onChange();
    });
  }

  /** What is usual for a model takes the place of what was usual before; what a person has set stays. */
  open({ plan }: ModelView): void {
    const before = this.#usual;
    this.#plan = plan;
    this.#usual = { ...DEFAULTS, ...(plan && { "video-steps": String(plan.steps) }) };
    for (const [name, value] of Object.entries(this.#usual))
      if (this.#field(name).value === before[name]) this.#field(name).value = value;
    this.#showDefaults();
  }

  /**
   * @param alone whether only the watched episode is to be measured: with words of its own it has no truth to share with others
   * @throws UsageError in the command line's words, with fields in place of options
   */
  read(watched: number, count: number, alone = false): RunSettings {
    const typed = Object.fromEntries(TYPED.map((name) => [name, this.#field(name).value.trim()]));
    const given = Object.fromEntries(Object.entries(typed).filter(([, value]) => value !== ""));
    const { settings } = probeCommand(given, "toy");
    const { videoSteps = VIDEO_STEPS, actionSeeds, dtype = "f32" } = settings;
    return {
      ...settings,
      ...{ videoSteps, dtype, probeSteps: this.#probed(settings.probeSteps, videoSteps) },
      actionSeeds: Array.isArray(actionSeeds) ? actionSeeds : [0],
      episodes: alone ? [watched] : this.#episodes(watched, count),
    };
  }

  #probed(asked: readonly number[] | undefined, videoSteps: number): number[] {
    if (asked || !this.#plan) return stepsToProbe(asked, videoSteps);
    const { steps, probed } = this.#plan;
    const usual = probed.map((step) => Math.round((step * videoSteps) / steps));
    return [...new Set(usual)].sort((a, b) => a - b);
  }

  /** Whether there are more episodes than are asked for. */
  canMeasureMore(count: number): boolean {
    return this.#count(count) < count;
  }

  /** The next larger number of episodes. */
  measureMore(count: number): void {
    const field = this.#field("episodes") as HTMLSelectElement;
    const now = this.#count(count);
    const more = [...field.options].map(({ value }) => value).find((value) => countOf(value, count) > now);
    field.value = more ?? "all";
  }

  /** Settings other than the defaults, as parameters of a link. */
  parameters(): URLSearchParams {
    const names = Object.keys(DEFAULTS).filter((name) => this.#field(name).value !== this.#usual[name]);
    return new URLSearchParams(names.map((name) => [name, this.#field(name).value]));
  }

  /** Takes settings from a link; what it does not name gets its default. */
  restore(parameters: URLSearchParams): void {
    for (const [name, value] of Object.entries(DEFAULTS))
      this.#field(name).value = parameters.get(name) ?? value;
    this.#showDefaults();
  }

  /** The watched episode and those after it. It stands last in the list, whose last is measured first: see src/probe/experiment/episode-run.ts. */
  #episodes(watched: number, count: number): number[] {
    const wanted = this.#count(count);
    return Array.from({ length: wanted }, (_, i) => (watched + 1 + i) % count).map((index, i) =>
      i === wanted - 1 ? watched : index,
    );
  }

  #count(count: number): number {
    return countOf(this.#field("episodes").value, count);
  }

  /** An empty field shows what it stands for. */
  #showDefaults(): void {
    const { value } = this.#field("video-steps");
    const field = this.#field("probe-steps") as HTMLInputElement;
    try {
      const { videoSteps = VIDEO_STEPS } = probeCommand({ "video-steps": value }, "toy").settings;
      field.placeholder = this.#probed(undefined, videoSteps).join(",");
    } catch {
      field.placeholder = "";
    }
  }

  #field(name: string): HTMLInputElement | HTMLSelectElement {
    return this.#form.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement;
  }
}

/** How many of `count` episodes a choice of the form means. */
const countOf = (choice: string, count: number): number =>
  choice === "this" ? 1 : choice === "all" ? count : Math.min(count, Number(choice) || 1);
