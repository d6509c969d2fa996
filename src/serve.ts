#!/usr/bin/env node
/** `mimic-video-serve`: hands the process to the command. See `--help`. */
import { runServe } from "./commands/serve.node.ts";
import { interrupted, runToEnd } from "./commands/terminal.node.ts";

// The running request is finished.
const signal = interrupted({ SIGINT: 130, SIGTERM: 143 });
await runToEnd(
  () =>
    runServe(process.argv.slice(2), {
      stdout: process.stdout,
      stderr: process.stderr,
      environment: process.env,
      signal,
    }),
  { printing: false },
);
