/** The basic bundle as plotly-in-slices.ts makes it. */
declare module "plotly.js-basic-dist-min" {
  /** each evaluates one module of the library, in the order of what they need */
  export const modules: readonly (() => unknown)[];
  /** the whole, see plotly.ts for what is called of it */
  export const plotly: () => unknown;
}
