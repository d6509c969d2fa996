/** What is set in the section of the digits, and how the page's address holds it. */

export interface DigitsSettings {
  /** undefined: every class */
  readonly label?: number;
  /** N, one of `CALLS` */
  readonly calls: number;
  /** of the first row of pictures; the next ones count on from it */
  readonly seed: number;
}

/** Numbers of calls that the slider goes through: those that the reference's figures are of. */
export const CALLS: readonly number[] = [1, 2, 4, 8, 32];

export const USUAL: DigitsSettings = { calls: 1, seed: 0 };

/** A link with the first of these opens the section. */
export const NAMES = ["digits", "digits-calls", "digits-seed", "digits-model"] as const;

/** @returns why a value of a link cannot be followed */
export function refusedSetting(name: string, value: string): string | undefined {
  const said = `${name} “${value.slice(0, 40)}”`;
  if (name === "digits" && !/^(all|\d{1,4})$/.test(value)) return `${said} is neither a class nor “all”`;
  if (name === "digits-calls" && !CALLS.includes(Number(value)))
    return `${said} is none of ${CALLS.join(", ")}`;
  if (name === "digits-seed" && !isSeed(value)) return `${said} is no whole number up to nine digits`;
  return undefined;
}

export const isSeed = (text: string): boolean => /^\d{1,9}$/.test(text);

/** From a link whose refused values were taken out. */
export function settingsOf(link: URLSearchParams): DigitsSettings {
  const label = link.get("digits");
  return {
    ...(label !== null && label !== "all" && { label: Number(label) }),
    calls: Number(link.get("digits-calls") ?? USUAL.calls),
    seed: Number(link.get("digits-seed") ?? USUAL.seed),
  };
}

/** For a link; what is usual is left out. */
export function parametersOf({ label, calls, seed }: DigitsSettings): [name: string, value: string][] {
  return [
    ["digits", label === undefined ? "all" : String(label)],
    ...(calls === USUAL.calls ? [] : ([["digits-calls", String(calls)]] as [string, string][])),
    ...(seed === USUAL.seed ? [] : ([["digits-seed", String(seed)]] as [string, string][])),
  ];
}
