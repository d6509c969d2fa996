/** Versions of the package, whose defaults have changed. */
import { FormatError, UsageError } from "../../errors.ts";

export type Version = readonly [number, number, number];

/** "0.5.8" as numbers. @throws FormatError for what is no version */
export function parseVersion(text: string, name: string): Version {
  const parts = /^(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (!parts)
    throw new FormatError(
      `${name}: "_mimic_video_version" is ${JSON.stringify(text)}, expected one such as "0.5.8"`,
    );
  const version = [Number(parts[1]), Number(parts[2]), Number(parts[3])] as const;
  if (!isAtLeast(version, [0, 3, 10])) {
    throw new UsageError(
      `${name}: version ${text} has another architecture than 0.3.10 and later, which alone are supported.`,
    );
  }
  return version;
}

/** Whether version a is b or a later one. */
export function isAtLeast(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((part, i) => part !== b[i]);
  return at < 0 || a[at] > b[at];
}
