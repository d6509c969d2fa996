/** The options of `node dist/serve.js`. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { UsageError } from "../errors.ts";
import { readVariants } from "../kernels/variants.ts";
import { SERVER_LIMITS, type ServerLimits } from "../server/limits.ts";
import { parseRename } from "../weights/rename.ts";
import type { ModelSettings } from "./load-model.node.ts";
import { gigabytes, oneOf, positiveNumber, wholeNumber } from "./probe/settings.ts";
import { helpText } from "./terminal.node.ts";

export const MB = 2 ** 20;
/** The checkpoint that ships; the package is two folders up from here, in src as in dist. */
const TOY = fileURLToPath(new URL("../../weights/toy", import.meta.url));

/** The text of `--help`. */
export const serveHelp = (): string =>
  helpText(
    "Usage: node dist/serve.js [options]     (openpi's websocket protocol; see docs/policy-server.md)",
    [
      ["--model DIR|owner/name", "the checkpoint (default: the toy that ships)"],
      ["--policy NAME", "which policy of a folder that holds several"],
      [
        "--frozen DIR|owner/name",
        "the parts that a checkpoint leaves to another (default: beside it, or the repository it names)",
      ],
      [
        "--stop K",
        "denoising steps before actions are read, where a request has no stop (default: the policy's)",
      ],
      ["--prompt TEXT", "of requests that have none"],
      [
        "--request-hz H",
        "requests a second, for the history of clients that send single frames (default: as often as the policy has frames)",
      ],
      ["--port N", "default 8000; 0: any that is free"],
      ["--host NAME", "default 127.0.0.1, this computer alone; 0.0.0.0: everybody who can reach it"],
      [
        "--api-key K",
        'clients must send it: WebsocketClientPolicy(…, api_key="K"); or in the environment as MIMIC_VIDEO_API_KEY, which others on this computer do not see',
      ],
      ["--max-message MB", `default ${SERVER_LIMITS.message / MB}, or what the policy's frames need`],
      ["--max-pixels N", `of a picture (default ${SERVER_LIMITS.pixels})`],
      ["--max-queue N", `requests of a client that wait (default ${SERVER_LIMITS.queue})`],
      ["--max-clients N", `default ${SERVER_LIMITS.connections}`],
      ["--adapter NAME|software", "the GPU, by a part of its name"],
      ["--dtype f32|bf16|f16", "how weights are kept on the GPU"],
      ["--arithmetic f32|f16", "in what matrix products multiply"],
      ["--gpu-memory GB", "memory of the graphics card"],
      ["--text FILE", "embeddings of the prompts, for models whose text encoder is large"],
      ["--encode-text", "run the model's own text encoder, even where it must be downloaded"],
      ["--variants K=V,…", "force programs of kernels by name"],
      ["--rename OLD=NEW,…", "prefixes of the checkpoint's keys"],
      ["--ignore-unexpected", "load a checkpoint that has tensors the model does not know"],
      ["--allow-nonfinite", "load weights although some are NaN or infinite"],
      ["--no-verify", "read a torch checkpoint although its checksums are wrong"],
      ["--quiet", "no lines about clients and progress"],
      ["--help", "this text"],
    ],
  );

const value = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const helpFlag = { type: "boolean", short: "h" } as const;
const OPTIONS = {
  ...{ model: value, policy: value, frozen: value, stop: value, prompt: value, "request-hz": value },
  ...{ port: value, host: value, "api-key": value },
  ...{ "max-message": value, "max-pixels": value, "max-queue": value, "max-clients": value },
  ...{ adapter: value, dtype: value, arithmetic: value, "gpu-memory": value, text: value, variants: value },
  ...{ "encode-text": flag, "ignore-unexpected": flag, "allow-nonfinite": flag, "no-verify": flag },
  ...{ rename: value, quiet: flag, help: helpFlag },
} as const;

/** What was asked for; what depends on the policy is checked when there is one. */
export interface ServeCommand {
  readonly model: ModelSettings;
  readonly stop?: number;
  readonly prompt?: string;
  readonly requestHz?: number;
  readonly host: string;
  readonly port: number;
  readonly apiKey?: string;
  readonly limits: Partial<ServerLimits>;
  readonly quiet: boolean;
}

/**
 * @param keyOfEnvironment the API key where no option gives one
 * @returns undefined where help is asked for
 * @throws UsageError, or an error of parseArgs, for words that are no options or values that do not fit
 */
export function serveCommand(words: readonly string[], keyOfEnvironment?: string): ServeCommand | undefined {
  const { values } = parseArgs({ args: [...words], options: OPTIONS });
  if (values.help) return undefined;
  const whole = (
    name: "stop" | "port" | "max-pixels" | "max-queue" | "max-clients",
    least: number,
  ): number | undefined => {
    const text = values[name];
    return text === undefined ? undefined : wholeNumber(name, text, least);
  };
  const port = whole("port", 0) ?? 8000;
  if (port > 65535) throw new UsageError(`--port ${port}: ports end at 65535.`);
  const apiKey = values["api-key"] ?? (keyOfEnvironment || undefined);
  // It travels in a header, where other characters have no agreed form.
  if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey))
    throw new UsageError("--api-key: write printable ASCII characters without spaces.");
  const message = values["max-message"];
  const given: Partial<Record<keyof ServerLimits, number>> = {
    message: message === undefined ? undefined : Math.ceil(positiveNumber("max-message", message) * MB),
    pixels: whole("max-pixels", 1),
    queue: whole("max-queue", 1),
    connections: whole("max-clients", 1),
  };
  const limits = Object.fromEntries(Object.entries(given).filter(([, limit]) => limit !== undefined));
  return {
    model: {
      model: values.model ?? TOY,
      policy: values.policy,
      frozen: values.frozen,
      adapter: values.adapter,
      dtype: values.dtype === undefined ? undefined : oneOf("dtype", values.dtype, ["f32", "bf16", "f16"]),
      arithmetic: oneOf("arithmetic", values.arithmetic ?? "f32", ["f32", "f16"]),
      gpuMemory: values["gpu-memory"] === undefined ? undefined : gigabytes(values["gpu-memory"]),
      text: values.text,
      encodeText: values["encode-text"],
      variants: values.variants === undefined ? undefined : readVariants(values.variants),
      rename: values.rename?.split(",").map(parseRename),
      unexpected: values["ignore-unexpected"] ? "ignore" : "refuse",
      nonFinite: values["allow-nonfinite"] ? "ignore" : "refuse",
      verify: !values["no-verify"],
    },
    stop: whole("stop", 0),
    prompt: values.prompt,
    requestHz:
      values["request-hz"] === undefined ? undefined : positiveNumber("request-hz", values["request-hz"]),
    host: values.host ?? "127.0.0.1",
    port,
    apiKey,
    limits,
    quiet: values.quiet ?? false,
  };
}
