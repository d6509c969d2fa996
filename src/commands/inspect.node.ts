/** `npm run inspect -- FILE|FOLDER|owner/name[@revision][:subfolder] …`: what a checkpoint holds, by its headers only. */
import { parseArgs } from "node:util";
import { UsageError } from "../errors.ts";
import { openForInspection } from "../weights/inspect.node.ts";
import { listTensors } from "../weights/listing.ts";
import { helpText } from "./terminal.node.ts";

const help = (): string =>
  helpText("Usage: npm run inspect -- [options] FILE|FOLDER|owner/name[@revision][:subfolder] …", [
    ["FILE", "safetensors, an index of shards, or a torch checkpoint (.pt, .pth, .ckpt, .bin)"],
    ["FOLDER", "every checkpoint in it, shards joined, up to three folders deep"],
    ["owner/name", "a repository on the Hub, read by ranges: nothing is downloaded"],
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
    for await (const source of openForInspection(target, { verify: !values["no-verify"] })) {
      process.stdout.write(`${listTensors(source)}\n`);
      await source.close();
    }
  }
  return 0;
}
