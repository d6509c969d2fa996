/**
 * Text that others wrote, for places that read markup: plotly takes `<b>` and links in any text as such. A name or a prompt is shown as it is
 * written.
 */
import { printable } from "./shape.ts";

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

/** The same value with every text in it escaped, and what cannot be shown replaced; keys stay. */
export function escapeMarkup<T>(value: T): T {
  if (typeof value === "string")
    return printable(value).replace(/[&<>]/g, (character) => ENTITIES[character]) as T;
  if (Array.isArray(value)) return value.map(escapeMarkup) as T;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, escapeMarkup(item as unknown)]),
  ) as T;
}
