/**
 * JSON as Python writes it: `NaN`, `Infinity` and `-Infinity` stand in it as bare words, which `JSON.parse` refuses. They are read as
 * null, which every reader of a needed number refuses by name; where they stand in statistics nobody asks.
 */
import { FormatError } from "../../errors.ts";

/** A string is passed over whole, so that the words inside of sentences stay. */
const STRING_OR_WORD = /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g;

/** @throws FormatError naming the file */
export function parsePythonJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text.replace(STRING_OR_WORD, (found) => (found[0] === '"' ? found : "null")));
  } catch (error) {
    throw new FormatError(`${where} is not JSON: ${(error as Error).message}`);
  }
}

/** An object a line; empty lines are passed over. @throws FormatError naming file and line */
export function parseJsonLines(text: string, where: string): Record<string, unknown>[] {
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    const row = parsePythonJson(line, `${where}, line ${i + 1},`);
    if (isObject(row)) return [row];
    throw new FormatError(`${where}, line ${i + 1}, is no JSON object.`);
  });
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
