/**
 * Folders of the released mimic-video with a `reference/` beside the model: what the reference computed with float64 for each of
 * its episodes, by the first seed. `E.latents` of the context, `E.text` of the prompt, `E.hidden.K` at stop K, `E.sample` after the last.
 */
import { FormatError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Encoded } from "../systems/mimic-video-release/subject.ts";
import { recognise } from "../systems/registry.ts";
import type { SystemOptions } from "../systems/system.ts";
import { readTensor } from "../tensor/tensor.ts";
import type { WeightDtype } from "../tensor/matrix.ts";
import type { ModelFiles } from "../weights/model-files.ts";
import { toFloat32 } from "../weights/convert.ts";

/** One output of ours beside the reference's. */
export interface Compared {
  readonly name: string;
  readonly shape: readonly number[];
  readonly ours: Float32Array;
  readonly truth: Float32Array;
  /** relative error of PyTorch's own float32 */
  readonly torch: number;
}

interface Reference {
  readonly policy: string;
  readonly stop_after_steps: readonly number[];
  readonly seeds: readonly number[];
  readonly torch_float32_relative_error: Readonly<Record<string, number>>;
}

/**
 * Computes everything the reference has for the episodes of a folder.
 * @param host what a system may need of the machine
 * @throws FormatError for a reference that is malformed, and what the system throws
 */
export async function* compareRelease(
  gpu: Gpu,
  files: ModelFiles,
  data: ModelFiles,
  dtype: WeightDtype,
  host: Pick<SystemOptions, "cache" | "openFile">,
): AsyncGenerator<Compared> {
  const reference = (await files.json("reference/reference.json")) as Reference;
  const { policy, stop_after_steps: stops, seeds, torch_float32_relative_error: errors } = reference;
  if (typeof policy !== "string" || !isNumbers(stops) || !isNumbers(seeds) || typeof errors !== "object")
    throw new FormatError(
      `${files.name}/reference/reference.json does not say policy, stops, seeds and errors.`,
    );
  const system = await recognise(files);
  const truths = await files.weights("reference/reference.safetensors");
  const opened = await system.open(gpu, files, { policy, dtype, ...host });
  try {
    const subject = await opened.subject(data);
    await opened.load({});
    for (let e = 0; e < subject.items.count; e++) {
      const compared = async (of: string, ours: Float32Array): Promise<Compared> => {
        const name = `${e}.${of}`;
        const info = truths.tensors.get(name);
        if (!info || errors[name] === undefined)
          throw new FormatError(`${truths.name} has no ${name}, which the reference should have.`);
        const truth = toFloat32(await truths.read(name), info.dtype);
        return { name, shape: info.shape, ours, truth, torch: errors[name] };
      };
      const item = await subject.items.read(e);
      const encoded = (await subject.encode(item, 1)) as Encoded;
      yield await compared("latents", await readTensor(gpu, encoded.latents));
      yield await compared("text", encoded.embedding);
      const last = Math.max(...stops);
      for await (const state of subject.denoise(encoded, [subject.noise(item, seeds[0])], { last })) {
        if (!stops.includes(state.step)) continue;
        const [hidden] = await state.tap(subject.tapKinds[0]);
        yield await compared(`hidden.${state.step}`, await readTensor(gpu, hidden));
        if (state.step === last) yield await compared("sample", await readTensor(gpu, state.latents));
      }
      encoded.dispose();
    }
    await subject.close();
  } finally {
    await truths.close();
    await opened.release();
  }
}

const isNumbers = (list: unknown): list is readonly number[] =>
  Array.isArray(list) && list.length > 0 && list.every((n) => typeof n === "number");
