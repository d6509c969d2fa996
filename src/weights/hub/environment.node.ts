/** The Hub's environment variables and files, with the meaning they have for the Python client `huggingface_hub`. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../errors.ts";
import { defaultRetry, type HubClient } from "./client.ts";
import { proxiedFetch } from "./proxy.node.ts";

export interface HubSettings {
  readonly client: HubClient;
  /** folder of `models--owner--name` folders */
  readonly cache: string;
  readonly offline: boolean;
}

/**
 * Settings from the environment.
 * @throws UsageError for an address or token with which no request could be made, unless offline
 */
export async function hubSettings(env: NodeJS.ProcessEnv = process.env): Promise<HubSettings> {
  const home = expand(
    env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface"),
    env,
  );
  const cache = env.HF_HUB_CACHE ?? env.HUGGINGFACE_HUB_CACHE ?? join(home, "hub");
  const offline = isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE);
  const endpoint = (env.HF_ENDPOINT?.trim() || "https://huggingface.co").replace(/\/+$/, "");
  const token = await readToken(env, home);
  if (!offline) {
    checkEndpoint(endpoint);
    checkToken(token, env);
  }
  return {
    client: {
      endpoint,
      token,
      userAgent: "mimic-video-webgpu",
      ...(offline ? { fetch: globalThis.fetch } : await proxiedFetch(env)),
      retry: defaultRetry,
    },
    cache: expand(cache, env),
    offline,
  };
}

function checkEndpoint(endpoint: string): void {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const fault =
    url === undefined
      ? "is no address"
      : !/^https?:$/.test(url.protocol)
        ? "does not begin with https:// or http://"
        : url.username !== "" || url.password !== ""
          ? "holds a user or password"
          : undefined;
  if (fault === undefined) return;
  throw new UsageError(
    `HF_ENDPOINT ${fault}: ${JSON.stringify(endpoint.replace(/\/\/[^/@]*@/, "//…@"))}. ` +
      "It is an address such as https://huggingface.co; correct it, or unset it.",
  );
}

/** A header takes visible ASCII only. */
function checkToken(token: string | undefined, env: NodeJS.ProcessEnv): void {
  const wrong = /[^\x21-\x7e]/u.exec(token ?? "");
  if (wrong === null) return;
  const code = wrong[0].codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  const from =
    clean(env.HF_TOKEN ?? env.HUGGING_FACE_HUB_TOKEN) === token
      ? "HF_TOKEN"
      : "The token file of the Python client";
  throw new UsageError(
    `${from} holds a character that no token has (U+${code}, number ${wrong.index + 1}). Copy the token once more.`,
  );
}

async function readToken(env: NodeJS.ProcessEnv, home: string): Promise<string | undefined> {
  if (isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  const given = clean(env.HF_TOKEN) ?? clean(env.HUGGING_FACE_HUB_TOKEN);
  if (given !== undefined) return given;
  const path = expand(env.HF_TOKEN_PATH ?? join(home, "token"), env);
  return clean(await readFile(path, "utf8").catch(() => undefined));
}

function clean(token: string | undefined): string | undefined {
  return token?.replace(/[\r\n]/g, "").trim() || undefined;
}

function isTrue(value: string | undefined): boolean {
  return ["1", "ON", "YES", "TRUE"].includes((value ?? "").toUpperCase());
}

/** `~` and `$NAME`, as Python expands them in these variables. */
function expand(path: string, env: NodeJS.ProcessEnv): string {
  const named = path.replace(
    /\$(?:\{(\w+)\}|(\w+))/g,
    (all, a?: string, b?: string) => env[(a ?? b)!] ?? all,
  );
  return named === "~" || named.startsWith("~/") ? join(homedir(), named.slice(1)) : named;
}
