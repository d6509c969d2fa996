/**
 * What a model asks for against what a checkpoint holds: the differences in one message, some of every kind, and their most
 * common cause, keys under another prefix (a wrapper's "module.", a training loop's "state_dict."), with the command that
 * mends it.
 */
import { WeightsError } from "../errors.ts";
import { type Shape, showShape } from "../tensor/tensor.ts";
import { floatDtypes } from "./convert.ts";
import { renamePrefix } from "./rename.ts";
import { type TensorSource } from "./source.ts";

export interface AskedKey {
  readonly key: string;
  readonly shape: Shape;
}

/** Lines of each kind that are shown. */
const shownOfEach = 5;

/** Keys that are compared to find prefixes; more of one checkpoint tell nothing new. */
const sampleKeys = 40;

/**
 * @param ignored whether a key that no part of the model asks for may be there
 * @throws WeightsError if something is missing, unexpected, or of another shape or type
 */
export function compareKeys(
  source: TensorSource,
  asked: readonly AskedKey[],
  { ignored }: { readonly ignored: (key: string) => boolean },
): void {
  const names = new Set(asked.map(({ key }) => key));
  const kinds: Record<"missing" | "wrong shape" | "wrong type" | "unexpected", string[]> = {
    missing: [],
    "wrong shape": [],
    "wrong type": [],
    unexpected: [],
  };
  const missing = new Set<string>();
  for (const { key, shape } of asked) {
    const info = source.tensors.get(key);
    if (!info) {
      if (!missing.has(key)) kinds.missing.push(`${key} ${showShape(shape)}`);
      missing.add(key);
    } else if (showShape(info.shape) !== showShape(shape)) {
      kinds["wrong shape"].push(`${key} is ${showShape(info.shape)}, expected ${showShape(shape)}`);
    } else if (!floatDtypes.has(info.dtype)) {
      kinds["wrong type"].push(`${key} is ${info.dtype}, expected one of ${[...floatDtypes].join(" ")}`);
    }
  }
  const others = [...source.tensors.keys()].filter((key) => !names.has(key));
  kinds.unexpected = others.filter((key) => !ignored(key));

  const problems = Object.values(kinds).reduce((sum, list) => sum + list.length, 0);
  if (problems === 0) return;
  const lines = Object.entries(kinds).flatMap(([kind, list]) => [
    ...list.slice(0, shownOfEach).map((what) => `${kind}: ${what}`),
    ...(list.length > shownOfEach ? [`${kind}: … and ${list.length - shownOfEach} more`] : []),
  ]);
  const counts = Object.entries(kinds).flatMap(([kind, list]) =>
    list.length > 0 ? [`${list.length} ${kind}`] : [],
  );
  throw new WeightsError(
    `${source.name} does not fit the model (${counts.join(", ")}; it holds ${source.tensors.size} tensors, ${names.size} are asked for):\n` +
      `  ${lines.join("\n  ")}\n${remedy(source, missing, others, problems === kinds.unexpected.length)}`,
  );
}

function remedy(
  source: TensorSource,
  missing: ReadonlySet<string>,
  others: readonly string[],
  onlyUnexpected: boolean,
): string {
  const check = "Check that the config.json beside it belongs to this checkpoint";
  if (onlyUnexpected) return `${check}, or leave unexpected tensors out with --ignore-unexpected.`;
  const rules = findRenames(missing, others);
  if (rules.length === 0) {
    const skipped = (source.skipped ?? []).slice(0, 3).join(", ");
    return `${check}.${skipped === "" ? "" : ` What is no tensor was passed over: ${skipped}.`}`;
  }
  const mended = others.filter((key) => missing.has(renamePrefix(key, rules)));
  const options = rules.map(([old, fresh]) => ` --rename ${shellQuoted(`${old}=${fresh}`)}`).join("");
  // What is not understood is not to be thrown away.
  const idle = mended.length === missing.size ? dropPatterns(others, rules, missing) : [];
  const drops = idle.map((pattern) => ` --drop ${shellQuoted(pattern)}`);
  const prefixes = rules.map(([old, fresh]) => `"${old}" where the model has "${fresh}"`).join(", ");
  return (
    `${mended.length} of the ${missing.size} missing tensors are there under another prefix: ${prefixes}. Convert it once:\n` +
    `  npm run convert -- ${shellQuoted(source.name)} OUT.safetensors${options}${drops.join("")}\n` +
    `(or load it with${options})`
  );
}

/** Pairs of prefixes, the one that explains most first, that turn names which are there into names which are missing. */
export function findRenames(missing: ReadonlySet<string>, others: readonly string[]): [string, string][] {
  const left = new Set(missing);
  const rules: [string, string][] = [];
  while (left.size > 0 && rules.length < 8) {
    let best: { rule: [string, string]; hits: string[]; common: number } | undefined;
    for (const { rule, common } of candidates([...left], others)) {
      const hits = others
        .filter((key) => key.startsWith(rule[0]))
        .map((key) => rule[1] + key.slice(rule[0].length))
        .filter((key) => left.has(key));
      if (hits.length > (best?.hits.length ?? 0)) best = { rule, hits, common };
    }
    // One key of many whose last component happens to be the same has no other prefix, but is another key.
    if (best === undefined || (best.hits.length === 1 && best.common === 1 && missing.size > 1)) break;
    rules.push(best.rule);
    for (const key of best.hits) left.delete(key);
  }
  // The first rule that fits is applied, so a prefix of another comes after it.
  return rules.sort(([a], [b]) => b.length - a.length);
}

interface Candidate {
  readonly rule: [string, string];
  /** components of the longest end that two names have in common */
  readonly common: number;
}

/** What stands before the longest common end, in whole components, of a missing and another name. */
function candidates(missing: readonly string[], others: readonly string[]): Candidate[] {
  const found = new Map<string, Candidate>();
  const step = Math.max(1, Math.floor(missing.length / sampleKeys));
  for (let m = 0; m < missing.length; m += step) {
    const wanted = missing[m].split(".");
    let longest = 1;
    let heads: [string, string][] = [];
    for (const other of others) {
      const parts = other.split(".");
      let common = 0;
      while (
        common < Math.min(parts.length, wanted.length) &&
        parts[parts.length - 1 - common] === wanted[wanted.length - 1 - common]
      )
        common++;
      if (common < longest) continue;
      if (common > longest) heads = [];
      longest = common;
      heads.push([head(parts, common), head(wanted, common)]);
    }
    // Keys such as `0.weight` end like too many others to say anything.
    for (const rule of heads.length <= 16 ? heads : []) {
      const name = rule.join("=");
      found.set(name, { rule, common: Math.max(longest, found.get(name)?.common ?? 0) });
    }
  }
  return [...found.values()];
}

function head(parts: readonly string[], common: number): string {
  return parts
    .slice(0, parts.length - common)
    .map((part) => `${part}.`)
    .join("");
}

/** What to leave out beside the renamed: whole first components, as of an optimizer, when they are few. */
function dropPatterns(
  others: readonly string[],
  rules: readonly (readonly [string, string])[],
  missing: ReadonlySet<string>,
): string[] {
  const top = (key: string): string => (key.includes(".") ? `${key.slice(0, key.indexOf("."))}.*` : key);
  const used = new Set<string>();
  const idle = new Set<string>();
  for (const key of others) (missing.has(renamePrefix(key, rules)) ? used : idle).add(top(key));
  const patterns = [...idle].filter((pattern) => !used.has(pattern));
  return patterns.length <= 6 ? patterns : [];
}

function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
