/**
 * What npm runs after an install here, before packing, and for an install from git: builds `dist` afresh. Without the compiler, as after
 * `npm ci --omit=dev`, there is nothing to build with, and nothing is done.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createRequire } from "node:module";

let compiler;
try {
  compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
} catch {
  process.exit(0);
}
// What an earlier version left there would be packed too.
rmSync("dist", { recursive: true, force: true });
process.exit(
  spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], { stdio: "inherit" }).status ?? 1,
);
