/** A model folder, wherever it lies: local disk, a download, files that a browser's user dropped. */
import type { ByteSource, TensorSource } from "./source.ts";

export interface ModelFiles {
  /** for messages and reports */
  readonly name: string;
  /** commit or tag of the checkpoint, "unversioned" without one */
  readonly revision: string;
  /** every file below the folder, with `/` between the parts of a path, sorted */
  readonly paths: readonly string[];
  /** A parsed JSON file. @throws FormatError when it is missing or not JSON */
  json(path: string): Promise<unknown>;
  /** A file's bytes, by ranges. @throws FormatError when it is missing */
  bytes(path: string): Promise<ByteSource>;
  /** The weights in a file or subfolder. @throws FormatError when there are none */
  weights(path: string): Promise<TensorSource>;
  /** SHA-256, 64 hex digits, over the weights in these files or subfolders, in this order. */
  sha256(paths: readonly string[]): Promise<string>;
}
