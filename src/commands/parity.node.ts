/**
 * `npm run parity [-- DIR…]`: recomputes golden cases on the GPU and prints a row per output: relative error, maximum
 * absolute error, ratio to PyTorch's own float32 error, pass or FAIL.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { FormatError, MimicVideoError, UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { openGpu } from "../gpu/open.node.ts";
import { readVariants } from "../kernels/variants.ts";
import { autotuneHere } from "../kernels/autotune.node.ts";
import type { CaseTensor, ExpectedOutput, GoldenCase } from "../parity/case.ts";
import { kinds } from "../parity/kinds.ts";
import { compareRelease } from "../parity/release.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { toNumbers } from "../parity/numbers.ts";
import { openModelFolder } from "../weights/model-files.node.ts";
import { openWeights } from "../weights/open.node.ts";
import type { TensorSource } from "../weights/source.ts";
import { helpText } from "./terminal.node.ts";

/** Errors stay below this; `torch` is PyTorch's own error in float32. */
const BOUNDS = {
  /** test/golden/README.md */
  f32: (torch: number) => Math.max(2e-5, 10 * torch),
  /** float16 has 13 bits fewer than float32, so what is as well done in it as PyTorch's is 2¹³ times as far off */
  f16: (torch: number) => 2 ** 13 * torch,
} as const;

/** With half-precision products: the release's own bfloat16 moves its actions by 0.6 to 0.7 %. */
const HALF_PRODUCTS = 7e-3;

/** What errors stay below, given PyTorch's own. */
const boundOf = ({ arithmetic }: Gpu, dtype: keyof typeof BOUNDS): ((torch: number) => number) =>
  arithmetic === "f16" ? () => HALF_PRODUCTS : BOUNDS[dtype];

const help = (): string =>
  helpText("npm run parity [-- [options] DIR…]", [
    ["DIR", "a case folder, a model with a reference/, or a folder of them (default: every test/golden*)"],
    ["--adapter NAME", '"software", or a part of an adapter\'s name'],
    ["--variants K=V", "force kernel variants, comma-separated: linear=naive,attention=naive"],
    [
      "--dtype f16",
      "matrices rounded to float16; arithmetic stays float32, errors may be 2^13 times PyTorch's",
    ],
    [
      "--arithmetic f16",
      `matrix products of halves, sums in float32, where the adapter has shader-f16; errors may be ${(100 * HALF_PRODUCTS).toFixed(1)} %`,
    ],
    ["--help", "this text"],
  ]);

interface Row {
  readonly output: string;
  readonly relative: number;
  readonly absolute: number;
  readonly ratio: number;
  readonly pass: boolean;
}

/** Kinds whose outputs are constants that float32 arithmetic makes on the host: units in the last place that each may be off. */
const EXACT: Readonly<Record<string, number>> = { "diffusion_policy.schedule": 2 };

/** The distance of x to the next float32 of larger magnitude. */
const unitOf = (x: number): number => 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(x)))) - 23);

/** ‖ours − truth‖₂ / ‖truth‖₂ and max |ours − truth|, against the bound, or each value against its own last place. */
function compare(
  output: string,
  ours: Float32Array | undefined,
  truth: Float32Array,
  expected: ExpectedOutput,
  bound: (torch: number) => number,
  units?: number,
): Row {
  let difference = 0;
  let norm = 0;
  let absolute = 0;
  let near = true;
  let finite = ours?.length === truth.length && truth.length === sizeOf(expected.shape);
  for (let i = 0; finite && i < truth.length; i++) {
    const d = Math.abs(ours![i] - truth[i]);
    finite = Number.isFinite(d);
    difference += d * d;
    norm += truth[i] ** 2;
    absolute = Math.max(absolute, d);
    near &&= units === undefined || d <= units * unitOf(truth[i]);
  }
  const torch = expected.torch_float32_relative_error;
  // Of a truth of zeros nothing may be off.
  const relative = !finite ? Number.POSITIVE_INFINITY : difference === 0 ? 0 : Math.sqrt(difference / norm);
  return {
    output,
    relative,
    absolute,
    ratio: relative === 0 ? 0 : relative / torch,
    pass: relative < bound(torch) && near,
  };
}

async function readTensors(file: string, optional = false): Promise<Map<string, CaseTensor>> {
  if (optional && !(await exists(file))) return new Map();
  const source = await openWeights(file);
  const tensors = new Map<string, CaseTensor>();
  for (const { name, shape, dtype } of source.tensors.values()) {
    tensors.set(name, { shape, dtype, data: toNumbers(await source.read(name), dtype) });
  }
  await source.close();
  return tensors;
}

/** Folders to compare in `folder`: itself, or those below that hold a case.json, or a reference beside a model. */
async function findCases(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => {
    throw new UsageError(`${folder} is not a folder that can be read`);
  });
  if (entries.some((e) => e.name === "case.json")) return [folder];
  if (await hasReference(folder)) return [folder];
  const inner = await Promise.all(
    entries.filter((e) => e.isDirectory()).map((e) => findCases(path.join(folder, e.name))),
  );
  return inner.flat().sort();
}

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );

/** Of a case that computes without any, such as a table of coefficients. */
const nothing = (name: string): TensorSource => ({
  name,
  tensors: new Map(),
  read: () => Promise.reject(new FormatError(`${name} does not exist`)),
  // eslint-disable-next-line require-yield
  stream: async function* () {
    throw new FormatError(`${name} does not exist`);
  },
  close: () => Promise.resolve(),
});

