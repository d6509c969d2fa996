/** Which files of a folder are its weights: the layouts of diffusers, transformers and single checkpoints. */
import { FormatError } from "../errors.ts";

export interface ChosenWeights {
  readonly kind: "file" | "index";
  readonly file: string;
}

/** Looks like weights of any kind we read. */
export function isWeightsFile(file: string): boolean {
  return /\.(safetensors|safetensors\.index\.json|bin\.index\.json|pt|pth|ckpt|bin)$/.test(file);
}

/**
 * Chooses among the names of a folder. The first of these that is there: `model.safetensors`,
 * `diffusion_pytorch_model.safetensors`, an index of shards of these names, the only index, the only `.safetensors`, `pytorch_model.bin`, its
 * index of shards, the only `.pt`, `.pth` or `.ckpt`. Undefined if there are no weights.
 * @throws FormatError if several could be meant
 */
export function chooseWeights(folder: string, files: readonly string[]): ChosenWeights | undefined {
  for (const usual of ["model.safetensors", "diffusion_pytorch_model.safetensors"]) {
    if (files.includes(usual)) return { kind: "file", file: usual };
  }
  for (const usual of ["model", "diffusion_pytorch_model"]) {
    const index = `${usual}.safetensors.index.json`;
    if (files.includes(index)) return { kind: "index", file: index };
  }
  const indexes = files.filter((file) => file.endsWith(".safetensors.index.json"));
  const singles = files.filter((file) => file.endsWith(".safetensors"));
  if (indexes.length === 1) return { kind: "index", file: indexes[0] };
  if (singles.length === 1 && indexes.length === 0) return { kind: "file", file: singles[0] };
  const choices = [...indexes, ...singles];
  if (choices.length === 0) {
    if (files.includes("pytorch_model.bin")) return { kind: "file", file: "pytorch_model.bin" };
    const index = files.filter((file) => file.endsWith(".bin.index.json"));
    if (index.length === 1) return { kind: "index", file: index[0] };
    choices.push(...index, ...files.filter((file) => /\.(pt|pth|ckpt)$/.test(file)));
    if (choices.length === 0) return undefined;
    if (choices.length === 1) return { kind: "file", file: choices[0] };
  }
  const some = choices.slice(0, 6).join(", ");
  throw new FormatError(
    `${folder}: it holds ${choices.length} weights: ${some}${choices.length > 6 ? ", …" : ""}. Name one of them.`,
  );
}
