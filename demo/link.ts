/** The page's address: what stands behind its # restores what is set. */

/** Where the page lies, without what restores it. */
export const PAGE = location.href.split("#")[0];

/** What the address asked for when the page was opened. */
export const linked = new URLSearchParams(location.hash.slice(1));

export function address(parameters: URLSearchParams): string {
  return parameters.size > 0 ? `${PAGE}#${parameters.toString()}` : PAGE;
}

// An address typed over the old one asks for everything anew; the page's own changes do not come here.
addEventListener("hashchange", () => location.reload());
