/**
 * `fetch` through the proxy that the environment names: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, in capitals or not,
 * small letters first, as curl and Python read them. Node's own `fetch` heeds them from version 24 on, on request.
 */
import { UsageError } from "../../errors.ts";

export interface Proxied {
  readonly fetch: typeof fetch;
  /** the proxies for messages, without passwords; undefined when there are none */
  readonly proxy?: string;
}

/** @throws UsageError if a variable holds no address */
export async function proxiedFetch(env: NodeJS.ProcessEnv): Promise<Proxied> {
  const httpProxy = proxyOf(env, "HTTP_PROXY") ?? proxyOf(env, "ALL_PROXY");
  const httpsProxy = proxyOf(env, "HTTPS_PROXY") ?? proxyOf(env, "ALL_PROXY");
  if (httpProxy === undefined && httpsProxy === undefined) return { fetch: globalThis.fetch };
  // An agent of one version of undici and the `fetch` of another, Node's, do not understand one another.
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const dispatcher = new EnvHttpProxyAgent({
    httpProxy: httpProxy?.href ?? "",
    httpsProxy: httpsProxy?.href ?? "",
    noProxy: read(env, "NO_PROXY") ?? "",
    // Many proxies refuse tunnels to anything but port 443, and plain HTTP needs none.
    proxyTunnel: false,
  });
  const through = (input: string, init: object) => fetch(input, { ...init, dispatcher });
  return {
    fetch: through as unknown as typeof globalThis.fetch,
    proxy: [
      ...new Set(
        [httpProxy, httpsProxy].flatMap((url) =>
          url ? [url.origin === "null" ? url.protocol + url.host : url.origin] : [],
        ),
      ),
    ].join(", "),
  };
}

const read = (env: NodeJS.ProcessEnv, name: string): string | undefined =>
  env[name.toLowerCase()]?.trim() || env[name]?.trim() || undefined;

function proxyOf(env: NodeJS.ProcessEnv, name: string): URL | undefined {
  const value = read(env, name);
  if (value === undefined) return undefined;
  // An address without a scheme is one of HTTP.
  const text = value.includes("://") ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^(https?|socks5?):$/.test(url.protocol) || url.hostname === "") {
    throw new UsageError(
      `${name} holds ${JSON.stringify(value.replace(/\/\/[^/@]*@/, "//…@"))}, which is no address of a proxy such as http://proxy.example:8080. ` +
        "Correct it, or unset it.",
    );
  }
  return url;
}
