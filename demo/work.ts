/** The worker behind the page, and whether this browser has what it computes on. */
import type { Event, Request } from "./protocol.ts";

/**
 * @param hear told what the worker tells
 * @param fail told when it cannot be started
 * @returns what asks it; the first request starts it, so that its code is fetched behind what is looked at
 */
export function startWorker(
  hear: (event: Event) => void,
  fail: (message: string) => void,
): (request: Request) => void {
  let worker: Worker | undefined;
  const start = (): Worker => {
    const started = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    started.onmessage = ({ data }: MessageEvent<Event>) => hear(data);
    started.onerror = ({ message }) => fail(message || "the page’s worker could not be started");
    return started;
  };
  return (request) => (worker ??= start()).postMessage(request);
}

/** Whether there is an adapter; browsers may know WebGPU and have none. */
export async function adapterHere(): Promise<boolean> {
  const { gpu } = navigator as { gpu?: GPU };
  return ((await gpu?.requestAdapter().catch(() => null)) ?? null) !== null;
}
