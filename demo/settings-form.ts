/** The form and the link that restores it. What is typed is read by the command line's own rules. */
import { stepsToProbe } from "../src/probe/experiment/settings.ts";
import type { ModelView, RunSettings } from "./protocol.ts";
import { probeCommand } from "../src/commands/probe/settings.ts";

/** Fields that go to the probe as they are typed. */
const TYPED = ["video-steps", "probe-steps", "action-steps", "video-seeds", "action-seeds", "dtype"] as const;
const DEFAULTS: Record<string, string> = {
  "video-steps": "50",
  "probe-steps": "",
  "action-steps": "",
  "video-seeds": "2",
  "action-seeds": "1",
  dtype: "f32",
  episodes: "this",
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

  /** @throws UsageError in the command line's words, with fields in place of options */
  read(watched: number, count: number): RunSettings {
    const typed = Object.fromEntries(TYPED.map((name) => [name, this.#field(name).value.trim()]));
    const given = Object.fromEntries(Object.entries(typed).filter(([, value]) => value !== ""));
    const { settings } = probeCommand(given, "toy");
    const { videoSteps = VIDEO_STEPS, actionSeeds, dtype = "f32" } = settings;
    return {
      ...settings,
      ...{ videoSteps, dtype, probeSteps: this.#probed(settings.probeSteps, videoSteps) },
      actionSeeds: Array.isArray(actionSeeds) ? actionSeeds : [0],
      episodes: this.#episodes(watched, count),
    };
  }

  #probed(asked: readonly number[] | undefined, videoSteps: number): number[] {
    if (asked || !this.#plan) return stepsToProbe(asked, videoSteps);
    const { steps, probed } = this.#plan;
    const usual = probed.map((step) => Math.round((step * videoSteps) / steps));
    return [...new Set(usual)].sort((a, b) => a - b);
  }

  /** Enough episodes for an interval around every mean. */
  measureFour(): void {
    this.#field("episodes").value = "4";
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

  /** The watched episode comes first, so that its future is imagined as early as can be. */
  #episodes(watched: number, count: number): number[] {
    const choice = this.#field("episodes").value;
    const wanted = choice === "this" ? 1 : choice === "all" ? count : Math.min(count, Number(choice));
    return Array.from({ length: wanted }, (_, i) => (watched + i) % count);
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
