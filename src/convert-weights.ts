#!/usr/bin/env node
/**
 * `npm run convert -- in.pt out.safetensors`: one checkpoint into a single safetensors file, streamed. Options rename
 * prefixes and drop keys.
 */
import { parseArgs } from "node:util";
import { MimicVideoError, UsageError } from "./errors.ts";
import { createFile } from "./weights/files.node.ts";
import { formatBytes } from "./weights/listing.ts";
import { openWeights } from "./weights/open.node.ts";
import { convertTensors } from "./weights/rename.ts";
import { writeSafetensors } from "./weights/safetensors.ts";

const usage = `Usage: npm run convert -- IN OUT.safetensors [options]
  IN                   a .pt, .pth, .bin or .safetensors file, or a folder of shards
  --rename OLD=NEW     replace the prefix OLD of keys by NEW (empty: strip it); may be repeated
  --drop PATTERN       leave out keys that fit PATTERN, * standing for anything; may be repeated
  --bf16-as F32|F16    convert BF16 tensors; values beyond F16 become ±65504 and are counted`;

async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  const [input, output] = positionals;
  if (positionals.length !== 2 || !output.endsWith(".safetensors")) throw new UsageError(usage);
  const bf16As = values["bf16-as"]?.toUpperCase();
  if (bf16As !== undefined && bf16As !== "F32" && bf16As !== "F16") {
    throw new UsageError(`--bf16-as takes F32 or F16, not ${bf16As}.`);
  }
  const source = await openWeights(input);
  try {
    const tensors = convertTensors(source, {
      rename: (values.rename ?? []).map(renameRule),
      drop: values.drop,
      bf16As,
      onSaturated: (name, count) => process.stderr.write(`${name}: ${count} values became ±65504\n`),
    });
    const sink = await createFile(output);
    let written = 0;
    try {
      const counting = {
        write: (bytes: Uint8Array) => {
          written += bytes.byteLength;
          return sink.write(bytes);
        },
      };
      await writeSafetensors(tensors, counting, { format: "pt" });
      await sink.finish();
    } finally {
      await sink.abandon();
    }
    const dropped = source.tensors.size - tensors.length;
    process.stdout.write(
      `${output}: ${tensors.length} tensors, ${formatBytes(written)}${dropped > 0 ? `; ${dropped} dropped` : ""}\n`,
    );
  } finally {
    await source.close();
  }
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        rename: { type: "string", multiple: true },
        drop: { type: "string", multiple: true },
        "bf16-as": { type: "string" },
      },
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n${usage}`, { cause: error });
  }
}

function renameRule(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new UsageError(`--rename takes OLD=NEW, not "${text}".`);
  return [text.slice(0, at), text.slice(at + 1)];
}

try {
  await main();
} catch (error) {
  if (!(error instanceof MimicVideoError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
