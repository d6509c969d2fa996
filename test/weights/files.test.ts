/** Files of the disk: what is refused at once, and that a broken write leaves nothing under the name. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FormatError } from "../../src/errors.ts";
import { createFile, openFile } from "../../src/weights/files.node.ts";
import { streamRange } from "../../src/weights/source.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "files-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("what is no regular file is refused, and a pipe does not hang", async () => {
  await expect(openFile(join(folder, "none"))).rejects.toThrow(/no such file/);
  await expect(openFile(folder)).rejects.toThrow(FormatError);
  if (process.platform === "win32") return;
  execFileSync("mkfifo", [join(folder, "pipe")]);
  await expect(openFile(join(folder, "pipe"))).rejects.toThrow(/not a regular file/);
});

test("ranges beyond the end, and a file that shrinks while it is read", async () => {
  const path = join(folder, "ten");
  writeFileSync(
    path,
    Uint8Array.from({ length: 10 }, (_, i) => i),
  );
  const source = await openFile(path);
  expect([...(await source.read(8, 2))]).toEqual([8, 9]);
  for (const [offset, length] of [
    [8, 3],
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [0, 2 ** 53],
    [NaN, 1],
  ]) {
    await expect(source.read(offset, length)).rejects.toThrow(/bytes .* were asked for, but it has 10/);
  }
  truncateSync(path, 5);
  await expect(source.read(0, 10)).rejects.toThrow(/ended at byte 5 while 10/);
  await source.close?.();
});

test("a stream that is left early ends without an unheard failure", async () => {
  const path = join(folder, "left");
  writeFileSync(path, new Uint8Array(100));
  const source = await openFile(path);
  truncateSync(path, 10);
  for await (const chunk of streamRange(source, 0, 100, 10)) {
    expect(chunk.length).toBe(10);
    break;
  }
  await source.close?.();
});

test("a file takes its name when it is finished, and none when it is abandoned", async () => {
  const path = join(folder, "written");
  const abandoned = await createFile(path);
  await abandoned.write(Uint8Array.of(1, 2));
  await abandoned.abandon();
  expect(readdirSync(folder).filter((name) => name.startsWith("written"))).toEqual([]);
  const finished = await createFile(path);
  await finished.write(Uint8Array.of(1, 2));
  await finished.write(Uint8Array.of(3));
  expect(readdirSync(folder)).not.toContain("written");
  await finished.finish();
  await finished.abandon();
  expect([...readFileSync(path)]).toEqual([1, 2, 3]);
  await expect(createFile(join(folder, "none/x"))).rejects.toThrow(FormatError);
});
