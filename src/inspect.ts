#!/usr/bin/env node
/**
 * `npm run inspect -- FILE|FOLDER|owner/name[@revision][:subfolder] …`: what a checkpoint holds, by its headers
 * only. Exits 1 with the error that loading would give.
 */
import { MimicVideoError, UsageError } from "./errors.ts";
import { openForInspection } from "./weights/inspect.node.ts";
import { listTensors } from "./weights/listing.ts";

const usage = "Usage: npm run inspect -- FILE|FOLDER|owner/name[@revision][:subfolder] …";

try {
  const targets = process.argv.slice(2);
  if (targets.length === 0) throw new UsageError(usage);
  for (const target of targets) {
    if (target.startsWith("-")) throw new UsageError(`Unknown option ${target}. ${usage}`);
    for await (const source of openForInspection(target)) {
      process.stdout.write(`${listTensors(source)}\n`);
      await source.close();
    }
  }
} catch (error) {
  if (!(error instanceof MimicVideoError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
