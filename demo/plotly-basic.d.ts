/** The basic bundle as plotly-in-slices.ts makes it. */
declare module "plotly.js-basic-dist-min" {
  /** each evaluates one module of the library, in the order of what they need */
  export const modules: readonly (() => unknown)[];
  /** the whole, see plotly.ts for what is called of it */
  export const plotly: () => unknown;
}

/** The published bundle as it is, for documents that carry it. */
declare module "plotly.js-basic-dist-min/plotly-basic.min.js?raw" {
  const source: string;
  export default source;
}
