/** Who is let in: the client's key, pages of other hosts, and GET /healthz for those that only ask whether the server lives. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** An HTTP answer in place of a connection. */
export interface Refusal {
  readonly status: 401 | 403 | 503;
  readonly why: string;
}

/** Whether a host is this computer, as seen from itself. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || /^127(\.\d{1,3}){3}$/.test(host) || host === "::1" || host === "[::1]";

/** Equal in a time that does not tell how much of it is: hashes have the same length whatever the key has. */
export function sameKey(given: string, key: string): boolean {
  const hash = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(key));
}

/**
 * Whether a request for a connection is refused.
 * @param host that the server listens on
 */
export function refusal(
  { headers }: IncomingMessage,
  { apiKey, host }: { readonly apiKey?: string; readonly host: string },
): Refusal | undefined {
  if (apiKey !== undefined && !sameKey(headers.authorization ?? "", `Api-Key ${apiKey}`))
    return {
      status: 401,
      why: `${headers.authorization === undefined ? "No API key came" : "The API key is wrong"}; it goes into the header "Authorization: Api-Key …".`,
    };
  // Any page that a browser shows may open a connection to this computer; programs send no origin.
  const from = headers.origin === undefined ? undefined : originHost(headers.origin);
  if (from !== undefined && !isLoopback(from) && from !== host)
    return { status: 403, why: "Pages of other hosts are not served." };
  return undefined;
}

function originHost(origin: string): string {
  try {
    return new URL(origin).hostname;
  } catch {
    return "";
  }
}
