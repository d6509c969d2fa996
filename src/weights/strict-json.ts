/**
 * JSON as a file header needs it: `JSON.parse` keeps the last of two equal keys, and a header in which a tensor
 * is named twice means two things to two readers. This parser refuses that, and nesting deeper than any header
 * has. Otherwise it accepts exactly RFC 8259.
 */
import { FormatError } from "../errors.ts";
import { quoted } from "./source.ts";

export interface StrictJsonOptions {
  readonly maxDepth?: number;
  /** items of one list */
  readonly maxItems?: number;
  /** numbers written with a point or an exponent become NaN, so that 1.0 is not taken for a whole number */
  readonly wholeNumbers?: boolean;
  /**
   * given the entries of the outermost object as they are read, which are then not kept: a hundred megabytes of small
   * objects would take gigabytes before the first could be refused
   */
  readonly onEntry?: (key: string, value: Json) => void;
}

/** JavaScript's Map ends at 2^24 entries; text this short cannot reach it. */
const maxCharacters = 100_000_000;

export type Json = null | boolean | number | string | Json[] | Map<string, Json>;

const numberPattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const spacePattern = /[ \t\n\r]*/y;

/**
 * Parses `text`; objects become Maps, so that a key like `__proto__` is only a key.
 * @param where named in messages
 * @throws FormatError with the position: not JSON, an equal key twice, nested or longer than allowed
 */
export function parseStrictJson(text: string, where: string, options: StrictJsonOptions = {}): Json {
  const { maxDepth = 8, maxItems = maxCharacters, wholeNumbers = false, onEntry } = options;
  let at = 0;

  const fail = (what: string): never => {
    throw new FormatError(`${where}: ${what} at character ${at} of ${text.length}; the file is damaged.`);
  };
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    at += found?.length ?? 0;
    return found;
  };
  const skipSpace = () => match(spacePattern);
  const take = (character: string): boolean => {
    skipSpace();
    if (text[at] !== character) return false;
    at++;
    return true;
  };
  const string = (): string => {
    skipSpace();
    const end = endOfString(text, at);
    try {
      const parsed: unknown = JSON.parse(text.slice(at, end));
      if (typeof parsed !== "string") return fail("no string where one must be");
      at = end;
      return parsed;
    } catch (error) {
      if (error instanceof SyntaxError) return fail("no string where one must be");
      throw error;
    }
  };

  const value = (depth: number): Json => {
    skipSpace();
    if (depth > maxDepth) return fail(`nesting deeper than ${maxDepth}`);
    const first = text[at];
    if (first === "{") return object(depth);
    if (first === "[") return array(depth);
    if (first === '"') return string();
    for (const [word, meaning] of words) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    const number = match(numberPattern);
    if (number === undefined) return fail("something that is not JSON");
    return wholeNumbers && /[.eE]/.test(number) ? NaN : Number(number);
  };

  const object = (depth: number): Json => {
    const entries = new Map<string, Json>();
    at++;
    if (take("}")) return entries;
    do {
      const key = string();
      if (entries.has(key)) fail(`the key ${quoted(key)} for the second time`);
      if (!take(":")) fail("no colon after a key");
      const item = value(depth + 1);
      const passedOn = depth === 1 && onEntry !== undefined;
      if (passedOn) onEntry(key, item);
      entries.set(key, passedOn ? null : item);
    } while (take(","));
    return take("}") ? entries : fail("an object without its end");
  };

  const array = (depth: number): Json => {
    const items: Json[] = [];
    at++;
    if (take("]")) return items;
    do {
      if (items.length >= maxItems) fail(`a list of more than ${maxItems} items`);
      items.push(value(depth + 1));
    } while (take(","));
    return take("]") ? items : fail("a list without its end");
  };

  if (text.length > maxCharacters) fail(`more than ${maxCharacters} characters`);
  const result = value(1);
  skipSpace();
  if (at !== text.length) fail("more text after the end of the JSON value");
  return result;
}

const words: readonly (readonly [string, null | boolean])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];

/** Index after the closing quote. A loop, as a regular expression would keep a backtracking stack as long as the string. */
function endOfString(text: string, start: number): number {
  if (text[start] !== '"') return start;
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at];
    if (character === "\\") at++;
    else if (character === '"') return at + 1;
  }
  return text.length;
}
