/**
 * The page: what is clicked becomes wishes to the worker, what the worker tells becomes pictures. A recorded run plays until there is
 * something else to be looked at; the worker is started behind it.
 */
import { FormatError, UsageError } from "../src/errors.ts";
import { AnswerPanel } from "./answer-panel.ts";
import { Charts } from "./chart.ts";
import { offerComparison } from "./compare.ts";
import { DevicePanel } from "./device-panel.ts";
import { DigitsSection } from "./digits/section.ts";
import { byId } from "./dom.ts";
import { prepareDownloads } from "./downloads.ts";
import { EpisodeForm } from "./episode-form.ts";
import { hideFailure, showFailure } from "./failure.ts";
import { Guard } from "./guard.ts";
import { absentHere, refusedValues } from "./link-words.ts";
import { address, linked } from "./link.ts";
import { liveCurves, meanCurves } from "./live.ts";
import { offerModels, TOY } from "./model-chooser.ts";
import { pause } from "./pause.ts";
import type { DataPlace, Event, ModelPlace, ModelView, RunSettings, SoFarView } from "./protocol.ts";
import { Recorded } from "./recording/recorded.ts";
import { Robot } from "./robot.ts";
import { Scene, type ShownRun } from "./scene.ts";
import { SettingsForm } from "./settings-form.ts";
import { restartTiming, say, showProgress } from "./status.ts";
import { adapterHere, startWorker } from "./work.ts";

const form = byId<HTMLFormElement>("form");
const runButton = byId<HTMLButtonElement>("run");
const moreButton = byId<HTMLButtonElement>("measure-more");
const answers = new AnswerPanel(byId("answer"), byId("notes"));

let model: ModelView | undefined;
/** whether the worker has it: the recording shows a model that may not be open yet */
let opened = false;
/** what is open, and what was asked for since */
let place = TOY;
let asked: ModelPlace | undefined;
/** what is shown: of this page, or the recorded one */
let run: ShownRun | undefined;
let recorded: Recorded | undefined;
let running = false;
/** what the episodes measured so far say together */
let soFar: SoFarView | undefined;
/** the episode that is measured now, while a run goes on */
let measuring: number | undefined;
let software = false;
let startedAt = 0;
/** the step that a person went to, and one that a link asks for before anything was measured */
let viewed: number | undefined;
let wished: number | undefined;

const charts = new Charts(
  [byId("video-plot"), byId("action-plot")],
  [byId("video-legend"), byId("action-legend")],
);
const scene = new Scene({
  onLook: (step, actionStep) => charts.mark(step, actionStep),
  onChoose: (step) => {
    viewed = step;
    wished = undefined;
    rememberLink();
  },
});
const devicePanel = new DevicePanel(byId("device-facts"));
const settings = new SettingsForm(form, settingsChanged);
const episodes = new EpisodeForm(choose, settingsChanged);
const downloads = prepareDownloads(link);
const robot = new Robot(
  (wish) => ask({ type: "act", wish, dtype: settingsOrDefault().dtype }),
  () => ask({ type: "cancel" }),
);

const comparison = offerComparison(byId<HTMLDetailsElement>("compare"), {
  model: () => model,
  episode: () => scene.episode,
  settings: () => settings.read(scene.episode, model!.episodes.length, true),
  start: (wish) => {
    hideFailure();
    if (robot.acting) ask({ type: "cancel" });
    robot.enabled = false;
    restartTiming();
    say("Comparing: starting…", undefined);
    ask({ type: "compare", wish });
  },
  stop: () => ask({ type: "cancel" }),
  refuse: refuseFile,
});

/** whether what is asked for would end a measurement */
const guard = new Guard(
  () => running || comparison.inside?.active === true,
  (request) => ask(request),
);

const ask = startWorker(hear, (message) => showFailure("Error", message));

const refused = refusedValues(linked, [form, byId<HTMLFormElement>("data")]);
settings.restore(linked);
const digits = new DigitsSection(linked, rememberLink);
const hubName = linked.get("model");
const data = offerModels({
  open: (wanted) => {
    // A set that is named goes with the next model; the toy brings its own.
    const named = wanted === TOY ? undefined : data.named();
    hideFailure();
    void guard.passes({ model: wanted, data: named }).then((passes) => {
      if (!passes) return;
      if (wanted === TOY) data.clear();
      open(wanted, named);
    });
  },
  useData: (wanted) => {
    if (!wanted) return useData(wanted);
    void guard.passes({ data: wanted }).then((passes) => passes && useData(wanted));
  },
  showReport: ({ file, path }) => {
    hideFailure();
    import("./report-view.ts").then(({ openReport }) => openReport(file, path)).catch(refuseFile);
  },
  refuse: refuseFile,
});
const named = data.restore(linked);
void begin();

