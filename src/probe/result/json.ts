/**
 * JSON that is the same bytes for the same value and can be read by a person: keys in the order they were made,
 * numbers in the shortest form that reads back exactly (ECMAScript's own), a line for each row of numbers.
 */
import { NonFiniteError } from "../../errors.ts";

type Json = null | boolean | number | string | readonly Json[] | object;

/**
 * @returns the text with two-space indentation and a final newline.
 * @throws NonFiniteError naming the place of a number that JSON cannot hold; `JSON.stringify` would write null.
 */
export function formatJson(value: Json): string {
  return `${format(value, "", "the result")}\n`;
}

function format(value: unknown, indent: string, where: string): string {
  if (typeof value === "number" && !Number.isFinite(value))
    throw new NonFiniteError(
      `${where} is ${value}. A result must be finite; look for the array it was computed from.`,
    );
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const deeper = `${indent}  `;
  if (Array.isArray(value)) {
    const items = value.map((item, i) => format(item, deeper, `${where}[${i}]`));
    if (value.every(fitsOnOneLine)) return `[${items.join(", ")}]`;
    return `[\n${items.map((item) => deeper + item).join(",\n")}\n${indent}]`;
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  if (entries.length === 0) return "{}";
  const lines = entries.map(([key, item]) => [JSON.stringify(key), format(item, deeper, `${where}.${key}`)]);
  if (isInterval(value)) return `{ ${lines.map((line) => line.join(": ")).join(", ")} }`;
  return `{\n${lines.map((line) => deeper + line.join(": ")).join(",\n")}\n${indent}}`;
}

const isInterval = (value: object) => Object.keys(value).join() === "low,high";
const fitsOnOneLine = (item: unknown) => typeof item === "number" || typeof item === "boolean";
