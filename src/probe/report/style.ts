/** The look of the page: one column, one scale of type, the fonts of the system, light and dark. */
import { COLOUR } from "../figure/style.ts";

/** Colours of the figures → variables of the page. */
export const VARIABLES: Readonly<Record<string, string>> = {
  [COLOUR.truth]: "--truth",
  [COLOUR.last]: "--model",
  [COLOUR.holdStill]: "--null",
  [COLOUR.datasetMean]: "--mean",
  [COLOUR.zeroed]: "--zeroed",
  [COLOUR.other]: "--other",
  [COLOUR.shuffled]: "--shuffled",
  [COLOUR.mark]: "--mark",
};

/** Text on paper has a contrast of at least 4.5, curves on it of at least 3. Sizes: 13, 16, 20, 28 pixels. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #ffffff; --card: #f6f6f4; --ink: #1c1c1a; --soft: #5a5955; --line: #e6e5e1; --edge: #8a8983;
  --truth: #0068a3; --model: #c04f00; --null: #1c1c1a; --mean: #77716a; --zeroed: #a8487f; --other: #00785a; --shuffled: #6a3fa8;
  --mark: #8a6500; --note: #fff4d9; --note-ink: #553f00; --low: #eef5fa; --high: #004c78;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16171a; --card: #1f2125; --ink: #ebe9e4; --soft: #aaa8a2; --line: #303238; --edge: #7a7d86;
    --truth: #62b5ee; --model: #ff9442; --null: #ebe9e4; --mean: #a29d95; --zeroed: #e39cc6; --other: #3fc79f; --shuffled: #bda3f2;
    --mark: #d9ad3c; --note: #332d1c; --note-ink: #f1d88e; --low: #20262c; --high: #8fd0ff;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 900px; padding: 28px 24px 64px;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: anywhere; -webkit-text-size-adjust: 100%;
}
h1, h2, h3, p, figure, dl, dd, ul { margin: 0; padding: 0; }
h1 { font-size: 28px; line-height: 1.2; letter-spacing: -0.01em; margin: 4px 0 10px; }
h2 { font-size: 20px; line-height: 1.3; margin: 44px 0 12px; }
h3 { font-size: 16px; line-height: 1.4; }
small, .small, figcaption p, dt, th, td, summary, .key { font-size: 13px; line-height: 1.5; }
.hidden { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); }
.small, figcaption p, .axis, caption { color: var(--soft); }
.note {
  margin: 12px 0 0; padding: 8px 12px; border-radius: 6px;
  background: var(--note); color: var(--note-ink); font-size: 13px;
}
figure { margin: 24px 0 36px; }
figcaption { margin: 8px 0 4px; }
.axis { font-size: 13px; }
.axis.across { text-align: center; }
.plot { width: 100%; }
.still { display: block; width: 100%; height: auto; }
.still text { font-size: 12px; fill: var(--soft); }
.key { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 6px 0 0; list-style: none; }
.key li { display: flex; align-items: center; gap: 7px; }
.key svg { flex: none; width: 30px; height: 10px; }
.scale { display: flex; align-items: center; gap: 8px; margin-top: 6px; font-size: 13px; }
.scale span { width: 160px; height: 10px; border-radius: 5px; background: linear-gradient(to right, var(--low), var(--high)); border: 1px solid var(--line); }
.random .plot { position: relative; overflow: hidden; }
.random .plot::after {
  content: "RANDOM WEIGHTS"; position: absolute; inset: 0; display: grid; place-content: center; transform: rotate(-12deg);
  font-size: min(72px, 10vw); font-weight: 700; color: var(--model); opacity: 0.2; pointer-events: none;
}
dl.findings { display: grid; gap: 14px; }
dl.findings dt { color: var(--soft); font-weight: 600; }
details { margin-top: 6px; }
summary { cursor: pointer; color: var(--truth); }
.scroll { overflow-x: auto; max-height: 480px; overflow-y: auto; margin: 6px 0; border: 1px solid var(--line); border-radius: 6px; }
.wide { display: block; }
table { border-collapse: collapse; width: 100%; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 8px 12px; font-size: 13px; }
th, td { padding: 4px 12px; text-align: right; vertical-align: top; border-top: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; }
th.words, td.words { text-align: left; white-space: normal; min-width: 11em; }
table.facts + table.facts { margin-top: 24px; }
table.facts th, table.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.facts th { width: 11em; overflow-wrap: normal; font-weight: 400; color: var(--soft); }
pre {
  margin: 0; padding: 12px; border-radius: 6px; background: var(--card);
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; user-select: all;
}
a, summary { text-underline-offset: 2px; }
:focus-visible { outline: 2px solid var(--truth); outline-offset: 2px; }
@media (max-width: 520px) {
  body { padding: 18px 14px 40px; }
  h1 { font-size: 24px; }
  table.facts th { width: 7.5em; }
  th, td { padding: 4px 8px; }
  th.words, td.words { min-width: 7em; }
}
@media print {
  .scroll { max-height: none; overflow: visible; border: 0; }
}
`;