const hasReference = (folder: string): Promise<boolean> =>
  stat(path.join(folder, "reference/reference.json")).then(
    (found) => found.isFile(),
    () => false,
  );

async function runRelease(gpu: Gpu, folder: string, dtype: keyof typeof BOUNDS): Promise<Row[]> {
  const files = await openModelFolder(folder);
  const data = await openModelFolder(path.join(folder, "episodes"));
  // Nothing that an earlier run has kept: the text is computed too.
  const host = { openFile: openWeights };
  const rows: Row[] = [];
  const bound = boundOf(gpu, dtype);
  for await (const { name, shape, ours, truth, torch } of compareRelease(gpu, files, data, dtype, host))
    rows.push(compare(name, ours, truth, { shape, torch_float32_relative_error: torch }, bound));
  return rows;
}

async function runCase(gpu: Gpu, folder: string, dtype: keyof typeof BOUNDS): Promise<Row[]> {
  if (await hasReference(folder)) return runRelease(gpu, folder, dtype);
  const text = await readFile(path.join(folder, "case.json"), "utf8");
  let description: Pick<GoldenCase, "name" | "kind" | "config" | "args"> & {
    outputs: GoldenCase["expected"];
  };
  try {
    description = JSON.parse(text) as typeof description;
  } catch (error) {
    throw new FormatError(`${folder}/case.json is not JSON: ${(error as Error).message}`);
  }
  const runner = kinds[description.kind];
  if (!runner) {
    throw new UsageError(
      `${folder}: kind "${description.kind}" is not supported; known: ${Object.keys(kinds).join(", ")}`,
    );
  }
  const inputs = await readTensors(path.join(folder, "inputs.safetensors"), true);
  const truth = await readTensors(path.join(folder, "outputs.safetensors"));
  const file = path.join(folder, "weights.safetensors");
  const weights = (await exists(file)) ? await openWeights(file) : nothing(file);
  try {
    const golden: GoldenCase = { ...description, expected: description.outputs, inputs, weights, dtype };
    const ours = await runner(gpu, golden);
    const bound = boundOf(gpu, dtype);
    return [...truth].map(([name, { data }]) =>
      compare(name, ours.get(name), data, golden.expected[name], bound, EXACT[golden.kind]),
    );
  } finally {
    await weights.close();
  }
}

/** The folders of golden cases that belong to the project. */
async function goldenFolders(): Promise<string[]> {
  const tests = fileURLToPath(new URL("../../test", import.meta.url));
  const entries = await readdir(tests, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((e) => e.isDirectory() && e.name.startsWith("golden"))
    .map((e) => path.join(tests, e.name))
    .sort();
}

/**
 * Runs the command on its words.
 * @returns the exit status: 0 only if every output passes
 * @throws UsageError for options or folders that cannot be used; errors of a single case are rows that fail
 */
export async function runParity(words: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      adapter: { type: "string" },
      variants: { type: "string" },
      dtype: { type: "string", default: "f32" },
      arithmetic: { type: "string", default: "f32" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) {
    console.log(help());
    return 0;
  }
  const { dtype, arithmetic } = values;
  if (arithmetic !== "f32" && arithmetic !== "f16")
    throw new UsageError(`--arithmetic ${arithmetic}: use f32 or f16`);
  if (dtype !== "f32" && dtype !== "f16") throw new UsageError(`--dtype ${dtype}: use f32 or f16`);
  const asked = positionals.length > 0 ? positionals : await goldenFolders();
  const folders = (await Promise.all(asked.map(findCases))).flat();
  if (folders.length === 0) throw new UsageError(`no case.json below ${asked.join(", ")}`);
  const variants = values.variants ? readVariants(values.variants) : {};
  const gpu = await openGpu({ adapter: values.adapter, variants, arithmetic });
  try {
    for (const note of await autotuneHere(gpu)) console.log(note);
    console.log(
      `${folders.length} cases on ${gpu.name} (${gpu.adapter.origin}), ${dtype} matrices, ${arithmetic === "f16" ? "products of halves, float32 sums" : "float32 arithmetic"}`,
    );
    return (await runCases(gpu, folders, dtype)) === 0 ? 0 : 1;
  } finally {
    gpu.destroy();
  }
}

/** Prints a row per output, then the counts. @returns how many failed */
async function runCases(gpu: Gpu, folders: readonly string[], dtype: keyof typeof BOUNDS): Promise<number> {
  const counts = { passed: 0, failed: 0 };
  for (const folder of folders) {
    const name = path.basename(folder);
    try {
      for (const row of await runCase(gpu, folder, dtype)) {
        counts[row.pass ? "passed" : "failed"]++;
        console.log(
          `${name.padEnd(32)} ${row.output.padEnd(20)} relative ${row.relative.toExponential(2)}  max ${row.absolute.toExponential(2)}` +
            `  ratio ${row.ratio.toFixed(2).padStart(6)}  ${row.pass ? "pass" : "FAIL"}`,
        );
      }
    } catch (error) {
      if (!(error instanceof MimicVideoError)) throw error;
      counts.failed++;
      console.log(`${name.padEnd(32)} FAIL: ${error.message}`);
    }
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed;
}
