/** Files written by the Python packages `torch` and `safetensors` (fixtures/make.py) read exactly. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../src/errors.ts";
import { bytesSource } from "../../src/weights/blob.ts";
import { openWeights } from "../../src/weights/open.node.ts";
import { openAnyWeights } from "../../src/weights/open.ts";
import { encodeSafetensors } from "../../src/weights/safetensors.ts";
import type { StoredDtype } from "../../src/weights/source.ts";

interface Expected {
  readonly dtype: StoredDtype;
  readonly shape: number[];
  readonly hex: string;
}

const folder = "test/weights/fixtures";
const expected = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")) as Record<
  string,
  Record<string, Expected>
>;

describe.each(Object.keys(expected))("%s", (file) => {
  const tensors = expected[file];

  test("has these tensors with these bytes, read whole", async () => {
    const source = await openWeights(`${folder}/${file}`);
    expect([...source.tensors.keys()].sort()).toEqual(Object.keys(tensors).sort());
    for (const [name, { dtype, shape, hex }] of Object.entries(tensors)) {
      expect(source.tensors.get(name)).toMatchObject({ name, dtype, shape, bytes: hex.length / 2 });
      expect(Buffer.from(await source.read(name)).toString("hex"), name).toBe(hex);
    }
    await source.close();
  });

  test("and streamed in chunks of 7 bytes, with the portable checksum", async () => {
    const source = await openAnyWeights(bytesSource(readFileSync(`${folder}/${file}`), file));
    for (const [name, { hex }] of Object.entries(tensors)) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of source.stream(name, 7)) chunks.push(chunk);
      expect(chunks.every((chunk) => chunk.length <= 7 && chunk.length > 0)).toBe(true);
      expect(Buffer.concat(chunks).toString("hex"), name).toBe(hex);
    }
  });
});

test.each([
  ["every.safetensors", { format: "pt" }],
  ["none.safetensors", undefined],
])("the writer gives the bytes of the Python package: %s", async (file, metadata) => {
  const tensors = Object.entries(expected[file]).map(([name, { dtype, shape, hex }]) => ({
    name,
    dtype,
    shape,
    data: Uint8Array.from(Buffer.from(hex, "hex")),
  }));
  const ours = await encodeSafetensors(tensors, metadata);
  expect(Buffer.from(ours).equals(readFileSync(`${folder}/${file}`))).toBe(true);
});

test.each([
  ["os-system.pt", /"posix.system", which is not allowed.*nothing in a file is executed/],
  ["whole-module.pt", /"torch.nn.modules.container.Sequential", which is not allowed/],
  ["protocol4.pt", /pickle protocol 4/],
  ["legacy.pt", /before torch 1.6/],
  ["bomb.pt", /compressed \(method 8\)/],
])("%s is refused", async (file, message) => {
  await expect(openWeights(`${folder}/${file}`)).rejects.toThrow(FormatError);
  await expect(openWeights(`${folder}/${file}`)).rejects.toThrow(message);
});