/** First what needs no GPU and no weights, then the rest behind it. */
async function begin(): Promise<void> {
  // What stands there before anything is loaded is the recording's.
  if (hubName || named) answers.clear();
  else await showRecording();
  if (await adapterHere()) return open(hubName ? { kind: "hub", name: hubName } : TOY, named);
  if (!recorded) await showRecording();
  document.body.classList.add("without-gpu");
}

async function showRecording(): Promise<void> {
  try {
    recorded = await Recorded.load();
  } catch (error) {
    return showFailure("Error", (error as Error).message, "The page can still compute.");
  }
  recorded.describeIn(byId("recording-facts"));
  present(recorded.model);
  await pause();
}

byId("dismiss").addEventListener("click", hideFailure);
addEventListener("keydown", ({ key }) => {
  if (key === "Escape") hideFailure();
});

/** A file that cannot be used, or a field that cannot be read: nothing was touched. */
function refuseFile(error: Error): void {
  const kind =
    error instanceof UsageError ? "UsageError" : error instanceof FormatError ? "FormatError" : "Error";
  showFailure(kind, error.message, kind === "UsageError" ? undefined : untouched());
}

const untouched = (): string =>
  running ? "Nothing was touched; the measurement goes on." : "What was open stays open.";

function open(wanted: ModelPlace, recordings?: DataPlace): void {
  asked = wanted;
  const dtype = settingsOrDefault().dtype;
  say("Opening…", undefined);
  // What is set belongs to the model that was open.
  runButton.disabled = moreButton.disabled = true;
  ask({ type: "open", place: wanted, data: recordings, dtype });
}

/** Other episodes for the model that is open. */
function useData(wanted: DataPlace | undefined): void {
  hideFailure();
  runButton.disabled = moreButton.disabled = true;
  ask({ type: "data", place: wanted });
}

function hear(event: Event): void {
  switch (event.type) {
    case "opened":
      return showModel(event.model);
    case "samples":
      return showSamples(event.place);
    case "device":
      devicePanel.device = event.device;
      software = event.device.software;
      return;
    case "ready":
      if (!running)
        say(software ? "Ready. This adapter is a CPU: few video steps keep it short." : "Ready.", 0);
      return;
    case "progress":
      return showProgress(event);
    case "state":
      scene.add(event.state);
      return showLive();
    case "measuring":
      measuring = event.episode;
      showSource();
      return episodes.mark(measuring, "measuring");
    case "soFar":
      soFar = event.soFar;
      for (const episode of soFar.episodes) episodes.mark(episode, "measured");
      answers.soFar(soFar);
      return showLive();
    case "compared":
      return comparison.inside?.add(event.side, event.state);
    case "comparedAll":
      return endComparison("Compared.");
    case "checked":
      return guard.answered(true);
    case "cost":
      devicePanel.cost = event.cost;
      return;
    case "acting":
      return robot.show(event.act);
    case "acted":
      return robot.end();
    case "done":
      return showResult(event);
    case "cancelled":
      if (comparison.inside?.active)
        return endComparison("Cancelled. What was reached can still be looked at.");
      stop();
      answers.cancelled();
      showLive();
      return say("Cancelled. What was reached can still be looked at.", 0);
    case "warning":
      return showFailure(event.kind, event.message);
    case "failed":
      if (event.during === "check") {
        guard.answered(false);
        return showFailure(event.kind, event.message, untouched());
      }
      stop();
      comparison.inside?.ended();
      robot.end();
      return showRefusal(event);
  }
}

/** What is being measured instead has the status line, if anything is. */
function endComparison(words: string): void {
  comparison.inside?.ended();
  if (running) return;
  robot.enabled = opened;
  say(words, 0);
}

function showRefusal({ during, kind, message }: Extract<Event, { type: "failed" }>): void {
  const kept = (during === "data" || asked !== undefined) && during !== "run" && opened;
  asked = undefined;
  runButton.disabled = !opened;
  const stays =
    during === "data" ? "The episodes that were open stay open." : "The model that was open stays open.";
  showFailure(kind, message, kept ? stays : undefined);
  say(kept ? "Ready." : opened ? "Stopped." : "Nothing is open.", 0);
}

