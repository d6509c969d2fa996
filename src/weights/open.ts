/** Weights from bytes of either kind, told apart by their first bytes. Runs in browsers too. */
import { FormatError } from "../errors.ts";
import { otherKind } from "./other-kinds.ts";
import { openSafetensors } from "./safetensors.ts";
import type { ByteSource, TensorSource } from "./source.ts";
import { openTorch, type TorchOptions } from "./torch/torch.ts";

/** Enough for every mark of a kind, a tar's lies deepest. */
const startBytes = 512;

/**
 * Opens safetensors or a torch zip.
 * @throws FormatError if the bytes are neither, then saying what they are, or are damaged
 */
export async function openAnyWeights(source: ByteSource, options: TorchOptions = {}): Promise<TensorSource> {
  const start = await source.read(0, Math.min(startBytes, source.size));
  if (isSafetensors(start, source.size)) return openSafetensors(source);
  if (startsWith(start, "PK\x03\x04")) return openTorch(source, options);
  const other = otherKind(start);
  if (other !== undefined) throw new FormatError(`${source.name}: ${other}`);
  return openSafetensors(source);
}

/** A length within the file, then the header's bracket: such a length may look like the mark of another kind. */
function isSafetensors(start: Uint8Array, size: number): boolean {
  if (start.length < 9 || start[8] !== 0x7b) return false;
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  return length <= BigInt(size - 8);
}

function startsWith(bytes: Uint8Array, mark: string): boolean {
  return [...mark].every((character, i) => bytes[i] === character.charCodeAt(0));
}
