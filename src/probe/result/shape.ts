/**
 * What a JSON document looks like, said once: from one description come the check of a file that somebody sent and the published JSON
 * Schema, and the compiler holds it to the type it describes.
 *
 * Reading builds new objects of the described keys alone; nothing of the document itself is kept, so that a key such as `__proto__`
 * reaches nobody. Sizes are axis letters (measurement.ts) whose values the document tells elsewhere.
 */
import { FormatError } from "../../errors.ts";
import type { Json } from "../../weights/strict-json.ts";

/** Lengths by axis letter. */
export type Size = "E" | "V" | "K" | "B" | "M" | "M + 1" | "T" | "D" | "P";
export type Sizes = Readonly<Partial<Record<Size, number>>>;

/** Most characters of a text, and most entries of a list or record without a size of its own. */
const MOST = { characters: 10_000, entries: 100_000 } as const;

/** Where a value stands, for messages. */
export interface Place {
  readonly file: string;
  /** "" for the document itself */
  readonly key: string;
  readonly sizes: Sizes;
}

/** @typeParam T what reading gives */
export interface Shape<T> {
  /** @throws FormatError naming file and key */
  readonly read: (value: Json | undefined, place: Place) => T;
  /** As JSON Schema, draft 2020-12. */
  readonly schema: Readonly<Record<string, unknown>>;
}

/** @throws FormatError always */
export function refuse({ file, key }: Place, what: string): never {
  throw new FormatError(
    `${file}: ${key === "" ? "the document" : key} ${what}. Is it a file that this program wrote, unchanged?`,
  );
}

const inside = (place: Place, key: string): Place => ({
  ...place,
  key: /^\[/.test(key) || place.key === "" ? place.key + key : `${place.key}.${key}`,
});

/** The value as a person may be shown it. */
function shown(value: Json | undefined): string {
  if (value === undefined) return "is missing";
  if (Array.isArray(value)) return "is a list";
  if (value instanceof Map) return "is an object";
  return `is ${printable(JSON.stringify(value)).slice(0, 60)}`;
}

/** Without what steers a terminal, turns the direction of writing, or has no place in XML (halves of pairs, noncharacters); lines stay. */
export const printable = (words: string): string => words.replace(UNPRINTABLE, "\ufffd");
const UNPRINTABLE =
  // eslint-disable-next-line no-control-regex
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff\p{Surrogate}]/gu;

interface NumberLimits {
  readonly least?: number;
  readonly most?: number;
  readonly whole?: boolean;
}

/** A finite number. */
export function number({ least, most, whole = false }: NumberLimits = {}): Shape<number> {
  const words = [
    whole ? "a whole number" : "a finite number",
    ...(least === undefined ? [] : [`of at least ${least}`]),
    ...(most === undefined ? [] : [`of at most ${most}`]),
  ].join(" ");
  return {
    read(value, place) {
      const fits =
        typeof value === "number" &&
        Number.isFinite(value) &&
        (!whole || Number.isSafeInteger(value)) &&
        value >= (least ?? value) &&
        value <= (most ?? value);
      return fits ? value : refuse(place, `${shown(value)}; ${words} must be there`);
    },
    schema: { type: whole ? "integer" : "number", minimum: least, maximum: most },
  };
}

/** Text of bounded length, as it is: whoever prints it takes care (`printable`), and whoever draws it too. */
export const text = (pattern?: RegExp): Shape<string> => ({
  read(value, place) {
    if (typeof value !== "string") return refuse(place, `${shown(value)}; text must be there`);
    if (value.length > MOST.characters)
      refuse(place, `has ${value.length} characters; ${MOST.characters} are the most`);
    if (pattern && !pattern.test(value))
      refuse(place, `${shown(value)}, which is not of the form ${pattern.source}`);
    return value;
  },
  schema: { type: "string", maxLength: MOST.characters, pattern: pattern?.source },
});

export const boolean: Shape<boolean> = {
  read: (value, place) =>
    typeof value === "boolean" ? value : refuse(place, `${shown(value)}; true or false must be there`),
  schema: { type: "boolean" },
};

/** One of a few values. */
export function oneOf<const T extends string | number>(...choices: readonly T[]): Shape<T> {
  return {
    read: (value, place) =>
      choices.find((choice) => choice === value) ??
      refuse(
        place,
        `${shown(value)}; it must be ${choices.map((choice) => JSON.stringify(choice)).join(" or ")}`,
      ),
    schema: choices.length === 1 ? { const: choices[0] } : { enum: choices },
  };
}

export const nullable = <T>(shape: Shape<T>): Shape<T | null> => ({
  read: (value, place) => (value === null ? null : shape.read(value, place)),
  schema: { anyOf: [shape.schema, { type: "null" }] },
});

/** Either of two; the first that may be. */
export const either = <A, B>(
  first: Shape<A>,
  second: Shape<B>,
  isFirst: (value: Json | undefined) => boolean,
): Shape<A | B> => ({
  read: (value, place) => (isFirst(value) ? first.read(value, place) : second.read(value, place)),
  schema: { anyOf: [first.schema, second.schema] },
});

/** A list; as long as an axis, where one is named. */
export function list<T>(item: Shape<T>, size?: Size): Shape<T[]> {
  return {
    read(value, place) {
      if (!Array.isArray(value)) return refuse(place, `${shown(value)}; a list must be there`);
      const expected = size === undefined ? undefined : place.sizes[size];
      if (expected !== undefined && value.length !== expected)
        refuse(place, `has ${value.length} entries; ${size} = ${expected} are needed`);
      if (value.length > MOST.entries)
        refuse(place, `has ${value.length} entries; ${MOST.entries} are the most`);
      return value.map((entry, i) => item.read(entry, inside(place, `[${i}]`)));
    },
    schema: { type: "array", items: item.schema, description: size === undefined ? undefined : `(${size})` },
  };
}

/** Names that mean something to JavaScript itself. */
const RESERVED: readonly string[] = ["__proto__", "constructor", "prototype"];

/** Any names, with values of one kind. */
export function record<T>(item: Shape<T>): Shape<Record<string, T>> {
  return {
    read(value, place) {
      if (!(value instanceof Map)) return refuse(place, `${shown(value)}; an object must be there`);
      if (value.size > MOST.entries) refuse(place, `has ${value.size} entries; ${MOST.entries} are the most`);
      const entries = [...value].map(([name, entry]) => {
        if (RESERVED.includes(name) || name.length > 200) refuse(place, "has a name that may not be");
        return [name, item.read(entry, inside(place, printable(name)))] as const;
      });
      return Object.fromEntries(entries);
    },
    schema: { type: "object", additionalProperties: item.schema },
  };
}

/** An object of known keys; others are left behind. */
export function object<T extends object>(fields: { readonly [K in keyof T]-?: Shape<T[K]> }): Shape<T> {
  const entries = Object.entries<Shape<unknown>>(fields);
  return {
    read(value, place) {
      if (!(value instanceof Map)) return refuse(place, `${shown(value)}; an object must be there`);
      const read: Record<string, unknown> = {};
      for (const [key, shape] of entries) read[key] = shape.read(value.get(key), inside(place, key));
      return read as T;
    },
    schema: {
      type: "object",
      required: entries.map(([key]) => key),
      properties: Object.fromEntries(entries.map(([key, { schema }]) => [key, schema])),
    },
  };
}

/** The same with a sentence for the schema. */
export const about = <T>(description: string, shape: Shape<T>): Shape<T> => ({
  read: shape.read,
  schema: {
    ...shape.schema,
    description: [shape.schema.description, description].filter(Boolean).join(" "),
  },
});
