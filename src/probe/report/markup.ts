/**
 * Text that becomes markup. What a result says (prompts, names, a command) may come from anyone, so everything is
 * escaped by construction: `markup` escapes each value that is not itself made by `markup`.
 */

/** Markup that is safe to place between tags. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type One = Html | string | number | false | null | undefined;
export type Content = One | readonly Content[];

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

// Control characters, and those that turn the direction of what follows: a page would show another text than it holds.
// eslint-disable-next-line no-control-regex
export const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** The text as it is, for the inside of an element or a quoted attribute; what cannot be seen becomes U+FFFD. */
export const escaped = (text: string): string =>
  text.replace(INVISIBLE, "\ufffd").replace(/[&<>"']/g, (character) => ENTITIES[character]);

/** A template whose values are escaped; nothing, false and null are left out, lists are joined. */
export function markup(parts: TemplateStringsArray, ...values: readonly Content[]): Html {
  return new Html(parts.map((part, i) => part + (i < values.length ? rendered(values[i]) : "")).join(""));
}

function rendered(value: Content): string {
  if (isList(value)) return value.map(rendered).join("");
  if (value instanceof Html) return value.text;
  if (value === false || value === null || value === undefined) return "";
  return escaped(String(value));
}

const isList = (value: Content): value is readonly Content[] => Array.isArray(value);

/** Text for plotly, which reads tags and entities in every name, label and title. */
export const plotText = (text: string): string => escaped(text);

/**
 * JSON as the content of a script element: no `<` that could end it or begin a comment, and no U+2028 or U+2029, which end a
 * line in scripts of old.
 */
export function scriptJson(value: unknown): Html {
  const code = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return new Html(JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, code));
}

/** A script as the content of its element: the two sequences that the parser of markup would take for its own are written otherwise. */
export const scriptText = (code: string): string =>
  code.replace(/\r\n?/g, "\n").replace(/<(\/script|!--)/gi, "<\\$1");
