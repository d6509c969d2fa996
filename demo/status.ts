/** The line below the bar: what is going on, how far it is, and for how long. */
import { formatSeconds } from "../src/weights/hub/progress.ts";
import { formatBytes } from "../src/weights/listing.ts";
import { byId } from "./dom.ts";
import type { Event } from "./protocol.ts";

/** when the first step of a run had ended, and how many steps that were */
let firstStep: { readonly at: number; readonly done: number } | undefined;

/** Forgets how long the steps of the run before took. */
export function restartTiming(): void {
  firstStep = undefined;
}

export function showProgress({ phase, done, total, unit }: Extract<Event, { type: "progress" }>): void {
  if (total === 0) return say(`${sentence(phase)}…`, undefined);
  const amount =
    unit === "bytes"
      ? `${formatBytes(done)} of ${formatBytes(total)}`
      : unit === ""
        ? `${done} of ${total}`
        : `${unit} ${done} of ${total}${timeLeft(done, total)}`;
  say(`${sentence(phase)}: ${amount}`, done / total);
}

/** Said after a few steps, as the first ones bring compiled kernels with them. */
function timeLeft(done: number, total: number): string {
  const now = performance.now();
  firstStep ??= { at: now, done };
  if (done - firstStep.done < 3) return "";
  const each = (now - firstStep.at) / 1000 / (done - firstStep.done);
  return `, about ${formatSeconds((total - done) * each)} left`;
}

const sentence = (phase: string): string => phase.charAt(0).toUpperCase() + phase.slice(1);

/** @param share of the work that is done; undefined when nobody knows */
export function say(words: string, share: number | undefined): void {
  byId("status").textContent = words;
  // A screen reader is told of phases, not of every step.
  const phase = words.split(":")[0];
  if (byId("announce").textContent !== phase) byId("announce").textContent = phase;
  const bar = byId<HTMLProgressElement>("bar");
  if (share === undefined) bar.removeAttribute("value");
  else bar.value = share;
}
