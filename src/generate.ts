#!/usr/bin/env node
/** `mimic-video-generate`: hands the process to the command. See `--help`. */
import { runGenerate } from "./commands/generate/command.node.ts";
import { interrupted, runToEnd } from "./commands/terminal.node.ts";

const signal = interrupted();
await runToEnd(
  () => runGenerate(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr, signal }),
  { printing: false },
);
