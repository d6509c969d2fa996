/**
 * `npm run convert -- in.pt out.safetensors`: one checkpoint into a single safetensors file, streamed. Options rename
 * prefixes and drop keys; a checkpoint whose layout is known gets its network's own keys without them. The file takes its name when it is complete; an interrupted run leaves nothing.
 */
import { parseArgs } from "node:util";
import { UsageError } from "../errors.ts";
import { createFile, type FileSink } from "../weights/files.node.ts";
import { conversionOf } from "../systems/registry.ts";
import { formatBytes } from "../weights/listing.ts";
import { openWeights } from "../weights/open.node.ts";
import { convertTensors, parseRename } from "../weights/rename.ts";
import { writeSafetensors } from "../weights/safetensors.ts";
import { type TensorSource } from "../weights/source.ts";
import { helpText } from "./terminal.node.ts";

const help = (): string =>
  helpText("Usage: npm run convert -- IN OUT.safetensors [options]", [
    ["IN", "a .pt, .pth, .ckpt, .bin or .safetensors file, a folder of shards, or owner/name on the Hub"],
    [
      "--rename OLD=NEW",
      "replace the prefix OLD of keys by NEW; empty NEW strips it, empty OLD puts NEW before every key; may be repeated, the first that fits a key is applied",
    ],
    ["--drop PATTERN", "leave out keys that fit PATTERN, * standing for anything; may be repeated"],
    ["--bf16-as F32|F16", "convert BF16 tensors; values beyond F16 become ±65504 and are counted"],
    ["--as-stored", "keep the keys of a checkpoint whose layout is known, as --rename and --drop do too"],
    ["--no-verify", "read a torch checkpoint though its checksums do not fit"],
    ["--help", "this text"],
  ]);

/** @returns the exit code. @throws FormatError, UsageError, WeightsError, HubError */
export async function runConvert(words: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments(words);
  if (values.help) {
    process.stdout.write(`${help()}\n`);
    return 0;
  }
  const [input, output] = positionals;
  if (positionals.length !== 2 || !output.endsWith(".safetensors")) throw new UsageError(help());
  const bf16As = values["bf16-as"]?.toUpperCase();
  if (bf16As !== undefined && bf16As !== "F32" && bf16As !== "F16") {
    throw new UsageError(`--bf16-as takes F32 or F16, not ${bf16As}.`);
  }
  const rename = (values.rename ?? []).map(parseRename);
  const opened = await openWeights(input, { verify: !values["no-verify"] });
  try {
    const own = rename.length > 0 || values.drop !== undefined || values["as-stored"];
    const conversion = own ? undefined : conversionOf(opened);
    const source = conversion?.source ?? opened;
    const tensors = convertTensors(source, {
      rename,
      drop: values.drop,
      bf16As,
      onSaturated: (name, count) => process.stderr.write(`${name}: ${count} values became ±65504\n`),
    });
    const written = await write(output, (sink) =>
      writeSafetensors(tensors, sink, { ...metadataOf(source), ...conversion?.metadata }),
    );
    const dropped = opened.tensors.size - tensors.length;
    process.stdout.write(
      `${output}: ${tensors.length} tensors, ${formatBytes(written)}${dropped > 0 ? `; ${dropped} dropped` : ""}\n`,
    );
    if (conversion) process.stdout.write(`${conversion.words}\n`);
  } finally {
    await opened.close();
  }
  return 0;
}

/** That of the source; of others the one that tells loaders that the tensors are laid out as in torch. */
function metadataOf({ metadata }: TensorSource): Record<string, string> {
  return metadata !== undefined && metadata.size > 0 ? Object.fromEntries(metadata) : { format: "pt" };
}

/** Writes the file; signals remove what there is of it. @returns its bytes */
async function write(output: string, content: (sink: FileSink) => Promise<void>): Promise<number> {
  let sink: FileSink | undefined;
  let interrupted: NodeJS.Signals | undefined;
  const end = (signal: NodeJS.Signals): void => {
    interrupted = signal;
    // While the file is being created its removal has to wait for that.
    if (sink === undefined) return;
    sink.remove();
    process.exit(signal === "SIGINT" ? 130 : signal === "SIGTERM" ? 143 : 129);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.once(signal, end);
  try {
    sink = await createFile(output);
    if (interrupted !== undefined) end(interrupted);
    return await writeCounted(sink, content);
  } finally {
    await sink?.abandon();
    for (const signal of signals) process.off(signal, end);
  }
}

async function writeCounted(sink: FileSink, content: (sink: FileSink) => Promise<void>): Promise<number> {
  let written = 0;
  const counting: FileSink = {
    ...sink,
    write: (bytes) => {
      written += bytes.byteLength;
      return sink.write(bytes);
    },
  };
  await content(counting);
  await sink.finish();
  return written;
}

function readArguments(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        rename: { type: "string", multiple: true },
        drop: { type: "string", multiple: true },
        "bf16-as": { type: "string" },
        "as-stored": { type: "boolean" },
        "no-verify": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n${help()}`, { cause: error });
  }
}
