/** The recorded run as the page shows it: as if it had been measured here, and said to be recorded. */
import { make } from "../dom.ts";
import type { ModelPlace, ModelView } from "../protocol.ts";
import type { Scene, ShownRun } from "../scene.ts";
import { loadRecording } from "./load.ts";
import type { RecordedVerdict, Recording } from "./recording.ts";

export class Recorded {
  readonly #recording: Recording;

  private constructor(recording: Recording) {
    this.#recording = recording;
  }

  /** @throws FormatError when there is none beside the page */
  static async load(): Promise<Recorded> {
    return new Recorded(await loadRecording());
  }

  get model(): ModelView {
    return this.#recording.model;
  }

  get run(): ShownRun {
    return this.#recording.run;
  }

  get episode(): number {
    return this.#recording.settings.episode;
  }

  /** What it is, in a few words. */
  get source(): string {
    const { videoSeeds } = this.#recording.settings;
    return `recorded · episode ${this.episode} · seeds ${videoSeeds.join(", ")}`;
  }

  /** Says in `paragraph` how both runs are made again. */
  describeIn(paragraph: HTMLElement): void {
    const { command, verdict, madeBy } = this.#recording;
    const code = (textContent: string): HTMLElement => make("code", { textContent });
    const parts = [
      "Recorded on ",
      madeBy.device,
      ": ",
      code(command),
      " The answer beside it: ",
      code(verdict.command),
    ];
    paragraph.replaceChildren(...parts);
  }

  /** What a larger run concluded. */
  get verdict(): RecordedVerdict {
    return this.#recording.verdict;
  }

  /** Whether it is a run of this model on these episodes. */
  isOf(place: ModelPlace, view: ModelView): boolean {
    const own = this.#recording.model;
    if (place.kind !== "toy" || view.name !== own.name || view.recorded !== undefined) return false;
    const [here, there] = [view.episodes[this.episode], own.episodes[this.episode]];
    return here?.id === there.id && here.prompt === there.prompt;
  }

  /** @param step to be stayed at; undefined: the steps play, where motion is wanted */
  showOn(scene: Scene, step: number | undefined): void {
    const { run, states } = this.#recording;
    scene.begin(run);
    for (const state of states) scene.add(state);
    scene.stayAt(step ?? run.steps.at(-1));
    if (step === undefined) scene.playFromStart();
  }
}
