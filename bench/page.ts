/** bench/README.md from stored runs: a table and a figure of each, between two marks. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { format, resolveConfig } from "prettier";
import { UsageError } from "../src/errors.ts";
import { nameOf } from "../src/gpu/gpu.ts";
import { COLOUR, type Figure, FONT, type Plain } from "../src/probe/figure/style.ts";
import { figureToPng } from "../src/probe/figure/plot.node.ts";
import {
  describeProbes,
  describeStep,
  engineering,
  percent,
  rateOf,
  readRun,
  type Run,
  tail,
  time,
} from "./report.ts";

// `npm run bench` runs in the package's folder.
const PAGE = "bench/README.md";
const BEGIN = "<!-- measured: from here on written by `npm run bench -- page` -->";
const END = "<!-- end of measured -->";

/**
 * Replaces what stands between the marks of the page, and draws a PNG beside each file.
 * @throws UsageError without files, FormatError for one that is no stored run
 */
export async function writePage(
  files: readonly string[],
  line: (text: string) => void,
  page = PAGE,
): Promise<void> {
  if (files.length === 0) throw new UsageError("page needs the files of stored runs, bench/results/*.json");
  const text = await readFile(page, "utf8");
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new UsageError(`${page} lacks the marks\n${BEGIN}\n${END}`);
  const sections: string[] = [];
  for (const file of files) {
    const run = readRun(await readFile(file, "utf8"));
    const png = file.replace(/\.json$/, ".png");
    await writeFile(png, await figureToPng(benchFigure(run), 1.5));
    const near = (to: string): string => path.relative(path.dirname(page), to).split(path.sep).join("/");
    sections.push(section(run, near(file), near(png)));
    line(`${png}: ${run.rows.length} cases`);
  }
  const written = `${text.slice(0, begin)}${BEGIN}\n\n${sections.join("\n\n")}\n\n${text.slice(end)}`;
  await writeFile(page, await format(written, { ...(await resolveConfig(PAGE)), parser: "markdown" }));
}

/** Names of everybody who was measured besides ours, in the order of their first appearance. */
const othersIn = ({ rows }: Run): string[] => [
  ...new Set(rows.flatMap(({ measures }) => measures.slice(1).map(({ name }) => name))),
];

const tableRow = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** One run as Markdown. */
export function section(run: Run, file: string, figure: string): string {
  const { adapter, roof, cores, load, date, command, versions } = run;
  const others = othersIn(run);
  const title = `${nameOf(adapter)}, ${cores} cores, ${date}${command.includes("--arithmetic f16") ? ", products of halves" : ""}`;
  const elsewhere = others.filter((name) => name !== "naive" && !run.sameAdapter.includes(name));
  const table = [
    tableRow(["", "time", "from … to", "rate", "of the roof", ...others.map((name) => `${name} ÷ ours`)]),
    tableRow(["---", ...new Array<string>(4 + others.length).fill("--:")]),
    ...run.rows.flatMap((row) => {
      const [ours] = row.measures;
      if (!ours) return [];
      const { text, fraction, cpuFraction } = rateOf(row, roof);
      const ratios = others.map((name) => {
        const found = row.measures.find((m) => m.name === name);
        return found ? `${found.ratio.toFixed(1)} (${found.cpuRatio.toFixed(1)})` : "";
      });
      const spread = `${time(ours.lowest)} … ${time(ours.highest)}`;
      const ofRoof = `${percent(fraction)} (${percent(cpuFraction)})`;
      return [tableRow([row.name, time(ours.seconds), spread, text, ofRoof, ...ratios])];
    }),
  ];
  const rejected = run.rows.flatMap(({ name, rejected: r }) => r.map((reason) => `${name}: ${reason}`));
  const list = (lines: readonly string[]): string => lines.map((text) => `- ${text}`).join("\n");
  const parts = [
    `## ${title}`,
    `${adapter.origin}; load ${load.toFixed(1)} at the beginning; ` +
      `${Object.entries(versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(", ")}. ` +
      `Roof: multiply-add ${engineering(roof.flopPerSecond, "FLOP/s")}, copy ${engineering(roof.bytesPerSecond, "B/s")}. ` +
      `Data: [${path.basename(file)}](${file}), from \`${command}\`.` +
      (elsewhere.length > 0 ? ` ${elsewhere.join(", ")} ran beside the adapter, not on it.` : ""),
    `![Fraction of the roof, and the others' times over ours](${figure})`,
    table.join("\n"),
    list([
      ...run.notes,
      ...tail(run).split("\n").filter(Boolean),
      ...(run.probe ? [describeProbes(run.probe)] : []),
      ...run.steps.map((step) => describeStep(step, roof)),
      ...run.skipped.map((step) => describeStep(step, roof)),
      ...rejected.map((reason) => `left out of ${reason}`),
    ]),
  ];
  return parts.join("\n\n");
}

const COLOURS: Readonly<Record<string, string>> = {
  naive: COLOUR.datasetMean,
  tfjs: COLOUR.last,
  "jax-js": COLOUR.other,
  onnx: COLOUR.zeroed,
};

/** Dots a case: on the left the fraction of the roof, on the right how many times as long as ours each other takes. */
export function benchFigure(run: Run): Figure {
  const rows = run.rows.filter(({ measures }) => measures.length > 0);
  // Plotly's categories begin at the bottom.
  const names = rows.map(({ name }) => name).reverse();
  const roof: Plain = {
    ...{ type: "bar", orientation: "h", showlegend: false, xaxis: "x", yaxis: "y" },
    ...{ y: rows.map(({ name }) => name), x: rows.map((row) => 100 * rateOf(row, run.roof).fraction) },
    marker: { color: COLOUR.truth },
  };
  const others = othersIn(run).map((name, i): Plain => {
    const found = rows.flatMap((row) => row.measures.filter((m) => m.name === name).map((m) => ({ row, m })));
    return {
      ...{ type: "scatter", mode: "markers", name, xaxis: "x2", yaxis: "y" },
      ...{ y: found.map(({ row }) => row.name), x: found.map(({ m }) => m.ratio) },
      marker: {
        ...{ color: COLOURS[name] ?? COLOUR.text, size: 10 },
        symbol: ["circle", "square", "diamond", "triangle-up", "x"][i % 5],
      },
    };
  });
  const axis = (domain: readonly number[], title: string): Plain => ({
    ...{ domain, title: { text: title }, gridcolor: COLOUR.grid, zeroline: false, side: "bottom" },
  });
  return {
    data: [roof, ...others],
    layout: {
      ...{ width: 1150, height: 170 + 26 * names.length, font: FONT, plot_bgcolor: "white" },
      title: { text: `${nameOf(run.adapter)}, ${run.date}` },
      margin: { l: 350, r: 30, t: 70, b: 70 },
      yaxis: { categoryorder: "array", categoryarray: names, gridcolor: COLOUR.grid, automargin: false },
      xaxis: { ...axis([0, 0.38], "% of the measured roof"), rangemode: "tozero" },
      xaxis2: { ...axis([0.44, 1], "time ÷ ours (right of 1: slower than ours)"), type: "log", anchor: "y" },
      shapes: [
        {
          ...{ type: "line", xref: "x2", yref: "paper", x0: 1, x1: 1, y0: 0, y1: 1 },
          line: { color: COLOUR.text, width: 1.5 },
        },
      ],
      legend: { orientation: "h", x: 0.44, y: 1.0, yanchor: "bottom" },
    },
  };
}
