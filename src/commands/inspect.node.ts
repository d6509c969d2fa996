/** `npm run inspect -- FILE|FOLDER|owner/name[@revision][:subfolder] …`: what a checkpoint or a data set holds, by headers and metadata only. */
import { parseArgs } from "node:util";
import { describeSet } from "../data/lerobot/describe.ts";
import { openLeRobot } from "../data/lerobot/files.node.ts";
import { isLeRobotFolder, resolveData } from "../data/lerobot/open.node.ts";
import { HubError, UsageError } from "../errors.ts";
import { DATASETS, resolveRevision } from "../weights/hub/api.ts";
import { hubSettings } from "../weights/hub/environment.node.ts";
import { isUnreachable } from "../weights/hub/http.ts";
import { parseHubRef } from "../weights/hub/ref.ts";
import { openForInspection } from "../weights/inspect.node.ts";
import { listTensors } from "../weights/listing.ts";
import { helpText } from "./terminal.node.ts";

const help = (): string =>
  helpText("Usage: npm run inspect -- [options] FILE|FOLDER|owner/name[@revision][:subfolder] …", [
    ["FILE", "safetensors, an index of shards, or a torch checkpoint (.pt, .pth, .ckpt, .bin)"],
    ["FOLDER", "every checkpoint in it, shards joined, up to three folders deep"],
    ["", "or a LeRobot data set: version, cameras, vectors, episodes, tasks"],
    ["owner/name", "a model or a data set on the Hub, read by ranges: nothing is downloaded"],
    ["--no-verify", "read a torch checkpoint though its checksums do not fit"],
    ["--help", "this text"],
  ]);

/** @returns the exit code. @throws as loading would */
export async function runInspect(words: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: { help: { type: "boolean", short: "h" }, "no-verify": { type: "boolean" } },
  });
  if (values.help) {
    process.stdout.write(`${help()}\n`);
    return 0;
  }
  if (positionals.length === 0) throw new UsageError(help());
  for (const target of positionals) {
    if (target.startsWith(DATASETS) || (await isLeRobotFolder(target))) {
      await describeData(target);
      continue;
    }
    try {
      for await (const source of openForInspection(target, { verify: !values["no-verify"] })) {
        process.stdout.write(`${listTensors(source)}\n`);
        await source.close();
      }
    } catch (error) {
      // A name that is no model's may be a data set's; a path, or a Hub out of reach, is neither.
      const first = error instanceof HubError && error.cause instanceof HubError ? error.cause : error;
      const name = first instanceof HubError && !isUnreachable(first) ? await dataName(target) : undefined;
      if (name === undefined) throw error;
      await describeData(name);
    }
  }
  return 0;
}

async function describeData(target: string): Promise<void> {
  const set = await openLeRobot(await resolveData(target), {
    onNote: (line) => process.stderr.write(`${line}\n`),
  });
  try {
    process.stdout.write(`${await describeSet(set)}\n`);
  } finally {
    await set.close();
  }
}

/** The name, where the Hub has a data set of it. */
async function dataName(target: string): Promise<string | undefined> {
  const ref = parseHubRef(target);
  const { client, offline } = await hubSettings();
  if (!ref || offline) return undefined;
  return resolveRevision(client, `${DATASETS}${ref.repo}`, ref.revision).then(
    () => `${DATASETS}${target}`,
    () => undefined,
  );
}
