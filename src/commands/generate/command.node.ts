/** `node dist/generate.js`: samples of a class, as a sheet of pictures or as numbers. */
import { stat } from "node:fs/promises";
import path from "node:path";
import { encode } from "fast-png";
import { NonFiniteError, UsageError } from "../../errors.ts";
import { writeAtomic } from "../../probe/result/files.node.ts";
import { printable } from "../../probe/result/shape.ts";
import { joined } from "../../systems/arrays.ts";
import type { Sampler } from "../../systems/sampler.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { encodeSafetensors } from "../../weights/safetensors.ts";
import { loadModel } from "../load-model.node.ts";
import { duration, progressBar, type ProgressStream } from "../probe/progress.node.ts";
import { type GenerateCommand, generateCommand, generateHelp } from "./options.node.ts";
import { readStarts, type Starts } from "./starts.node.ts";

export interface GenerateSurroundings {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: ProgressStream;
  /** stops between two calls of the network */
  readonly signal: AbortSignal;
}

const COUNT = 64;
/** Width in pixels that a sheet is scaled up towards. */
const WIDE = 640;

/** @returns the exit code. @throws as loading would; UsageError for what the model cannot do; FormatError for a file */
export async function runGenerate(
  words: readonly string[],
  { stdout, stderr, signal }: GenerateSurroundings,
): Promise<number> {
  const started = performance.now();
  const command = generateCommand(words);
  if (!command) {
    stdout.write(`${generateHelp()}\n`);
    return 0;
  }
  await refusePlace(command.out);
  const bar = progressBar(stderr, command.quiet);
  try {
    const loaded = await loadModel(command.model, {
      signal,
      onProgress: (phase, done, total) => bar.report({ phase, done, total, unit: "bytes" }),
      accept: (opened) => {
        if (!opened.sampler)
          throw new UsageError(
            `${opened.name} makes no samples of its own; it can be probed (dist/probe.js).`,
          );
        accept(command, opened.sampler());
      },
    });
    try {
      const sampler = loaded.opened.sampler!();
      const starts = await startsOf(command, sampler);
      const samples = await drawAll(sampler, starts, command, signal, (done) =>
        bar.report({ phase: "samples", done, total: starts.count * command.calls, unit: "calls" }),
      );
      await write(command, sampler, starts, samples);
      bar.finish();
      const seconds = (performance.now() - started) / 1000;
      const what = `${starts.count} ${sampler.contents === "pictures" ? "pictures" : sampler.contents}`;
      const calls = `${command.calls} ${command.calls === 1 ? "call" : "calls"} each`;
      stdout.write(
        printable(`${command.out}: ${what}, ${calls}, ${duration(seconds)} on ${loaded.gpu.name}\n`),
      );
    } finally {
      await loaded.release();
    }
    return 0;
  } catch (error) {
    bar.finish();
    if (!signal.aborted) throw error;
    stderr.write("Interrupted; nothing was written.\n");
    return 130;
  }
}

/** What can be refused before weights are read. @throws UsageError */
function accept({ out, classes, guidance, rule }: GenerateCommand, sampler: Sampler): void {
  const { name, contents, shape } = sampler;
  if (out.endsWith(".png") && !sampler.sheet)
    throw new UsageError(
      contents === "latents"
        ? `${name} makes latents of ${shape.join(" × ")}, which only the decoder of an autoencoder turns into pictures, and none is part of this project. Write their numbers: --out ${out.replace(/png$/, "safetensors")}`
        : `${name} makes vectors of ${sizeOf(shape)} numbers and no pictures. Write them: --out ${out.replace(/png$/, "safetensors")}`,
    );
  if (out.endsWith(".png") && shape[0] !== 1 && shape[0] !== 3)
    throw new UsageError(
      `${name}'s pictures have ${shape[0]} channels; 1 and 3 can be shown. Write their numbers: --out ${out.replace(/png$/, "safetensors")}`,
    );
  const wrong = classes?.find((label) => label >= sampler.classes);
  if (wrong !== undefined)
    throw new UsageError(
      sampler.classes === 0
        ? `--class ${wrong}: ${name} knows no classes. Leave the option out.`
        : `--class ${wrong}: ${name} knows the classes 0 to ${sampler.classes - 1}.`,
    );
  if (guidance !== undefined && sampler.classes === 0)
    throw new UsageError(`--cfg-scale: ${name} knows no classes to be guided towards. Leave the option out.`);
  sampler.checkRule(rule ?? "average");
}

