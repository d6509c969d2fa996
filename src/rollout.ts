#!/usr/bin/env node
/** `node dist/rollout.js`: hands the process to the command. See `--help`. */
import { relative } from "node:path";
import { runRolloutCommand } from "./commands/rollout/command.node.ts";
import { interrupted, runToEnd } from "./commands/terminal.node.ts";

// Finished trials are kept.
const signal = interrupted();
await runToEnd(
  () =>
    runRolloutCommand(process.argv.slice(2), {
      program: ["node", relative(process.cwd(), process.argv[1])],
      loadRunner: async () => (await import("./commands/rollout/run.node.ts")).runRolloutHere,
      drawPng: async (figure) => (await import("./probe/figure/plot.node.ts")).figureToPng(figure),
      stdout: process.stdout,
      stderr: process.stderr,
      signal,
    }),
  { printing: false },
);
