/** A measurement whose output nobody reads, or that cannot be written, goes on and is saved. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "unread-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SIZE = "--episodes 1 --video-steps 1 --video-seeds 1 --action-steps 1 --adapter software";

/** The built probe with its output redirected, in bash; the code is the probe's own. */
const probe = (out: string, redirect: string) =>
  new Promise<{ code: number; errors: string }>((done) => {
    const line = `"${process.execPath}" dist/probe.js ${SIZE} --out "${out}" ${redirect}; exit \${PIPESTATUS[0]}`;
    execFile("bash", ["-c", line], (error, _, errors) =>
      done({ code: error === null ? 0 : Number(error.code), errors }),
    );
  });

const FILES = [
  ...["action_convergence.png", "actions.safetensors", "probe.json"],
  ...["report.html", "run.json", "units"],
];

test.skipIf(!existsSync("dist/probe.js"))("the reader is gone", { timeout: 200_000 }, async () => {
  const out = join(folder, "head");
  expect((await probe(out, "2>&1 | head -1")).code).toBe(0);
  expect(readdirSync(out).sort()).toEqual(FILES);
});

test.skipIf(!existsSync("dist/probe.js"))("both outputs are closed", { timeout: 200_000 }, async () => {
  const out = join(folder, "closed");
  expect((await probe(out, ">&- 2>&-")).code).toBe(0);
  expect(readdirSync(out).sort()).toEqual(FILES);
});

test.skipIf(!existsSync("dist/probe.js") || !existsSync("/dev/full"))(
  "the disk behind it is full",
  { timeout: 200_000 },
  async () => {
    const out = join(folder, "full");
    const { code, errors } = await probe(out, "--json > /dev/full");
    expect(code).toBe(1);
    expect(errors.match(/Standard output cannot be written \(ENOSPC\)/g)).toHaveLength(1);
    expect(readdirSync(out).sort()).toEqual(FILES);
  },
);
