#!/usr/bin/env node
/** `mimic-video-probe`: hands the process to the command. See `--help`. */
import { relative } from "node:path";
import { runCommand } from "./commands/probe/command.node.ts";
import { interrupted, runToEnd } from "./commands/terminal.node.ts";

// The running dispatch ends, and finished episodes are kept.
const signal = interrupted();
// A measurement goes on and is saved, whether or not anybody reads along.
await runToEnd(
  () =>
    runCommand(process.argv.slice(2), {
      program: ["node", relative(process.cwd(), process.argv[1])],
      loadRunner: async () => (await import("./commands/probe/run.node.ts")).runProbeHere,
      drawPng: async (figure) => (await import("./probe/figure/plot.node.ts")).figureToPng(figure),
      writeReport: async (result, run) =>
        (await import("./probe/report/report-page.node.ts")).reportPage(result, run),
      stdout: process.stdout,
      stderr: process.stderr,
      signal,
    }),
  { printing: false },
);