/** Noise and classes, from a file or from seeds. */
async function startsOf({ noise, classes, count, seed }: GenerateCommand, sampler: Sampler): Promise<Starts> {
  if (noise !== undefined) return readStarts(noise, sampler, { classes, count });
  const all = count ?? COUNT;
  const taken = classes ?? Array.from({ length: sampler.classes }, (_, label) => label);
  if (taken.length === 0)
    return {
      count: all,
      noise: joined(Array.from({ length: all }, (_, i) => sampler.noise(undefined, seed + i))),
    };
  const labels = Array.from({ length: all }, (_, i) => taken[i % taken.length]);
  return {
    ...{ count: all, labels },
    noise: joined(labels.map((label, i) => sampler.noise(label, seed + Math.floor(i / taken.length)))),
  };
}

/** (count, …shape), batch by batch. @throws NonFiniteError for a sample that is no number */
async function drawAll(
  sampler: Sampler,
  { count, labels, noise }: Starts,
  { calls, rule, guidance, guided }: GenerateCommand,
  signal: AbortSignal,
  onCalls: (done: number) => void,
): Promise<Float32Array<ArrayBuffer>> {
  const size = sizeOf(sampler.shape);
  const samples = new Float32Array(count * size);
  onCalls(0);
  for (let from = 0; from < count; from += sampler.mostTogether) {
    const to = Math.min(count, from + sampler.mostTogether);
    const request = {
      ...{ labels: labels?.slice(from, to), noise: noise.subarray(from * size, to * size) },
      ...{ calls, rule, guidance, guided, signal },
    };
    for await (const drawn of sampler.draw(request)) {
      if (drawn.step === drawn.steps) samples.set(await drawn.read(), from * size);
      onCalls(from * calls + (to - from) * drawn.step);
    }
  }
  const bad = samples.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new NonFiniteError(
      `sample ${Math.floor(bad / size)} holds ${samples[bad]}; try --dtype f32 --arithmetic f32, another --adapter, or other weights.`,
    );
  return samples;
}

async function write(
  { out, scale, perRow, calls, rule = "average", seed }: GenerateCommand,
  sampler: Sampler,
  { count, labels }: Starts,
  samples: Float32Array<ArrayBuffer>,
): Promise<void> {
  if (out.endsWith(".png")) {
    const across = perRow ?? Math.ceil(Math.sqrt(count));
    const own = scale ?? Math.max(1, Math.floor(WIDE / (Math.min(across, count) * sampler.shape[2])));
    const { width, height, channels, data } = sampler.sheet!(samples, { perRow: across, scale: own });
    return writeAtomic(out, encode({ width, height, channels, data, depth: 8 }));
  }
  const tensors = [
    {
      ...{ name: "samples", dtype: "F32" as const, shape: [count, ...sampler.shape] },
      data: new Uint8Array(samples.buffer),
    },
    ...(labels
      ? [
          {
            ...{ name: "labels", dtype: "I64" as const, shape: [count] },
            data: new Uint8Array(BigInt64Array.from(labels, BigInt).buffer),
          },
        ]
      : []),
  ];
  return writeAtomic(
    out,
    await encodeSafetensors(tensors, {
      ...{ model: sampler.name, contents: sampler.contents, calls: `${calls}`, rule, seed: `${seed}` },
    }),
  );
}

/** @throws UsageError when the file could not be written, before anything is computed */
async function refusePlace(out: string): Promise<void> {
  const folder = await stat(path.dirname(out)).catch(() => undefined);
  if (!folder?.isDirectory())
    throw new UsageError(`--out ${out}: there is no folder ${path.dirname(out)}. Make it, or name another.`);
  const found = await stat(out).catch(() => undefined);
  if (found?.isDirectory()) throw new UsageError(`--out ${out} is a folder. Name a file in it.`);
}
