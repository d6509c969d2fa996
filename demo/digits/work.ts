/** The worker of the digits, started with the first request. */
import type { DigitsEvent, DigitsRequest } from "./protocol.ts";

/**
 * @param hear told what the worker tells
 * @param fail told when it cannot be started
 */
export function startSampling(
  hear: (event: DigitsEvent) => void,
  fail: (message: string) => void,
): (request: DigitsRequest) => void {
  const worker = new Worker(new URL("./sampling.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }: MessageEvent<DigitsEvent>) => hear(data);
  worker.onerror = ({ message }) => fail(message || "the worker of the digits could not be started");
  return (request) => worker.postMessage(request);
}
