/** `owner/name[@revision][:subfolder]`: a place on the Hugging Face Hub. */
export interface HubRef {
  /** `owner/name` */
  readonly repo: string;
  /** branch, tag or commit; "main" if not said */
  readonly revision: string;
  /** folder or file within, "" for the root */
  readonly path: string;
}

/** Rules of the Hub: letters, digits, "-", "_", ".", at most 96, no "--" or "..", neither of "-." at an end. */
const namePattern = /^(?![-.])(?!.*(--|\.\.))[A-Za-z0-9._-]{1,96}(?<![-.])$/;

/** The place that `text` names, or undefined if it cannot be one: a path, a name of one part. */
export function parseHubRef(text: string): HubRef | undefined {
  const parts = /^([^/@:]+)\/([^/@:]+)(?:@([^:]+))?(?::(.+))?$/.exec(text);
  if (parts === null) return undefined;
  const [, owner, name, revision = "main", path = ""] = parts;
  if (!namePattern.test(owner) || !namePattern.test(name)) return undefined;
  const trimmed = path.replace(/\/+$/, "");
  if (!isSafePath(revision) || (trimmed !== "" && !isSafePath(trimmed))) return undefined;
  return { repo: `${owner}/${name}`, revision, path: trimmed };
}

/** The same as text. */
export function formatHubRef({ repo, revision, path }: HubRef): string {
  return `${repo}${revision === "main" ? "" : `@${revision}`}${path === "" ? "" : `:${path}`}`;
}

/**
 * True for a relative path that stays inside its folder on every system: no absolute path, no ".." or ".", no
 * drive, backslash or control character, no empty part.
 */
export function isSafePath(path: string): boolean {
  return (
    path.length <= 1024 &&
    !/[\\:\p{Cc}]/u.test(path) &&
    path.split("/").every((part) => part !== "" && part !== "." && part !== "..")
  );
}