function showModel(view: ModelView): void {
  place = asked ?? place;
  asked = undefined;
  opened = true;
  // The recording has shown the toy already; whoever looks at it is not disturbed.
  if (model === recorded?.model && recorded?.isOf(place, view)) model = view;
  else present(view);
  runButton.disabled = false;
  robot.enabled = comparison.enabled = true;
  comparison.inside?.clear();
  moreButton.disabled = view.episodes.length < 2;
}

/** A model that draws samples opens in a section of its own; what is open here stays. */
function showSamples(wanted: ModelPlace): void {
  asked = undefined;
  digits.open(wanted);
  if (!opened) return open(TOY);
  runButton.disabled = false;
  moreButton.disabled = !settings.canMeasureMore(model!.episodes.length);
  say("Ready.", 0);
}

/** Shows a model and its episodes, from the worker or from the recording. */
function present(view: ModelView): void {
  model = view;
  byId("statement").textContent =
    view.trainedOn === "toy"
      ? "A toy, trained on coloured blocks: nothing here says anything about robots."
      : view.statement;
  byId("recorded").textContent = view.recorded ? `In use: ${view.recorded}.` : "";
  settings.open(view);
  document.body.classList.toggle("plans", view.plan !== undefined);
  document.body.classList.toggle("without-inside", view.actionSteps === 0);
  byId("video-caption").textContent = byStep();
  scene.open(view);
  episodes.open(view);
  (form.elements.namedItem("action-steps") as HTMLInputElement).placeholder = String(view.actionSteps);

  run = undefined;
  downloads.finished = undefined;
  refused.push(...absentHere(linked, view));
  const wanted = linked.has("episode") ? Number(linked.get("episode")) : usualEpisode();
  const episode = view.episodes[wanted] ? wanted : usualEpisode();
  scene.watch(episode);
  // A link's words belong to the model it opens with.
  episodes.show(episode, linked.get("prompt") ?? undefined);
  wished = viewed = linked.has("step") ? Number(linked.get("step")) : undefined;
  for (const name of ["prompt", "episode", "step"]) linked.delete(name);
  soFar = undefined;
  settingsChanged();
  if (viewed !== undefined && !scene.hasStep(viewed)) {
    refused.push(`step ${viewed} is not among those that are shown`);
    wished = viewed = undefined;
    rememberLink();
  }
  // Said once, when it is known what there is.
  if (refused.length > 0) showFailure("LinkError", `${refused.splice(0).join("; ")}.`);
}

/** The episode that is watched when nothing else is asked for. */
const usualEpisode = (): number => (model && recorded?.isOf(place, model) ? recorded.episode : 0);

/** A person chose an episode: its recorded words, and what has been measured of it if anything has. */
function choose(episode: number): void {
  watch(episode);
  settingsChanged();
  showLive();
  comparison.inside?.open();
}

function watch(episode: number): void {
  // Words that are being typed stay.
  if (episode === scene.episode) return;
  scene.watch(episode);
  episodes.show(episode, run?.edited?.episode === episode ? run.edited.text : undefined);
}

/** The link follows what is set. What was measured stays to be looked at; before, the recording, or empty tiles for what would be. */
function settingsChanged(): void {
  if (!model) return;
  if (!run || run === recorded?.run) showUnmeasured(model);
  rememberLink();
  moreButton.disabled = running || !opened || !settings.canMeasureMore(model.episodes.length);
}

function showUnmeasured(view: ModelView): void {
  if (recorded?.isOf(place, view) && scene.episode === recorded.episode) {
    if (run === recorded.run) return;
    run = recorded.run;
    recorded.showOn(scene, viewed);
    answers.recorded(recorded.verdict);
    return showLive();
  }
  run = undefined;
  answers.clear();
  const { videoSteps, probeSteps, actionSteps = view.actionSteps } = settingsOrDefault();
  charts.showEmpty(videoSteps, actionSteps);
  scene.begin({ steps: probeSteps, videoSteps, actionSteps });
  showSource();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return ask({ type: "cancel" });
  if (!model || !opened) return;
  hideFailure();
  const episode = scene.episode;
  const text = episodes.editedPrompt(episode);
  let wanted: RunSettings;
  try {
    wanted = settings.read(episode, model.episodes.length, text !== undefined);
  } catch (error) {
    return showFailure("UsageError", (error as Error).message);
  }
  const edited = text === undefined ? undefined : { episode, text };
  const { videoSteps, probeSteps, actionSteps = model.actionSteps } = wanted;
  run = { steps: probeSteps, videoSteps, actionSteps, edited };
  // One thing at a time: the robot and a comparison stop for what is measured.
  if (robot.acting || comparison.inside?.active) ask({ type: "cancel" });
  robot.enabled = comparison.enabled = false;
  viewed = wished;
  wished = undefined;
  running = true;
  soFar = measuring = undefined;
  startedAt = performance.now();
  restartTiming();
  charts.showEmpty(videoSteps, actionSteps);
  scene.begin(run);
  if (viewed !== undefined) scene.stayAt(viewed);
  downloads.finished = undefined;
  answers.begin();
  episodes.unmark(true);
  say(`Episode ${episode}: starting…`, undefined);
  runButton.textContent = "Cancel";
  moreButton.disabled = true;
  showSource();
  byId("video-caption").textContent = byStep();
  byId("action-caption").textContent = "by action step, inside the newest decode";
  rememberLink();
  ask({ type: "run", run: { settings: wanted, link: link(), prompt: edited } });
});

