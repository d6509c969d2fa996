#!/usr/bin/env node
/** `npm run parity [-- DIR…]`: hands the process to the command. See `--help`. Exits 0 only if every output passes. */
import { runParity } from "./commands/parity.node.ts";
import { runToEnd } from "./commands/terminal.node.ts";

await runToEnd(() => runParity(process.argv.slice(2)), { printing: false });
