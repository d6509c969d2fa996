/** In a worker: the class of an error, which arrives at the page as a word. */
import * as errors from "../src/errors.ts";

/** The class of an error under its written name: a minifier renames what `error.name` was made from. */
export function kindOf(error: unknown): string {
  const known = Object.entries(errors).find(
    ([, kind]) => error instanceof kind && kind !== errors.MimicVideoError,
  );
  return known?.[0] ?? "Error";
}
