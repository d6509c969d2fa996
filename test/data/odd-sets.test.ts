/** Sets as they also occur: episodes missing or empty, odd names and templates, NaN in JSON, doubles, several tables, JPEG. */
import { encode as encodeJpeg } from "jpeg-js";
import { describe, expect, it } from "vitest";
import { decodeImage } from "../../src/data/lerobot/images.ts";
import { LeRobotSet } from "../../src/data/lerobot/set.ts";
import { fillTemplate } from "../../src/data/lerobot/paths.ts";
import { type MadeSet, madeSet } from "./made-set.ts";

const value = (e: number, f: number, d: number): number => Math.fround(Math.sin(e * 7 + f * 0.3 + d));

const odd = (format: 2 | 3, change: Partial<MadeSet> = {}): MadeSet => ({
  name: "odd",
  format,
  fps: 12.5,
  episodes: [
    { index: 0, length: 5, task: () => 0 },
    { index: 3, length: 0, task: () => 0 },
    { index: 7, length: 4, task: (f) => (f < 2 ? 1 : 2) },
    { index: 11, length: 6, task: () => 1 },
    { index: 12, length: 3, task: () => 0 },
  ],
  tasks: ["put it there", 'tab\there, "quotes" {braces} NaN', "さようなら"],
  vectors: {
    "observation.ünï code/state": { size: 2, double: true, at: (e, f) => [Math.PI * e + f, 1 / (f + 3)] },
    action: { size: 1, at: (e, f) => [value(e, f, 0)] },
  },
  perDataFile: 2,
  perMetaFile: 3,
  ...change,
});

const open = (set: MadeSet, notes: string[] = []): Promise<LeRobotSet> =>
  LeRobotSet.open(madeSet(set), { onNote: (line) => notes.push(line) });

describe.each([2, 3] as const)("format %i", (format) => {
  it("finds every episode that is there, and says which are not", async () => {
    const set = await open(odd(format));
    expect((await set.episodes()).map(({ index, length }) => [index, length])).toEqual([
      ...[
        [0, 5],
        [3, 0],
        [7, 4],
        [11, 6],
        [12, 3],
      ],
    ]);
    for (const index of [12, 7, 0, 11]) {
      const episode = await set.episode(index);
      const { values, size } = await episode.vector("observation.ünï code/state");
      expect(size).toBe(2);
      const wanted = Array.from({ length: episode.length }, (_, f) => [Math.PI * index + f, 1 / (f + 3)]);
      expect([...values]).toEqual(wanted.flat());
      expect([...(await episode.vector("action")).values]).toEqual(wanted.map((_, f) => value(index, f, 0)));
    }
    expect((await set.episode(3)).length).toBe(0);
    const seven = await set.episode(7);
    expect([0, 1, 2, 3].map((f) => seven.task(f))).toEqual([
      ...['tab\there, "quotes" {braces} NaN', 'tab\there, "quotes" {braces} NaN', "さようなら", "さようなら"],
    ]);
    await expect(set.episode(1)).rejects.toThrow("odd has no episode 1; it has 5: 0, 3, 7, 11, 12.");
    await expect(seven.vector("state")).rejects.toThrow("observation.ünï code/state (2), action (1)");
    expect(() => seven.task(4)).toThrow("has 4 frames");
  });

  it.each([{ gzip: true }, { statistics: false }])("reads tables with %o", async (parquet) => {
    const set = await open(odd(format, { parquet }));
    const episode = await set.episode(11);
    expect([...(await episode.vector("action", 2, 4)).values]).toEqual([value(11, 2, 0), value(11, 3, 0)]);
  });

  it("reads NaN in info.json, and refuses where a number is needed", async () => {
    const withNaN = (json: string): string =>
      json.replace('"robot_type"', '"x": NaN, "y": [-Infinity], "robot_type"');
    const set = await open(odd(format, { rawInfo: withNaN }));
    expect(set.info.robotType).toBe("made");
    const broken = odd(format, { rawInfo: (json) => json.replace('"fps":12.5', '"fps":NaN') });
    await expect(open(broken)).rejects.toThrow("fps is null, expected a number");
  });

  it("refuses what is no such set", async () => {
    await expect(open(odd(format, { info: { codebase_version: "v1.6" } }))).rejects.toThrow(
      "Convert the set",
    );
    await expect(open(odd(format, { rawInfo: () => "{" }))).rejects.toThrow("meta/info.json is not JSON");
    const away = open(odd(format, { info: { data_path: "../{episode_index}.parquet" } }));
    await expect(away.then((set) => set.episode(0))).rejects.toThrow("leaves the data set's folder");
  });
});

