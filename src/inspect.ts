#!/usr/bin/env node
/** `npm run inspect`: hands the process to the command. See `--help`. Exits 1 with the error that loading would give. */
import { runInspect } from "./commands/inspect.node.ts";
import { runToEnd } from "./commands/terminal.node.ts";

await runToEnd(() => runInspect(process.argv.slice(2)), { printing: true });
