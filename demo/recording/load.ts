/** Fetches the recording that lies beside the page. */
import { FormatError } from "../../src/errors.ts";
import { readRecording, type Recording } from "./recording.ts";

/** @throws FormatError when it is not there or is no recording */
export async function loadRecording(): Promise<Recording> {
  const address = new URL("./recording.safetensors.gz", import.meta.url);
  const response = await fetch(address);
  if (!response.ok)
    throw new FormatError(
      `the recording is not at ${address.href} (${response.status}). Publish it with the page.`,
    );
  const bytes = new Uint8Array(await response.arrayBuffer());
  // A host may have undone the compression on the way.
  return readRecording(bytes[0] === 0x1f && bytes[1] === 0x8b ? await inflated(bytes) : bytes);
}

async function inflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
