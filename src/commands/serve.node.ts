/** `node dist/serve.js`: a policy behind openpi's websocket protocol. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { UsageError } from "../errors.ts";
import { readVariants } from "../kernels/variants.ts";
import { printable } from "../probe/result/shape.ts";
import { isLoopback } from "../server/admission.node.ts";
import { SERVER_LIMITS, type ServerLimits } from "../server/limits.ts";
import { type PolicyServer, servePolicy } from "../server/listen.node.ts";
import { cameraKeys } from "../server/names.ts";
import type { PolicyDescription } from "../systems/policy.ts";
import { parseRename } from "../weights/rename.ts";
import { loadModel, type ModelSettings } from "./load-model.node.ts";
import { progressBar, type ProgressStream } from "./probe/progress.node.ts";
import { gigabytes, oneOf, positiveNumber, wholeNumber } from "./probe/settings.ts";
import { helpText } from "./terminal.node.ts";

const MB = 2 ** 20;
/** The checkpoint that ships; the package is two folders up from here, in src as in dist. */
const TOY = fileURLToPath(new URL("../../weights/toy", import.meta.url));

const help = (): string =>
  helpText(
    "Usage: node dist/serve.js [options]     (openpi's websocket protocol; see docs/policy-server.md)",
    [
      ["--model DIR|owner/name", "the checkpoint (default: the toy that ships)"],
      ["--policy NAME", "which policy of a folder that holds several"],
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
  ...{ model: value, policy: value, stop: value, prompt: value, "request-hz": value },
  ...{ port: value, host: value, "api-key": value },
  ...{ "max-message": value, "max-pixels": value, "max-queue": value, "max-clients": value },
  ...{ adapter: value, dtype: value, arithmetic: value, "gpu-memory": value, text: value, variants: value },
  ...{ "encode-text": flag, "ignore-unexpected": flag, "allow-nonfinite": flag, "no-verify": flag },
  ...{ rename: value, quiet: flag, help: helpFlag },
} as const;

/** What was asked for; what depends on the policy is checked when there is one. */
interface ServeCommand {
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

export interface ServeSurroundings {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: ProgressStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** ends the server: the running request is finished */
  readonly signal: AbortSignal;
  /** told when clients can connect */
  readonly onListening?: (server: PolicyServer) => void;
}

/** @returns the exit code. @throws as loading would; UsageError for an option that does not fit */
export async function runServe(words: readonly string[], surroundings: ServeSurroundings): Promise<number> {
  const { stdout, stderr, environment, signal } = surroundings;
  const command = readWords(words, environment.MIMIC_VIDEO_API_KEY);
  if (!command) {
    stdout.write(`${help()}\n`);
    return 0;
  }
  const bar = progressBar(stderr, command.quiet);
  const say = (line: string): void => {
    bar.finish();
    if (!command.quiet) stderr.write(`${printable(line)}\n`);
  };
  const loaded = await loadModel(command.model, {
    signal,
    onNote: say,
    onProgress: (phase, done, total) => bar.report({ phase, done, total, unit: "bytes" }),
    accept: (opened) => {
      if (!opened.policy)
        throw new UsageError(`${opened.name} has no policy yet: it can be probed, and not be served.`);
    },
  });
  try {
    const policy = () => loaded.opened.policy!();
    // What policies share stays while this one lives.
    const first = await policy();
    try {
      const { description } = first;
      const { stop, prompt, host, port, apiKey } = command;
      checkStop(stop, description);
      const requestHz = command.requestHz ?? habitualHz(description);
      const limits = { message: messageBytes(description), ...command.limits };
      const server = await servePolicy({
        ...{ description, policy, requestHz, stop, prompt, host, port, apiKey, limits },
        onLine: say,
      });
      bar.finish();
      for (const line of caveats(command, description)) stderr.write(`${line}\n`);
      stdout.write(`${printable(summary(server, description, stop, requestHz))}\n`);
      surroundings.onListening?.(server);
      await untilEnd(server, signal, say);
    } finally {
      first.dispose();
    }
  } finally {
    await loaded.release();
  }
  return 0;
}

/** @returns undefined where help is asked for */
function readWords(words: readonly string[], keyOfEnvironment?: string): ServeCommand | undefined {
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

function checkStop(stop: number | undefined, { name, stops }: PolicyDescription): void {
  if (stop !== undefined && stop > stops.last)
    throw new UsageError(`--stop ${stop}: ${name} can be read after 0 to ${stops.last} steps.`);
}

/** As often as the camera that looks back the most has frames. */
function habitualHz({ cameras }: PolicyDescription): number {
  const [first, ...rest] = cameras;
  return 1 / rest.reduce((most, camera) => (camera.frames > most.frames ? camera : most), first).interval;
}

/** Room for two stacks of pictures of the policy's size, where that is more than what is usual. */
function messageBytes({ cameras }: PolicyDescription): number {
  const stacks = cameras.map(({ frames, size: [rows, columns] }) => frames * rows * columns * 3);
  return Math.max(SERVER_LIMITS.message, MB + 2 * stacks.reduce((sum, bytes) => sum + bytes, 0));
}

/** What a person should know of this choice of options. */
function caveats(
  { host, apiKey, requestHz }: ServeCommand,
  description: PolicyDescription,
): readonly string[] {
  const lines: string[] = [];
  if (!isLoopback(host) && apiKey === undefined)
    lines.push(
      `Warning: everybody who can reach ${host} can use this server and its GPU. Give --api-key, or leave --host out.`,
    );
  if (requestHz === undefined && description.cameras.some(({ frames }) => frames > 1))
    lines.push(
      `Clients that send single frames are taken to ask every ${1 / habitualHz(description)} s; if they do not, say --request-hz.`,
    );
  return lines;
}

function summary(
  { host, port }: PolicyServer,
  description: PolicyDescription,
  stop: number | undefined,
  requestHz: number,
): string {
  const { name, cameras, state, actions, stops } = description;
  const keys = cameraKeys(description);
  const looks = cameras.map(
    ({ name: camera, frames, interval, size: [rows, columns] }) =>
      `  ${keys.get(camera)}: ${rows} × ${columns}, ${frames === 1 ? "1 frame" : `${frames} frames ${interval} s apart`}`,
  );
  return [
    `${name} at ws://${host.includes(":") ? `[${host}]` : host}:${port}`,
    ...looks,
    ...(state.length > 0 ? [`  observation/state: ${state.join(", ")}`] : []),
    `  actions: ${actions.positions} of ${actions.names.join(", ")}, ${actions.interval} s apart`,
    `  read after ${stop ?? stops.default} of ${stops.last} steps; requests ${1 / requestHz} s apart`,
  ].join("\n");
}

/** Until a signal or an error after which nothing can be answered. @throws that error */
async function untilEnd(
  server: PolicyServer,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  const asked = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  try {
    await Promise.race([server.ended, asked]);
    say("Finishing the running request …");
  } finally {
    await server.close();
  }
}
