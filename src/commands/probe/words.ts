/** The words after `plot`, `compare` and `merge`: names first, then options from the table of `--help`. */
import { UsageError } from "../../errors.ts";
import type { Reference } from "../../probe/figure/style.ts";
import { readOptions, type TypedOptions } from "./options.ts";
import { referenceOf } from "./settings.ts";

/** What a command on files is asked. */
export interface FileWords {
  /** Files or folders. */
  names: string[];
  out: string;
  reference: Reference;
  /** Whether the person chose it. */
  chosen: boolean;
  quiet: boolean;
  json: boolean;
}

/**
 * @param command as it is typed
 * @param what the names are, for messages
 * @param options that it takes besides `--out`, `--quiet` and `--help`
 * @returns undefined when help is asked for
 * @throws UsageError for another option, no `--out`, or a number of names that is not in `least..most`
 */
export function fileWords(
  command: string,
  words: readonly string[],
  what: string,
  [least, most]: readonly [number, number],
  options: readonly (keyof TypedOptions)[],
): FileWords | undefined {
  const first = words.findIndex((word) => word.startsWith("-"));
  const names = first < 0 ? [...words] : words.slice(0, first);
  const typed = readOptions(first < 0 ? [] : words.slice(first));
  if (typed.help !== undefined) return undefined;
  const usage = `node dist/probe.js ${command} ${what}${most > 1 ? " …" : ""} --out DIR`;
  const stray = (Object.keys(typed) as (keyof TypedOptions)[]).find(
    (name) => !["out", "quiet", ...options].includes(name),
  );
  if (stray !== undefined) throw new UsageError(`${command} does not take --${stray}. Write ${usage}.`);
  if (names.length < least || names.length > most)
    throw new UsageError(
      `${command} takes ${least === most ? least : `${least} to ${most}`} of ${what}, before the options; ${names.length} were named. Write ${usage}.`,
    );
  if (typed.out === undefined)
    throw new UsageError(`${command} needs --out, a folder for what it makes. Write ${usage}.`);
  return {
    names,
    out: typed.out,
    reference: referenceOf(typed.reference),
    chosen: typed.reference !== undefined,
    quiet: typed.quiet !== undefined,
    json: typed.json !== undefined,
  };
}
