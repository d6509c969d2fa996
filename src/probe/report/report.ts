/**
 * `report.html`: a result as one page that asks for nothing. The verdict, its figure and its caveats come first; then what the numbers say,
 * every figure with its floor and null, settings, provenance, and the command that makes it again.
 *
 * Pure: the same result gives the same bytes, in Node and in a browser. The text of a result is shown, never run (markup.ts), and the
 * page's policy allows no request at all.
 */
import type { Plain } from "../figure/style.ts";
import type { ProbeResult } from "../result/result.ts";
import { coverageSentence, question, verdictHeadline, verdictReason } from "../result/sentences.ts";
import { actionChart, differenceChart, levelsTable, videoChart } from "./axes.ts";
import { dataUnitsTable, dimensionChart, episodeChart, episodeTable, positionChart } from "./breakdown.ts";
import { type Chart, type Drawing, drawingOf, type Table, tableOf } from "./chart.ts";
import { drawFigures } from "./draw.ts";
import { chartFigure, factsTable, heatFigure, tableDetails } from "./elements.ts";
import { findings } from "./findings.ts";
import { type HeatMap, heatMaps } from "./grid.ts";
import { Html, markup, scriptJson, scriptText } from "./markup.ts";
import { partCharts, partsTable } from "./parts.ts";
import { populationCharts, populationFloors } from "./population.ts";
import { costRows, type ReportRun, secondsOf } from "./run.ts";
import { spreadCharts } from "./seeds.ts";
import { composedCommand, provenanceRows, settingRows } from "./settings.ts";
import { similarityChart, similarityMaps } from "./states.ts";
import { costChart, exitRulesTables, exitRulesWords } from "./stopping.ts";
import { STYLE, VARIABLES } from "./style.ts";

export type { ReportRun } from "./run.ts";

export interface ReportOptions extends ReportRun {
  /** source of the plot library, which defines `Plotly` where it runs as a script: plotly.js-basic-dist-min */
  readonly plotly: string;
  /**
   * SHA-256 of a text's UTF-8 bytes in base64. With it only the scripts of this page may run in it; without it any inline one may, and escaping
   * alone keeps others out.
   */
  readonly scriptHash?: (text: string) => string;
}

/**
 * @param result a checked result; its words may be anyone's.
 * @returns the page, a whole HTML document.
 */
