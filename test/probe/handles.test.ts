/**
 * A run closes every file that it opened, however it ends. What is left to the garbage collector is a warning on the terminal, and will
 * be an error of Node; when it collects nobody knows, so the test counts.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Runs before the program: prints at the end which files were opened and not closed. */
const COUNTING = `
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
const { open } = fs;
const live = new Set();
let opened = 0;
fs.open = async (...words) => {
  const handle = await open(...words);
  const close = handle.close.bind(handle);
  const entry = { path: words[0] };
  live.add(entry);
  opened++;
  handle.close = () => (live.delete(entry), close());
  return handle;
};
syncBuiltinESMExports();
process.on("exit", () => process.stdout.write("\\n" + JSON.stringify({ opened, left: [...live].map(({ path }) => path) })));
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "handles-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const toy = join(root, "weights/toy");
const libero = ["--model", join(root, "test/release-mini/libero"), "--policy", "libero_object_full"];
const given = ["--data", join(toy, "episodes"), "--noise", join(toy, "episodes/noise.safetensors")];
const few = ["--episodes", "1", "--video-seeds", "1", "--probe-steps", "0,1"];
const short = ["--video-steps", "2", "--action-steps", "1"];

interface Ended {
  code: number | null;
  opened: number;
  left: string[];
}

function run(words: readonly string[], interruptAt?: string): Promise<Ended> {
  const program = `data:text/javascript,${encodeURIComponent(COUNTING)}`;
  const all = ["--import", program, join(root, "dist/probe.js"), ...words, "--quiet"];
  const child = spawn(process.execPath, all, { cwd: folder });
  let text = "";
  child.stdout.on("data", (chunk) => (text += String(chunk)));
  child.stderr.resume();
  const poll =
    interruptAt === undefined
      ? undefined
      : setInterval(() => {
          if (!existsSync(join(folder, interruptAt))) return;
          clearInterval(poll);
          child.kill("SIGINT");
        }, 10);
  return new Promise((resolve) =>
    child.on("close", (code) => {
      clearInterval(poll);
      const last = text.slice(text.lastIndexOf("\n"));
      resolve({ code, ...(JSON.parse(last) as Omit<Ended, "code">) });
    }),
  );
}

it.each<[string, number, string[], string?]>([
  ["a toy that is measured", 0, [...few, ...short, ...given, "--out", "done"]],
  ["noise of other sizes", 1, [...libero, ...few, "--noise", given[3], "--out", "never"]],
  ["a seed that the noise does not hold", 2, [...given, "--video-seeds", "7", "--out", "never"]],
  ["an episode that is not there", 2, [...libero, "--episodes", "99", "--out", "never"]],
  ["a release that is measured", 0, [...libero, ...few, "--out", "release"]],
  [
    "an interrupted run",
    130,
    [...given, ...short, "--episodes", "6", "--video-seeds", "1", "--probe-steps", "0,1", "--out", "cut"],
    "cut/units/episode-000000.safetensors",
  ],
])("%s", { timeout: 120_000 }, async (_, expected, words, interruptAt) => {
  const { code, opened, left } = await run(words, interruptAt);
  expect(code).toBe(expected);
  expect(opened).toBeGreaterThan(0);
  expect(left).toEqual([]);
});
