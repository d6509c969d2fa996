/** Files beyond 4 GiB, where 32-bit sizes and offsets end: sparse, so they take no room and little time. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWeights } from "../../src/weights/open.node.ts";
import { type TensorSource } from "../../src/weights/source.ts";
import { op, pickle, tensor } from "./pickle-writer.ts";
import { layOutZip, type Piece } from "./zip-writer.ts";

const hole = 4.5 * 2 ** 30;
const before = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer);
const after = new Uint8Array(Float32Array.of(5, 6, 7).buffer);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "large-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes the pieces; false if the file system fills holes, for which there may be no room. */
function writeSparse(path: string, pieces: readonly Piece[], size: number): boolean {
  const file = openSync(path, "w");
  ftruncateSync(file, size);
  for (const { offset, bytes } of pieces) writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
  return statSync(path).blocks * 512 < 2 ** 20;
}

async function expectContents(source: TensorSource): Promise<void> {
  expect(source.tensors.get("hole")!.bytes).toBe(hole);
  expect(await source.read("before")).toEqual(before);
  expect(await source.read("after")).toEqual(after);
  // The first chunk comes without reading, or holding, the rest.
  for await (const chunk of source.stream("hole", 1000)) {
    expect(chunk).toEqual(new Uint8Array(1000));
    break;
  }
  await source.close();
}

test("a torch file with a zip64 entry, and an entry beyond 4 GiB", async ({ skip }) => {
  const state = op.dict(
    [op.text("before"), tensor("0", 4, [4], [1])],
    [op.text("hole"), tensor("1", hole / 4, [hole / 4], [1])],
    [op.text("after"), tensor("2", 3, [3], [1])],
  );
  const { pieces, size } = layOutZip([
    { name: "big/data.pkl", content: pickle(state) },
    { name: "big/data/0", content: before },
    { name: "big/data/1", content: { zeros: hole, crc32: 0 } },
    { name: "big/data/2", content: after },
  ]);
  const path = join(folder, "big.pt");
  if (!writeSparse(path, pieces, size)) skip("this file system has no sparse files");
  await expectContents(await openWeights(path));
});

test("a safetensors file beyond 4 GiB", async ({ skip }) => {
  const place = (begin: number, bytes: number) => ({
    dtype: "F32",
    shape: [bytes / 4],
    data_offsets: [begin, begin + bytes],
  });
  const header = Buffer.from(
    JSON.stringify({ before: place(0, 16), hole: place(16, hole), after: place(16 + hole, 12) }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const data = 8 + header.length;
  const pieces = [
    { offset: 0, bytes: Buffer.concat([length, header, before]) },
    { offset: data + 16 + hole, bytes: after },
  ];
  const path = join(folder, "big.safetensors");
  if (!writeSparse(path, pieces, data + 28 + hole)) skip("this file system has no sparse files");
  await expectContents(await openWeights(path));
});
