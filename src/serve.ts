#!/usr/bin/env node
/** `mimic-video-serve`: hands the process to the command. See `--help`. */
import { runServe } from "./commands/serve.node.ts";
import { runToEnd } from "./commands/terminal.node.ts";

const end = new AbortController();
// The first signal lets the running request end; a second one does not wait.
for (const [name, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)
  process.on(name, () => {
    if (end.signal.aborted) process.exit(code);
    end.abort(new Error("interrupted"));
  });
await runToEnd(
  () =>
    runServe(process.argv.slice(2), {
      stdout: process.stdout,
      stderr: process.stderr,
      environment: process.env,
      signal: end.signal,
    }),
  { printing: false },
);
