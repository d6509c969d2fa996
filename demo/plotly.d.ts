/** The basic bundle has no types of its own; chart.ts names the few functions it calls. */
declare module "plotly.js-basic-dist-min" {
  const plotly: unknown;
  export default plotly;
}
