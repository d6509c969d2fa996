#!/usr/bin/env node
/** `npm run convert`: hands the process to the command. See `--help`. */
import { runConvert } from "./commands/convert.node.ts";
import { runToEnd } from "./commands/terminal.node.ts";

await runToEnd(() => runConvert(process.argv.slice(2)), { printing: false });
