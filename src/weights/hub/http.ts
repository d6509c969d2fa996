/**
 * Requests to the Hub: with the token, repeated after what passes by itself (429, 5xx, lost connections), and
 * with errors that tell a person what to do. Works wherever `fetch` does.
 */
import { HubError } from "../../errors.ts";
import { type HubClient, type Purpose } from "./client.ts";
import { givenUp, refusal } from "./explain.ts";

/** What fetch says of a port that the standard forbids, such as 25; no repetition changes that. */
const BAD_PORT = "bad port";

/** Longer waits than this, asked for by Retry-After, are the person's to decide on. */
const longestWaitMs = 300_000;

/**
 * A response that is 2xx, after as many repetitions as needed.
 * @throws HubError: not found, no access, too busy, unreachable (then `isUnreachable` is true)
 */
export async function request(
  client: HubClient,
  url: string,
  purpose: Purpose,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  for (let failures = 1; ; failures++) {
    const outcome = await tryOnce(client, url, headers);
    // Not `instanceof Response`: behind a proxy another class of that name answers.
    const response = outcome instanceof Error ? undefined : outcome;
    if (response?.ok) return response;
    if (response !== undefined && !isPassing(response.status)) throw await refusal(client, response, purpose);
    const reason = outcome instanceof Error ? describeFailure(outcome) : `status ${outcome.status}`;
    const wait = response && retryAfterMs(response, Date.now());
    await response?.body?.cancel().catch(() => {});
    const hopeless = (wait ?? 0) > longestWaitMs || reason === BAD_PORT;
    if (failures >= client.retry.attempts || hopeless) {
      const down = response === undefined || response.status >= 500;
      throw givenUp(client, purpose, reason, failures, wait, down ? new Error(reason) : undefined);
    }
    await pause(client, failures, reason, wait);
  }
}

/** Longer answers are not lists of files. */
const maxJsonBytes = 64 * 1024 * 1024;

/**
 * The answer as JSON, with its headers; asked for again when the connection is lost on the way.
 * @throws HubError
 */
export async function requestJson(
  client: HubClient,
  url: string,
  purpose: Purpose,
): Promise<{ readonly json: unknown; readonly response: Response }> {
  for (let failures = 1; ; failures++) {
    const response = await request(client, url, purpose);
    let reason: string;
    try {
      const decoder = new TextDecoder();
      let [text, bytes] = ["", 0];
      for await (const chunk of bodyChunks(response, client.retry.idleMs)) {
        bytes += chunk.byteLength;
        if (bytes > maxJsonBytes) break;
        text += decoder.decode(chunk, { stream: true });
      }
      if (bytes <= maxJsonBytes) return { json: JSON.parse(text + decoder.decode()) as unknown, response };
      reason = `more than ${maxJsonBytes} bytes`;
    } catch (error) {
      reason = describeFailure(error);
    }
    if (failures >= client.retry.attempts) {
      throw givenUp(client, purpose, reason, failures, undefined, undefined);
    }
    await pause(client, failures, reason);
  }
}

/** True if the Hub is down or out of reach, so that what the cache holds may serve instead. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof HubError && error.cause !== undefined;
}

/** Waits before the next attempt after `failures` failures in a row. */
export async function pause(
  client: HubClient,
  failures: number,
  reason: string,
  atLeastMs = 0,
): Promise<void> {
  const { firstDelayMs, maxDelayMs } = client.retry;
  const backOff = Math.min(maxDelayMs, firstDelayMs * 2 ** (failures - 1)) * (1 + Math.random() / 4);
  const wait = Math.max(backOff, atLeastMs);
  client.onRetry?.(reason, wait);
  await new Promise((resolve) => setTimeout(resolve, wait));
}

/** The body in chunks; a connection that ends or is silent too long throws, which the caller may mend. */
export async function* bodyChunks(response: Response, idleMs: number): AsyncIterable<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { done, value } = await withTimeout(reader.read(), idleMs);
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

async function tryOnce(
  client: HubClient,
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<Response | Error> {
  // fetch drops the authorization when a redirect leaves the origin, so the token never reaches a storage host.
  const authorization: Record<string, string> = client.token
    ? { authorization: `Bearer ${client.token}` }
    : {};
  const agent: Record<string, string> = client.userAgent ? { "user-agent": client.userAgent } : {};
  const abort = new AbortController();
  try {
    const answer = client.fetch(url, {
      // A compressed body could not be resumed by range, nor its length compared.
      headers: {
        "accept-encoding": "identity",
        ...agent,
        ...authorization,
        ...headers,
      },
      signal: abort.signal,
    });
    return await withTimeout(answer, client.retry.idleMs);
  } catch (error) {
    abort.abort();
    return error instanceof Error ? error : new Error(String(error));
  }
}

async function withTimeout<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer for ${ms / 1000} s`)), ms);
  });
  // Whichever loses the race may still fail later, unheard.
  promise.catch(() => {});
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}

function isPassing(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/**
 * How long the server asks to wait, in milliseconds: Retry-After in seconds or as a date (RFC 9110, 10.2.3), or the Hub's
 * `RateLimit: "api";r=0;t=55`, with r requests left and t seconds until they are renewed. The longer one, if both are there.
 */
export function retryAfterMs(response: Response, now: number): number | undefined {
  const waits = [headerDelay(response.headers.get("retry-after")?.trim() ?? "", now)];
  for (const limit of (response.headers.get("ratelimit") ?? "").split(",")) {
    const [left, reset] = ["r", "t"].map(
      (name) => new RegExp(`;\\s*${name}\\s*=\\s*(\\d+)`).exec(limit)?.[1],
    );
    // The second is not over yet when it is counted down to 0.
    if (reset !== undefined && Number(left ?? 0) === 0) waits.push((Number(reset) + 1) * 1000);
  }
  const known = waits.filter((wait) => wait !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

function headerDelay(value: string, now: number): number | undefined {
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Node hides the reason of a failed fetch in the cause. */
export function describeFailure(error: unknown): string {
  const cause = (error as Error).cause as (Error & { code?: string }) | undefined;
  return cause?.code ?? cause?.message ?? (error as Error).message;
}
