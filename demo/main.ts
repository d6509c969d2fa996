/** The page: what is clicked becomes wishes to the worker, what the worker tells becomes pictures. */
import type { ProbeSettings } from "../src/probe/measurement.ts";
import type { ProbeResult } from "../src/probe/result.ts";
import { sufficientSentence } from "../src/probe/sentences.ts";
import type { DroppedFile } from "../src/weights/model-files.browser.ts";
import { Charts } from "./chart.ts";
import { DevicePanel } from "./device-panel.ts";
import { byId, make, paintFrame } from "./dom.ts";
import { prepareDownloads } from "./downloads.ts";
import { acceptDrops, chosenFiles } from "./drop.ts";
import { hideFailure, showFailure } from "./failure.ts";
import { liveCurves } from "./live.ts";
import type { Event, ModelPlace, ModelView, Request } from "./protocol.ts";
import { Scene, type ShownRun } from "./scene.ts";
import { SettingsForm } from "./settings-form.ts";
import { restartTiming, say, showProgress } from "./status.ts";

const form = byId<HTMLFormElement>("form");
const prompt = byId<HTMLInputElement>("prompt");
const runButton = byId<HTMLButtonElement>("run");
const toy: ModelPlace = { kind: "toy", page: location.href.split("#")[0] };

let model: ModelView | undefined;
/** what is open, and what was asked for since */
let place: ModelPlace = toy;
let asked: ModelPlace | undefined;
let run: ShownRun | undefined;
let running = false;
let software = false;
let startedAt = 0;

const charts = new Charts(
  [byId("video-plot"), byId("action-plot")],
  [byId("video-legend"), byId("action-legend")],
);
const scene = new Scene((step, actionStep) => charts.mark(step, actionStep));
const devicePanel = new DevicePanel(byId("device-facts"));
const settings = new SettingsForm(form, () => {
  rememberLink();
  if (!running) forget();
});
const downloads = prepareDownloads(link);

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
const ask = (request: Request): void => worker.postMessage(request);
worker.onmessage = ({ data }: MessageEvent<Event>) => hear(data);
worker.onerror = ({ message }) => showFailure("Error", message || "the page’s worker could not be started");

const wishes = new URLSearchParams(location.hash.slice(1));
settings.restore(wishes);
const hubName = wishes.get("model");
addEventListener("hashchange", () => location.reload());
open(hubName ? { kind: "hub", name: hubName } : toy);

function open(wanted: ModelPlace): void {
  hideFailure();
  asked = wanted;
  const dtype = settingsOrDefault().dtype;
  say("Opening…", undefined);
  ask({ type: "open", place: wanted, dtype });
}

function hear(event: Event): void {
  switch (event.type) {
    case "opened":
      return showModel(event.model);
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
      if (running && scene.states.every(Boolean)) watch(event.state.episode);
      scene.add(event.state);
      return showLive();
    case "cost":
      devicePanel.cost = event.cost;
      return;
    case "done":
      return showResult(event.result);
    case "cancelled":
      stop();
      return say("Cancelled. What was reached can still be looked at.", 0);
    case "failed":
      stop();
      return showRefusal(event);
  }
}

function showRefusal({ during, kind, message }: Extract<Event, { type: "failed" }>): void {
  const kept = during === "open" && asked !== undefined && model !== undefined;
  asked = undefined;
  showFailure(kind, message, kept ? "The model that was open stays open." : undefined);
  say(kept ? "Ready." : model ? "Stopped." : "Nothing is open.", 0);
}

function showModel(opened: ModelView): void {
  model = opened;
  place = asked ?? place;
  asked = undefined;
  byId("statement").textContent =
    opened.trainedOn === "toy"
      ? "This is a toy, trained on coloured blocks: nothing you see here says anything about robots."
      : opened.statement;
  scene.open(opened);
  const tiles = opened.episodes.map((episode) => {
    const radio = make("input", { type: "radio", name: "episode", value: String(episode.index) });
    radio.setAttribute("aria-label", `Episode ${episode.index}: ${episode.prompt}`);
    radio.addEventListener("change", () => choose(episode.index));
    const canvas = make("canvas");
    paintFrame(canvas, episode.context, opened.contextFrames - 1, opened.frameSize);
    return make("label", { title: episode.prompt }, radio, canvas);
  });
  byId("episodes").replaceChildren(...tiles);
  const prompts = new Set(opened.episodes.map((episode) => episode.prompt));
  byId("prompts").replaceChildren(...[...prompts].map((value) => make("option", { value })));
  (form.elements.namedItem("action-steps") as HTMLInputElement).placeholder = String(opened.actionSteps);

  const wanted = Number(wishes.get("episode") ?? 0);
  watch(wanted < opened.episodes.length ? wanted : 0);
  // A link's words belong to the model it opens with.
  if (wishes.has("prompt")) prompt.value = wishes.get("prompt")!;
  wishes.delete("prompt");
  wishes.delete("episode");
  forget();
  runButton.disabled = false;
  rememberLink();
}

