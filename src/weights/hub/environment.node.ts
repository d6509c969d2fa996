/** The Hub's environment variables and files, with the meaning they have for the Python client `huggingface_hub`. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { defaultRetry, type HubClient } from "./client.ts";

export interface HubSettings {
  readonly client: HubClient;
  /** folder of `models--owner--name` folders */
  readonly cache: string;
  readonly offline: boolean;
}

/** Settings from the environment. */
export async function hubSettings(env: NodeJS.ProcessEnv = process.env): Promise<HubSettings> {
  const home = expand(
    env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface"),
    env,
  );
  const cache = env.HF_HUB_CACHE ?? env.HUGGINGFACE_HUB_CACHE ?? join(home, "hub");
  return {
    client: {
      endpoint: (env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, ""),
      token: await readToken(env, home),
      userAgent: "mimic-video-webgpu",
      fetch: globalThis.fetch,
      retry: defaultRetry,
    },
    cache: expand(cache, env),
    offline: isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
  };
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
