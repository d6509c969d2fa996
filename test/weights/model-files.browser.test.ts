/** Model folders as a browser has them: dropped files and files beside a page, against the folder on disk. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { FormatError } from "../../src/errors.ts";
import {
  type DroppedFile,
  droppedFolder,
  fetchedFolder,
  modelFilesOf,
  subfolder,
} from "../../src/weights/model-files.browser.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";

const TOY = "weights/toy";

function toyAsDropped(root: string): DroppedFile[] {
  const files = readdirSync(TOY, { recursive: true, encoding: "utf8" });
  return files
    .filter((file) => statSync(path.join(TOY, file)).isFile())
    .map((file) => ({
      path: root + file,
      file: new File([readFileSync(path.join(TOY, file))], path.basename(file)),
    }));
}

afterEach(() => vi.unstubAllGlobals());

test("a dropped folder is the folder on disk: names, shapes, hashes", async () => {
  const { name, sources } = droppedFolder(toyAsDropped("checkpoints/toy/"));
  expect(name).toBe("toy");
  const [here, there] = [modelFilesOf(name, sources), await openModelFolder(TOY)];
  const parts = ["transformer", "vae", "text_encoder", "tokenizer", "action_decoder"];
  expect(await here.json("model.json")).toEqual(await there.json("model.json"));
  expect(await here.sha256(parts)).toBe(await there.sha256(parts));
  const [a, b] = [await here.weights("vae"), await there.weights("vae")];
  expect([...a.tensors]).toEqual([...b.tensors]);
  await b.close();
  const episodes = modelFilesOf("episodes", subfolder(sources, "episodes"));
  expect((await episodes.weights("episodes.safetensors")).tensors.has("video")).toBe(true);
});

test("what is missing is named", async () => {
  expect(() => droppedFolder([{ path: "a/b.safetensors", file: new File([], "b") }])).toThrow(
    /no model\.json among the 1 dropped files \(a\/b\.safetensors\)/,
  );
  const files = modelFilesOf("mine", new Map());
  await expect(files.json("model.json")).rejects.toThrow(/mine has no model\.json/);
  await expect(files.weights("vae")).rejects.toThrow(/mine\/vae holds no weights among 0 files/);
  await expect(files.sha256(["nothing.safetensors"])).rejects.toThrow(/does not exist/);
});

test("a file beside the page is fetched once, and one of another length is refused", async () => {
  const content = new TextEncoder().encode("{}");
  const fetched = vi.fn(async () => new Response(content));
  vi.stubGlobal("fetch", fetched);
  let bytes = 0;
  const listed = [
    { path: "model.json", size: 2 },
    { path: "short.json", size: 3 },
  ];
  const files = modelFilesOf(
    "toy",
    fetchedFolder("https://host.example/page/toy/", listed, (_, count) => (bytes += count)),
  );
  expect(await files.json("model.json")).toEqual({});
  expect(await files.json("model.json")).toEqual({});
  expect(fetched.mock.calls).toEqual([["https://host.example/page/toy/model.json"]]);
  expect(bytes).toBe(2);
  await expect(files.json("short.json")).rejects.toThrow(FormatError);
  await expect(files.json("short.json")).rejects.toThrow(/has 2 bytes, 3 were published/);
  expect(fetched).toHaveBeenCalledTimes(3);
});
