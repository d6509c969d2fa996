/** `node dist/serve.js`: a policy behind openpi's websocket protocol. */
import { UsageError } from "../errors.ts";
import { printable } from "../probe/result/shape.ts";
import { isLoopback } from "../server/admission.node.ts";
import { SERVER_LIMITS } from "../server/limits.ts";
import { type PolicyServer, servePolicy } from "../server/listen.node.ts";
import { cameraKeys } from "../server/names.ts";
import type { PolicyDescription } from "../systems/policy.ts";
import { loadModel } from "./load-model.node.ts";
import { progressBar, type ProgressStream } from "./probe/progress.node.ts";
import { MB, type ServeCommand, serveCommand, serveHelp } from "./serve-options.node.ts";

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
  const command = serveCommand(words, environment.MIMIC_VIDEO_API_KEY);
  if (!command) {
    stdout.write(`${serveHelp()}\n`);
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
    accept: async (opened) => {
      if (!opened.policy)
        throw new UsageError(`${opened.name} has no policy yet: it can be probed, and not be served.`);
      const asked = await opened.policy();
      checkStop(command.stop, asked.description);
      asked.dispose();
    },
  });
  try {
    const policy = () => loaded.opened.policy!();
    // What policies share stays while this one lives.
    const first = await policy();
    try {
      const { description } = first;
      const { stop, prompt, host, port, apiKey } = command;
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