/** A person chose an episode: its recorded words, and what has been measured of it if anything has. */
function choose(episode: number): void {
  watch(episode);
  showLive();
  rememberLink();
}

function watch(index: number): void {
  scene.watch(index);
  const episode = model!.episodes[index];
  prompt.value = run?.edited?.episode === index ? run.edited.text : episode.prompt;
  const radio = document.querySelector<HTMLInputElement>(`#episodes input[value="${index}"]`);
  if (radio) radio.checked = true;
  const state = Array.from(episode.jointState.subarray(0, 8), (value) => value.toFixed(2)).join(", ");
  byId("state").textContent = `Robot state now: ${state}${episode.jointState.length > 8 ? ", …" : ""}`;
}

/** Nothing measured fits what is asked now: empty tiles for what would be. */
function forget(): void {
  if (!model) return;
  const { videoSteps, probeSteps, actionSteps } = settingsOrDefault();
  scene.begin({ steps: probeSteps, videoSteps, actionSteps: actionSteps ?? model.actionSteps });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return ask({ type: "cancel" });
  if (!model) return;
  hideFailure();
  let wanted: ProbeSettings;
  try {
    wanted = settings.read(scene.episode, model.episodes.length);
  } catch (error) {
    return showFailure("UsageError", (error as Error).message);
  }
  const episode = scene.episode;
  const text = prompt.value.trim();
  const edited = text === model.episodes[episode].prompt ? undefined : { episode, text };
  const { videoSteps, probeSteps, actionSteps = model.actionSteps } = wanted;
  run = { steps: probeSteps, videoSteps, actionSteps, edited };
  running = true;
  startedAt = performance.now();
  restartTiming();
  charts.prepare();
  scene.begin(run);
  downloads.result = undefined;
  runButton.textContent = "Cancel";
  byId("action-caption").textContent = "by action step, inside the newest decode";
  rememberLink();
  ask({
    type: "run",
    run: { settings: wanted, link: link(), prompt: edited ? { episode, text } : undefined },
  });
});

function showLive(): void {
  if (!model || !run || downloads.result) return;
  const curves = liveCurves(model, run, model.episodes[scene.episode], scene.states);
  if (curves) charts.showLive(curves);
}

function showResult(result: ProbeResult): void {
  stop();
  downloads.result = result;
  // The run may have led through other episodes; it was asked for this one.
  watch(result.episodes[0].index);
  charts.showResult(result);
  byId("action-caption").textContent =
    `by action step, inside the decode at video step ${result.video_steps}`;
  byId("answer").textContent = `${sufficientSentence(result)} ${result.statement}`;
  say(`Done in ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`, 1);
}

function stop(): void {
  running = false;
  runButton.textContent = "Run";
}

prompt.addEventListener("change", () => {
  rememberLink();
  if (!running) forget();
});
byId("dismiss").addEventListener("click", hideFailure);
byId("toy").addEventListener("click", () => open(toy));
byId("hub").addEventListener("submit", (event) => {
  event.preventDefault();
  open({ kind: "hub", name: byId<HTMLInputElement>("hub-name").value });
});
const openFiles = (files: DroppedFile[]): void => open({ kind: "dropped", files });
byId<HTMLInputElement>("choose").addEventListener("change", (event) => {
  openFiles(chosenFiles((event.target as HTMLInputElement).files!));
});
acceptDrops(byId("drop"), openFiles);

function settingsOrDefault(): ProbeSettings {
  try {
    return settings.read(scene.episode, model?.episodes.length ?? 1);
  } catch {
    return {
      modelDir: "toy",
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
  const recorded = model?.episodes[scene.episode]?.prompt;
  if (scene.episode !== 0) parameters.set("episode", String(scene.episode));
  if (recorded !== undefined && prompt.value.trim() !== recorded)
    parameters.set("prompt", prompt.value.trim());
  if (place.kind === "hub") parameters.set("model", place.name);
  const address = location.href.split("#")[0];
  return parameters.size > 0 ? `${address}#${parameters.toString()}` : address;
}

function rememberLink(): void {
  if (model) history.replaceState(null, "", link());
}