// The second half of a double click, or a key that is held, is no second wish.
runButton.addEventListener("click", (event) => {
  if (event.detail > 1) event.preventDefault();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.repeat) event.preventDefault();
});

moreButton.addEventListener("click", () => {
  settings.measureMore(model!.episodes.length);
  form.requestSubmit();
});

/** Which episode is looked at, and whether what is shown of it was measured. */
function showSource(): void {
  const episode = `episode ${scene.episode}`;
  const measured = scene.states.some(Boolean);
  byId("source").textContent =
    run && run === recorded?.run
      ? recorded.source
      : running
        ? sourceWhileRunning(episode, measured)
        : `${episode} · ${measured ? "measured here" : "not measured"}`;
}

/** The episode that is measured need not be the one that is looked at. */
function sourceWhileRunning(episode: string, measured: boolean): string {
  if (measuring === undefined || measuring === scene.episode) return `measuring ${episode}`;
  return `${episode} · ${measured ? "measured here" : "not yet measured"}; now episode ${measuring}`;
}

/** What is known of the watched scene, and of all episodes as soon as there are two. */
function showLive(): void {
  showSource();
  if (!model || !run) return;
  const { videoSteps, actionSteps, edited } = run;
  const episode = model.episodes[scene.episode];
  const { states } = scene;
  answers.show({
    ...{ model, episode, states, videoSteps, actionSteps },
    edited: edited?.episode === episode.index,
  });
  if (downloads.finished) return;
  const curves = liveCurves(model, run, episode, states);
  if (soFar && soFar.episodes.length > 1) {
    charts.showLive(meanCurves(run, soFar, curves));
    byId("video-caption").textContent = byStep(soFar.episodes.length);
  } else if (curves) charts.showLive(curves);
  else charts.showEmpty(videoSteps, actionSteps);
}

function showResult({ result, run: record }: Extract<Event, { type: "done" }>): void {
  stop();
  downloads.finished = { result, run: record };
  charts.showResult(result);
  const { length } = result.episodes;
  byId("video-caption").textContent = byStep(length);
  byId("action-caption").textContent =
    `by action step, decoding at video step ${result.video_steps}${length > 1 ? `; ${length} episodes, 95 %` : ""}`;
  answers.done(result);
  say(`Done in ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`, 1);
}

const byStep = (episodes = 1): string =>
  (model?.plan ? "by step, what is read out there" : "by video step, a full decode each") +
  (episodes > 1 ? `; ${episodes} episodes, 95 %` : "");

function stop(): void {
  running = false;
  robot.enabled = comparison.enabled = opened;
  runButton.textContent = "Run";
  showSource();
  episodes.unmark(false);
  moreButton.disabled = !opened || !settings.canMeasureMore(model!.episodes.length);
}

function settingsOrDefault(): RunSettings {
  try {
    return settings.read(scene.episode, model?.episodes.length ?? 1);
  } catch {
    return {
      modelDir: "toy",
      episodes: [scene.episode],
      videoSteps: 50,
      probeSteps: [50],
      videoSeeds: [0],
      actionSeeds: [0],
      dtype: "f32",
    };
  }
}

/** The address that restores what is set; a dropped model cannot be in it. */
function link(): string {
  const parameters = settings.parameters();
  const words = episodes.editedPrompt(scene.episode);
  if (scene.episode !== usualEpisode()) parameters.set("episode", String(scene.episode));
  if (words !== undefined) parameters.set("prompt", words);
  if (viewed !== undefined) parameters.set("step", String(viewed));
  if (place.kind === "hub") parameters.set("model", place.name);
  if (model?.recorded !== undefined)
    for (const [name, value] of Object.entries(data.parameters())) parameters.set(name, value);
  for (const [name, value] of digits.parameters()) parameters.set(name, value);
  return address(parameters);
}

function rememberLink(): void {
  if (model) history.replaceState(null, "", link());
}
