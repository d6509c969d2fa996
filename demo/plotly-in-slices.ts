/**
 * For vite: the plot library as a module that is evaluated in slices.
 *
 * The published bundle is one function that evaluates all of its 396 CommonJS modules in one go: 150 to 180 ms of the
 * page's thread, of which 62 to 100 ms compile that one function (Chromium 147 on two shared cores, 2026-11-22; thread
 * time). Here the function's body becomes the body of a module, which browsers parse beside the page, and every CommonJS
 * module goes onto a list that the page walks with pauses, see plotly.ts. The bundler that made the file wrote modules after
 * what they need, so walking the list evaluates them in the order in which they would have been anyway.
 *
 * The longest task of a whole run takes 27 to 41 ms of the thread since then, of the PNG 30 to 81 ms; the test of the page
 * writes them to results/demo/longest-tasks.json.
 *
 * Plotly's sources would do too (`plotly.js`), but bring 197 packages of 164 MB.
 */
import type { Plugin } from "vite";

/** The package, as chart code imports it. */
export const PLOTLY = "plotly.js-basic-dist-min";

/** esbuild's wrapper of a CommonJS module: evaluates `e` when first called. */
const WRAPPER =
  /var (\w+)=(\(e,r\)=>\(\)=>\{try\{return r\|\|e\(\(r=\{exports:\{\}\}\)\.exports,r\),r\.exports\}catch\(t\)\{throw r=0,t\}\})[;,]/;
const HEAD = /^[^]*?"use strict";var Plotly=\(\(\)=>\{/;
const TAIL = /return (\w+)\(\);\}\)\(\);\n[^]*$/;

/**
 * @returns a module that exports `modules`, whose calls evaluate one each, and `plotly`, the last of them
 * @throws when the bundle is not made as expected, as another version's may be
 */
export function inSlices(bundle: string): string {
  const [head, tail, wrapper] = [HEAD, TAIL, WRAPPER].map((part) => part.exec(bundle));
  if (!head || !tail || !wrapper)
    throw new Error(`${PLOTLY} is bundled in another way than before: demo/plotly-in-slices.ts`);
  const [whole, name, wrap] = wrapper;
  const listed = `var ${name}=(e,t)=>{const evaluate=(${wrap})(e,t);modules.push(evaluate);return evaluate}${whole.at(-1)}`;
  const body = bundle.slice(head[0].length, tail.index).replace(whole, () => listed);
  return `export const modules=[];\n${body}\nexport const plotly=${tail[1]};\n`;
}

/**
 * Opens the file. The first line asks V8 to compile every function while the file comes in, off the page's thread: the first
 * plot takes 44 to 62 ms of that thread instead of 100. Other browsers see a comment.
 */
const OPENING = `//# allFunctionsCalledOnLoad
/*! plotly.js, copyright 2012-2026 Plotly, Inc., MIT license: https://github.com/plotly/plotly.js */
`;

export function plotlyInSlices(): Plugin {
  const BUNDLE = /plotly-basic\.min\.js$/;
  return {
    name: "plotly-in-slices",
    // Bundled ahead of time, as vite does with dependencies while serving, it would not come through here.
    config: () => ({ optimizeDeps: { exclude: [PLOTLY] } }),
    transform: {
      filter: { id: BUNDLE },
      handler: (code) => ({ code: inSlices(code), map: null }),
    },
    generateBundle(_, files) {
      for (const file of Object.values(files)) {
        if (file.type === "chunk" && file.moduleIds.some((id) => BUNDLE.test(id)))
          file.code = OPENING + file.code;
      }
    },
  };
}
