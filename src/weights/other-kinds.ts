/** Files that are given for weights and are something else: what they are, and what to do. */
import { quoted } from "./source.ts";

const again = "Fetch the file again.";

/** First bytes, where they stand, and what they mean. A longer mark comes before a shorter one. */
const marks: readonly (readonly [mark: string, at: number, meaning: string])[] = [
  [
    // PROTO 2 and LONG1: how the magic number of torch before 1.6 begins.
    "\x80\x02\x8a",
    0,
    "a torch checkpoint in the format before torch 1.6, which is not read. In Python: torch.save(torch.load(path, weights_only=True), path).",
  ],
  ["GGUF", 0, "a GGUF file, the format of llama.cpp, which is not read. Get the same model as safetensors."],
  [
    "ggml",
    0,
    "a GGML file, an old format of llama.cpp, which is not read. Get the same model as safetensors.",
  ],
  ["\x1f\x8b", 0, "compressed with gzip. Unpack it first: gunzip (tar xzf for a .tar.gz)."],
  ["\x28\xb5\x2f\xfd", 0, "compressed with zstd. Unpack it first: zstd -d."],
  ["\xfd7zXZ\0", 0, "compressed with xz. Unpack it first: unxz."],
  ["BZh", 0, "compressed with bzip2. Unpack it first: bunzip2."],
  ["7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive. Unpack it first."],
  ["ustar", 257, "a tar archive. Unpack it first: tar xf; then give the weights in it."],
  ["\x89HDF\r\n\x1a\n", 0, "an HDF5 file, as Keras writes, which is not read. Get the model as safetensors."],
  [
    "\x93NUMPY",
    0,
    "a numpy array, which is not read. In Python: safetensors.numpy.save_file({name: array}, path).",
  ],
  ["TFL3", 4, "a TensorFlow Lite model, which is not read. Get the model as safetensors."],
  ["PK\x05\x06", 0, `an empty zip archive. ${again}`],
];

/** What a file that begins with `start` is and what to do, or undefined if it may be safetensors. */
export function otherKind(start: Uint8Array): string | undefined {
  if (start.length === 0) return `it is empty (0 bytes). ${again}`;
  const latin = String.fromCharCode(...start);
  for (const [mark, at, meaning] of marks) {
    if (latin.startsWith(mark, at)) return `it is ${meaning}`;
  }
  // PROTO with the number of a protocol.
  if (start[0] === 0x80 && start[1] >= 2 && start[1] <= 5) {
    return (
      `it is a bare pickle (protocol ${start[1]}), not a checkpoint of torch.save, and is not read, as pickles can run programs. ` +
      "In Python, if you trust it: torch.save(pickle.load(open(path, 'rb')), path)."
    );
  }
  return asText(start);
}

function asText(start: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(start).replace(/^\uFEFF/, "");
  if (text.startsWith("version https://git-lfs.github.com/")) {
    const size = /^size (\d+)$/m.exec(text)?.[1];
    return (
      `it is a git-LFS pointer, which stands for the file${size === undefined ? "" : ` of ${size} bytes`}. ` +
      "Run `git lfs pull` in the clone, or download the file itself."
    );
  }
  if (/^\s*<(!doctype|html|\?xml|head|body)/i.test(text)) {
    return `it is a web page (${quoted(firstWords(text))}) that was saved as weights, perhaps an error or a login. ${again}`;
  }
  // The replacement character stands where bytes were no text.
  if (/[^\P{Cc}\s]|\uFFFD(?!$)/u.test(text)) return undefined;
  return (
    `it is text that begins with ${quoted(firstWords(text))}, where weights begin with the length of a header, or a zip. ` +
    `Most likely a server's answer was saved as weights. ${again}`
  );
}

const firstWords = (text: string): string => text.trim().slice(0, 60).replace(/\s+/g, " ");
