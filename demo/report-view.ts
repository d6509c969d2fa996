/**
 * The report of a result, over the page: the same document that the command line writes (src/probe/report), in a frame that may run nothing but the
 * document's own two scripts and reaches neither this page nor any other. Loaded when a report is asked for.
 */
import { FormatError } from "../src/errors.ts";
import { reportHtml, type ReportRun } from "../src/probe/report/report.ts";
import { readResult } from "../src/probe/result/read-result.ts";
import type { ProbeResult } from "../src/probe/result/result.ts";
import { make } from "./dom.ts";
import { showSheet } from "./sheet.ts";

/** A result of a thousand episodes has some 20 MB. */
const MOST_BYTES = 100e6;

/**
 * Opens somebody's probe.json.
 * @param name said above the report and in errors
 * @returns when it was closed
 * @throws FormatError saying what is wrong with it, before anything is shown
 */
export async function openReport(file: Blob, name: string): Promise<void> {
  if (file.size > MOST_BYTES)
    throw new FormatError(`“${name}” has ${file.size} bytes; a result has at most ${MOST_BYTES}`);
  return showReport(readResult(await file.text(), `“${name}”`), {}, name);
}

/** @param run what is known of the run beside its result */
export async function showReport(result: ProbeResult, run: ReportRun, name: string): Promise<void> {
  const frame = make("iframe", { title: `Report of ${name}`, srcdoc: await reportDocument(result, run) });
  frame.setAttribute("sandbox", "allow-scripts");
  return showSheet(`Report of ${name}`, frame);
}

/** The document that allows its own scripts by their hashes, where the browser can make some. */
export async function reportDocument(result: ProbeResult, run: ReportRun): Promise<string> {
  const { default: plotly } = await import("plotly.js-basic-dist-min/plotly-basic.min.js?raw");
  if (!crypto.subtle) return reportHtml(result, { ...run, plotly });
  // Hashing takes its time, the document is made at once: first it says which texts it hashes.
  const texts: string[] = [];
  const collect = (text: string): string => {
    texts.push(text);
    return "";
  };
  reportHtml(result, { ...run, plotly, scriptHash: collect });
  const hashes = new Map(
    await Promise.all(
      texts.map(async (text) => {
        const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
        return [text, btoa(String.fromCharCode(...new Uint8Array(digest)))] as const;
      }),
    ),
  );
  return reportHtml(result, { ...run, plotly, scriptHash: (text) => hashes.get(text)! });
}
