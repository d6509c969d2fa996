/** How to reach the Hub: address, token, patience. */

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
  /** what requests go through, for messages */
  readonly proxy?: string;
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

/** What a request is about, for messages. */
export interface Purpose {
  readonly repo: string;
  /** "the list of its files", "transformer/config.json" */
  readonly what: string;
}
