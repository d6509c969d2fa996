/** Weights from bytes of either kind, told apart by their first bytes. Runs in browsers too. */
import { FormatError } from "../errors.ts";
import { openSafetensors } from "./safetensors.ts";
import type { ByteSource, TensorSource } from "./source.ts";
import { openTorch, type TorchOptions } from "./torch/torch.ts";

/**
 * Opens safetensors or a torch zip.
 * @throws FormatError if the bytes are neither, or are damaged
 */
export async function openAnyWeights(source: ByteSource, options: TorchOptions = {}): Promise<TensorSource> {
  const start = await source.read(0, Math.min(4, source.size));
  if (startsWith(start, [0x50, 0x4b, 0x03, 0x04])) return openTorch(source, options);
  // PROTO 2 and LONG1: how the magic number of torch before 1.6 begins.
  if (startsWith(start, [0x80, 0x02, 0x8a])) {
    throw new FormatError(
      `${source.name}: a torch checkpoint in the format before torch 1.6, which is not read. ` +
        "In Python: torch.save(torch.load(path, weights_only=True), path).",
    );
  }
  return openSafetensors(source);
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, i) => bytes[i] === byte);
}
