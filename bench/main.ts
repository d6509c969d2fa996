/** npm run bench: see command.ts. */
import { main } from "./command.ts";

process.exitCode = await main(process.argv.slice(2));
// The peers hold devices and timers that nothing can close.
process.exit();
