/**
 * Requests to the Hub: with the token, repeated after what passes by itself (429, 5xx, lost connections), and
 * with errors that tell a person what to do. Works wherever `fetch` does.
 */
import { HubError } from "../../errors.ts";

export interface RetryPolicy {
  /** failures in a row that end it */
  readonly attempts: number;
  /** doubled with each failure in a row, with up to a quarter more by chance so that clients spread */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** silence after which a connection counts as lost */
  readonly idleMs: number;
}

export interface HubClient {
  /** without a slash at the end */
  readonly endpoint: string;
  readonly token?: string;
  /** only outside browsers, where it would turn every request into two (a CORS preflight) */
  readonly userAgent?: string;
  readonly fetch: typeof fetch;
  readonly retry: RetryPolicy;
  /** told before each wait */
  readonly onRetry?: (reason: string, waitMs: number) => void;
}

export const defaultRetry: RetryPolicy = {
  attempts: 6,
  firstDelayMs: 500,
  maxDelayMs: 30_000,
  idleMs: 60_000,
};

/** Longer waits than this, asked for by Retry-After, are the person's to decide on. */
const longestWaitMs = 300_000;

/** What a request is about, for messages. */
export interface Purpose {
  readonly repo: string;
  /** "the list of its files", "transformer/config.json" */
  readonly what: string;
}

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
    if (outcome instanceof Response && outcome.ok) return outcome;
    const passing = outcome instanceof Response ? isPassing(outcome.status) : true;
    const reason = outcome instanceof Response ? `status ${outcome.status}` : describeFailure(outcome);
    if (!passing) throw await refusal(client, outcome as Response, purpose);
    const wait = outcome instanceof Response ? retryAfterMs(outcome, Date.now()) : undefined;
    if (outcome instanceof Response) await outcome.body?.cancel().catch(() => {});
    if (failures >= client.retry.attempts || (wait ?? 0) > longestWaitMs) {
      const cause = outcome instanceof Error || outcome.status >= 500 ? new Error(reason) : undefined;
      throw givenUp(client, purpose, reason, failures, wait, cause);
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

async function tryOnce(client: HubClient, url: string, headers: Readonly<Record<string, string>>) {
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
    return error as Error;
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

/** Retry-After in milliseconds: seconds or a date (RFC 9110, 10.2.3). */
export function retryAfterMs(response: Response, now: number): number | undefined {
  const value = response.headers.get("retry-after")?.trim();
  if (!value) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Node hides the reason of a failed fetch in the cause. */
export function describeFailure(error: unknown): string {
  const cause = (error as Error).cause as (Error & { code?: string }) | undefined;
  return cause?.code ?? cause?.message ?? (error as Error).message;
}

function givenUp(
  { endpoint }: HubClient,
  { repo, what }: Purpose,
  reason: string,
  attempts: number,
  waitMs: number | undefined,
  cause: Error | undefined,
): HubError {
  const remedy =
    waitMs !== undefined
      ? `It asks to wait ${Math.ceil(waitMs / 1000)} s; run again then, what has arrived is kept.`
      : cause !== undefined
        ? "Check the network, and HF_ENDPOINT if a mirror is meant; HF_HUB_OFFLINE=1 uses what the cache holds."
        : "Run again later; what has arrived is kept.";
  return new HubError(
    `${repo}: ${what} could not be had from ${endpoint} in ${attempts} attempt${attempts > 1 ? "s" : ""} (${reason}). ${remedy}`,
    { cause },
  );
}

async function refusal(client: HubClient, response: Response, { repo, what }: Purpose): Promise<HubError> {
  await response.body?.cancel().catch(() => {});
  const { status } = response;
  const code = response.headers.get("x-error-code") ?? "";
  const page = `${client.endpoint}/${repo}`;
  const has = client.token !== undefined;
  if (code === "GatedRepo" || (status === 403 && code === "")) {
    return new HubError(
      `${repo}: ${what} is gated (status ${status}). Open ${page}, accept its terms, then ` +
        (has
          ? "run again; the token in use must belong to that account and may read gated repositories."
          : "set HF_TOKEN to a token of that account (or log in with the Python client: `hf auth login`)."),
    );
  }
  if (status === 401 || status === 403) {
    return new HubError(
      `${repo}: no access to ${what} (status ${status}). It is private or does not exist: check the name at ${page}. ` +
        (has
          ? "The token in use (HF_TOKEN, or the token file of the Python client) is not valid for it."
          : "If it is private, set HF_TOKEN to a token that may read it."),
    );
  }
  if (status === 404) {
    const missing = code === "RevisionNotFound" ? "no such branch, tag or commit" : "not found";
    return new HubError(`${repo}: ${what}: ${missing} (status 404). See what exists at ${page}.`);
  }
  return new HubError(
    `${repo}: ${what} was refused with status ${status} by ${client.endpoint}. Look at ${page}.`,
  );
}
