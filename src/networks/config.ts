/** Reading a model's config.json: every field checked once, at the border. */
import { FormatError, UsageError } from "../errors.ts";

/** A parsed config.json and the name it has in messages. */
export class ConfigReader {
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #name: string;

  /** @throws FormatError when `json` is not an object */
  constructor(json: unknown, name: string) {
    if (json === null || typeof json !== "object" || Array.isArray(json)) {
      throw new FormatError(`${name}: the configuration is not a JSON object`);
    }
    this.#json = json as Record<string, unknown>;
    this.#name = name;
  }

  has(key: string): boolean {
    return this.#json[key] !== undefined && this.#json[key] !== null;
  }

  /** A positive whole number. */
  count(key: string, fallback?: number): number {
    const value = this.#get(key, fallback);
    if (!Number.isInteger(value) || (value as number) < 1)
      throw this.#wrong(key, value, "a positive whole number");
    return value as number;
  }

  /** A finite number. */
  number(key: string, fallback?: number): number {
    const value = this.#get(key, fallback);
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.#wrong(key, value, "a number");
    return value;
  }

  flag(key: string, fallback?: boolean): boolean {
    const value = this.#get(key, fallback);
    if (typeof value !== "boolean") throw this.#wrong(key, value, "true or false");
    return value;
  }

  text(key: string, fallback?: string): string {
    const value = this.#get(key, fallback);
    if (typeof value !== "string") throw this.#wrong(key, value, "a string");
    return value;
  }

  /** Numbers, `length` of them where it is given. */
  numbers(key: string, length?: number, fallback?: readonly number[]): number[] {
    const value = this.#get(key, fallback);
    const fits =
      Array.isArray(value) &&
      value.every((v) => typeof v === "number") &&
      (!length || value.length === length);
    if (!fits) throw this.#wrong(key, value, length ? `${length} numbers` : "a list of numbers");
    return value;
  }

  /** @throws UsageError when the value is set and none of `supported` */
  only(key: string, ...supported: unknown[]): void {
    const value = this.#json[key];
    if (value === undefined || supported.some((s) => JSON.stringify(s) === JSON.stringify(value))) return;
    const list = supported.map((s) => JSON.stringify(s)).join(", ");
    throw new UsageError(
      `${this.#name}: ${key} = ${JSON.stringify(value)} is not supported; supported: ${list}`,
    );
  }

  /** @throws UsageError naming the first key that is neither known nor private (`_class_name`, …) */
  known(...keys: string[]): void {
    for (const key of Object.keys(this.#json)) {
      if (!key.startsWith("_") && !keys.includes(key)) {
        throw new UsageError(`${this.#name}: the option "${key}" is not supported`);
      }
    }
  }

  #get(key: string, fallback: unknown): unknown {
    const value = this.has(key) ? this.#json[key] : fallback;
    if (value === undefined) throw new FormatError(`${this.#name}: "${key}" is missing`);
    return value;
  }

  #wrong(key: string, value: unknown, expected: string): FormatError {
    return new FormatError(`${this.#name}: "${key}" is ${JSON.stringify(value)}, expected ${expected}`);
  }
}