export function reportHtml(result: ProbeResult, options: ReportOptions): string {
  const drawings: Drawing[] = [];
  const figure = (chart: Chart | null, ...more: (Table | undefined)[]): Html | null => {
    if (!chart) return null;
    const drawing = drawingOf(chart);
    drawings.push(drawing);
    return chartFigure(chart, drawing, [tableOf(chart), ...more.filter((table) => table !== undefined)]);
  };
  const body = pageBody(result, options, figure, drawings);
  const scripts = [scriptText(options.plotly), scriptText(`(${drawFigures.toString()})();`)];
  const allowed = options.scriptHash
    ? scripts.map((text) => `'sha256-${options.scriptHash!(text)}'`).join(" ")
    : "'unsafe-inline'";
  const policy = `default-src 'none'; script-src ${allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'`;
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${verdictHeadline(result)} ${result.model.name}</title>
<link rel="icon" href="data:,">
<style>${new Html(STYLE)}</style>
</head>
<body${result.model.trained_on === "random" ? markup` class="random"` : null}>
${body}
<script type="application/json" id="drawings">${scriptJson({ colours: VARIABLES, figures: rounded(drawings) })}</script>
${scripts.map((text) => new Html(`<script>${text}</script>\n`))}</body>
</html>
`.text;
}

/** Figures are drawn in the order in which they stand. */
function pageBody(
  result: ProbeResult,
  options: ReportOptions,
  figure: (chart: Chart | null, ...more: (Table | undefined)[]) => Html | null,
  drawings: Drawing[],
): Html {
  const run: ReportRun = options;
  const coverage = coverageSentence(result);
  const maps = (found: readonly HeatMap[]): Html[] =>
    found.map((map) => {
      drawings.push(map.drawing);
      return heatFigure(map);
    });
  // Rules that stop single trajectories say nothing where all samples are judged together.
  const rules = result.population ? [] : exitRulesTables(result);
  const cost = result.population ? null : costChart(result, secondsOf(result, run));
  const parts = partsTable(result);
  const spreads = spreadCharts(result);
  const similarity = similarityChart(result);
  const costs = costRows(result, run);
  return markup`<header>
      <p class="small">
        ${question(result)} <bdi>${result.model.name}</bdi>
      </p>
      <h1>${verdictHeadline(result)}</h1>
      <p>${verdictReason(result)}</p>
      <p class="note">${result.statement} ${coverage}</p>
    </header>
    <main>
      <h2 class="hidden">Error by step</h2>
      ${figure(videoChart(result))} ${result.population === null && figure(differenceChart(result))}
      ${
        result.population &&
        markup`<h2>All samples together</h2>
          ${populationCharts(result.population).map((chart) => figure(chart))}
          ${tableDetails(populationFloors(result.population), true)}`
      }
      <h2>What the numbers say</h2>
      <dl class="findings">
        ${findings(result).map(
          ({ about, says }) =>
            markup`<div>
              <dt>${about}</dt>
              <dd>${says}</dd>
            </div> `,
        )}
      </dl>
      ${
        (cost || rules.length > 0) &&
        markup`<h2>Stopping early, and what it costs</h2>
          ${figure(cost)} ${rules.length > 0 && markup`<p class="small">${exitRulesWords(result)}</p>`}
          ${rules.map((table) => tableDetails(table, true))}`
      }
      <h2>By episode, dimension and position</h2>
      ${figure(episodeChart(result), episodeTable(result))}
      ${figure(dimensionChart(result), dataUnitsTable(result))} ${figure(positionChart(result))}
      ${
        parts &&
        markup`<h2>In degrees, moments and the data's units</h2>
          ${partCharts(result).map((chart) => figure(chart))} ${tableDetails(parts, true)}`
      }
      ${
        result.action_steps > 0 &&
        markup`<h2>Inside the action</h2>
          ${figure(actionChart(result))} ${maps(heatMaps(result))}`
      }
      ${
        spreads.length > 0 &&
        markup`<h2>Seeds against each other</h2>
          ${spreads.map((chart) => figure(chart))}`
      }
      ${
        similarity &&
        markup`<h2>Hidden states from step to step</h2>
          ${figure(similarity)} ${maps(similarityMaps(result))}`
      }
      <h2>Floors and controls</h2>
      ${tableDetails(levelsTable(result), true)}
      <h2>Settings</h2>
      ${factsTable("How it was measured", settingRows(result))}
      ${costs.length > 0 && factsTable("What it took", costs)}
      <h2>Provenance</h2>
      ${factsTable("Where the numbers come from", provenanceRows(result, run))}
      <h2>Again</h2>
      <p class="small">
        ${
          run.command
            ? "The command, as it was typed."
            : "A command of the same settings. Folders may have other names here, and files are called by the beginning of their hashes."
        }
        Read a command of others before it runs.
      </p>
      <pre tabindex="0" aria-label="command">${run.command ?? composedCommand(result)}</pre>
    </main>`;
}

/**
 * Six digits are more than a screen shows, and a third of the bytes. Axes and the marks at their edges stay exact: a mark a rounding beyond its
 * axis is not drawn.
 */
function rounded(drawings: readonly Drawing[]): unknown {
  const short = (_: string, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(6)) : value;
  return drawings.map(({ id, data, layout }) => ({
    id,
    data: data.map((trace) =>
      trace.meta === "cut" ? trace : (JSON.parse(JSON.stringify(trace, short)) as Plain),
    ),
    layout,
  }));
}
