#!/usr/bin/env node
/** `npm run parity [-- DIR…]`: hands the process to the command. See `--help`. Exits 0 only if every output passes. */
import { runParity } from "./commands/parity.node.ts";
import { MimicVideoError } from "./errors.ts";

try {
  process.exitCode = await runParity(process.argv.slice(2));
} catch (error) {
  const known =
    error instanceof MimicVideoError || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
  console.error(known ? (error as Error).message : error);
  process.exitCode = 1;
}
