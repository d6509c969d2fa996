/** In the worker: what the page is told. */
import type { LoadOptions } from "../src/weights/loader.ts";
import type { Event } from "./protocol.ts";

/** @param moved buffers that go to the page without a copy; the worker has them no longer */
export const tell = (event: Event, moved: ArrayBuffer[] = []): void =>
  self.postMessage(event, { transfer: moved });
const progress = (phase: string, unit: string) => (done: number, total: number) =>
  tell({ type: "progress", phase, done, total, unit });

export const loading = (signal: AbortSignal): LoadOptions => ({
  signal,
  onProgress: progress("loading weights", "bytes"),
  onSaturated: (key, count) => {
    const message = `${key}: ${count} values beyond float16’s ±65504 became ±65504`;
    tell({ type: "warning", kind: "Saturated", message });
  },
});