it("counts on from a newer version of 3, and says so", async () => {
  const notes: string[] = [];
  const set = await open(odd(3, { info: { codebase_version: "v3.2" } }), notes);
  expect((await set.episode(11)).length).toBe(6);
  expect(notes.join()).toContain("v3.2 is newer");
});

it("follows another template", async () => {
  const dataPath = "rows/part_{chunk_index:03d}/x-{file_index:03d}.parquet";
  const set = await open(odd(3, { dataPath }));
  expect((await set.episode(7)).dataFile).toBe("rows/part_000/x-001.parquet");
});

it("leaves depth out of the cameras", async () => {
  const info = {
    features: {
      depth: { dtype: "video", shape: [4, 4, 1], names: null, info: { is_depth_map: true } },
      front: { dtype: "image", shape: [3, 20, 30], names: ["channels", "height", "width"] },
      bare: { dtype: "image", shape: [3, 20, 30], names: null },
      action: { dtype: "float32", shape: [2, 3], names: { motors: ["a", "b", "c", "d", "e", "f"] } },
    },
  };
  const notes: string[] = [];
  const set = await open(odd(2, { info }), notes);
  expect(set.cameras).toEqual([
    { key: "front", kind: "image", height: 20, width: 30 },
    { key: "bare", kind: "image", height: 20, width: 30 },
  ]);
  expect(set.vectors).toEqual([
    { key: "action", dtype: "float32", size: 6, names: ["a", "b", "c", "d", "e", "f"] },
  ]);
  expect(notes.join()).toContain("depth holds distances");
});

it("fills templates as Python does", () => {
  const values = { file_index: 7, video_key: "a.b" };
  expect(fillTemplate("v/{video_key}/{file_index:03d}-{file_index}", values, "x")).toBe("v/a.b/007-7");
  expect(fillTemplate("{file_index:03}", values, "x")).toBe("007");
  expect(() => fillTemplate("{chunk}", values, "x")).toThrow(
    "there is no {chunk}. Known are {file_index}, {video_key}",
  );
  expect(() => fillTemplate("{file_index:>3}", values, "x")).toThrow("not understood");
  expect(() => fillTemplate("a/{file_index", values, "x")).toThrow("a brace");
  for (const path of ["/a", "a/../b", "a\\b", "C:/a", ""])
    expect(() => fillTemplate(path, values, "x")).toThrow("leaves the data set's folder");
});

it("decodes JPEG in rows, and refuses what is no picture", () => {
  const [width, height] = [16, 8];
  const data = new Uint8Array(width * height * 4).map((_, i) => [200, 90, 30, 255][i % 4]);
  const bytes = new Uint8Array(encodeJpeg({ data, width, height }, 95).data);
  const picture = decodeImage({ bytes, path: "a.jpg" }, "here");
  expect([picture.width, picture.height]).toEqual([width, height]);
  for (let i = 0; i < picture.rgb.length; i++)
    expect(Math.abs(picture.rgb[i] - [200, 90, 30][i % 3])).toBeLessThan(4);
  expect(() => decodeImage({ bytes: undefined, path: "b.png" }, "here")).toThrow('only the path "b.png"');
  expect(() => decodeImage({ bytes: Uint8Array.of(1, 2) }, "here")).toThrow(
    "neither PNG nor JPEG; it begins with 01 02",
  );
  expect(() => decodeImage({ bytes: Uint8Array.of(0x89, 0x50, 1) }, "here")).toThrow("cannot be decoded");
});
