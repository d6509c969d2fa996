/** Path templates of `info.json`: `{name}` and `{name:0Nd}` as Python's format strings have them, and nothing else of those. */
import { FormatError } from "../../errors.ts";
import { isSafePath } from "../../weights/hub/ref.ts";

export type PathValues = Readonly<Record<string, string | number>>;

/**
 * The path that a template stands for.
 * @param where the field, for messages
 * @throws FormatError for a field that is not known, another kind of format, or a path that leaves the folder
 */
export function fillTemplate(template: string, values: PathValues, where: string): string {
  const fail = (what: string): never => {
    const known = Object.keys(values).map((name) => `{${name}}`);
    throw new FormatError(`${where} is ${JSON.stringify(template)}: ${what} Known are ${known.join(", ")}.`);
  };
  const path = template.replace(/\{([^{}:]*)(?::([^{}]*))?\}/g, (_, name: string, format?: string) => {
    const value = Object.hasOwn(values, name) ? values[name] : fail(`there is no {${name}}.`);
    if (format === undefined || format === "" || format === "d" || format === "s") return String(value);
    const width = /^0(\d{1,2})d?$/.exec(format)?.[1];
    if (width === undefined || typeof value !== "number")
      return fail(`the format ":${format}" is not understood.`);
    return String(value).padStart(Number(width), "0");
  });
  if (/[{}]/.test(path)) fail("a brace has no partner.");
  if (!isSafePath(path)) fail(`${JSON.stringify(path)} leaves the data set's folder, or is no path.`);
  return path;
}
