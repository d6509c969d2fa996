/** What the Hub's refusals mean for a person: which page to accept, which variable to set. */
import { HubError } from "../../errors.ts";
import { type HubClient, type Purpose } from "./client.ts";

/** After the last attempt: what was wanted, how often, why not, and what to do. `cause` marks an outage. */
export function givenUp(
  { endpoint, proxy, token }: HubClient,
  { repo, what }: Purpose,
  reason: string,
  attempts: number,
  waitMs: number | undefined,
  cause: Error | undefined,
): HubError {
  const remedy =
    waitMs !== undefined
      ? `It asks to wait ${Math.ceil(waitMs / 1000)} s; run again then, what has arrived is kept.` +
        (token === undefined ? " With a token (HF_TOKEN) more requests are allowed." : "")
      : cause !== undefined
        ? `Check the network${proxy === undefined ? "" : `, the proxy ${proxy}`}, and HF_ENDPOINT if a mirror is meant; HF_HUB_OFFLINE=1 uses what the cache holds.`
        : "Run again later; what has arrived is kept.";
  return new HubError(
    `${repo}: ${what} could not be had from ${endpoint} in ${attempts} attempt${attempts > 1 ? "s" : ""} (${reason}). ${remedy}`,
    { cause },
  );
}

/** An answer that no repetition changes: gated, private, not found. Never shows the token. */
export async function refusal(
  client: HubClient,
  response: Response,
  { repo, what }: Purpose,
): Promise<HubError> {
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
