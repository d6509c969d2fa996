/** What command lines share of the terminal: help at its width, and output that nobody reads any more. */
import { MimicVideoError } from "../errors.ts";

/** A line of help: how it is typed, what it means. */
export type HelpLine = readonly [typed: string, meaning: string];

/**
 * Help as text: the meanings in a column of their own, wrapped at `width` characters.
 * @param width default: that of the terminal, 80 where there is none
 */
export function helpText(
  usage: string,
  lines: readonly HelpLine[],
  width = Math.max(40, process.stdout.columns || 80),
): string {
  const column = Math.min(30, Math.max(...lines.map(([typed]) => typed.length)) + 4);
  const rows = lines.flatMap(([typed, meaning]) => {
    const wrapped = wrapAt(meaning, width - column);
    const first = `  ${typed}`;
    // What is longer than the column stands on a line of its own.
    const head = first.length + 2 > column ? [first] : [first.padEnd(column) + (wrapped.shift() ?? "")];
    return [...head, ...wrapped.map((line) => " ".repeat(column) + line)];
  });
  return [...wrapAt(usage, width - 2).map((line, i) => (i === 0 ? line : `  ${line}`)), "", ...rows].join(
    "\n",
  );
}

function wrapAt(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/**
 * Aborted by the first of these signals, so that what runs can end and be kept; a second one does not wait.
 * @param codes what the process then exits with, by signal
 */
export function interrupted(codes: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 130 }): AbortSignal {
  const interrupt = new AbortController();
  for (const [name, code] of Object.entries(codes))
    process.on(name, () => {
      if (interrupt.signal.aborted) process.exit(code);
      interrupt.abort(new Error("interrupted"));
    });
  return interrupt.signal;
}

/**
 * Runs a command to its exit code. Errors of ours are printed without a stack. A reader that is gone, such as `head`, ends it
 * quietly when printing was all it was to do; otherwise the work goes on unread. A full disk behind the output is said, if
 * anybody can still hear it.
 * @param printing whether the output is the purpose
 */
export async function runToEnd(
  command: () => Promise<number>,
  { printing }: { printing: boolean },
): Promise<void> {
  let said = false;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") {
      if (printing) process.exit(0);
      return;
    }
    // Every line that cannot be written fails anew.
    if (!said) process.stderr.write(`Standard output cannot be written (${error.code ?? error.message}).\n`);
    said = true;
    if (printing) process.exit(1);
    process.exitCode = 1;
  });
  // Nothing can be said of errors that cannot be told.
  process.stderr.on("error", () => {});
  try {
    const code = await command();
    process.exitCode = process.exitCode || code;
  } catch (error) {
    const known =
      error instanceof MimicVideoError ||
      (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS") === true;
    process.stderr.write(`${known ? (error as Error).message : String((error as Error).stack ?? error)}\n`);
    process.exitCode = 1;
  }
}
