/** The sets of test/lerobot, every value that an independent reader found. */
import { createHash } from "node:crypto";
import { afterAll, describe, expect, it } from "vitest";
import { dataFolder, openLeRobot } from "../../src/data/lerobot/files.node.ts";
import { type Picture, toRgb } from "../../src/data/lerobot/pixels.ts";
import { EXPECTED, LEROBOT, vectorsOf } from "./expected.ts";

const sha256 = (...parts: readonly (Uint8Array | Uint16Array)[]): string => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};

const hashOf = (picture: Picture): string =>
  picture.kind === "rgb" ? sha256(picture.rgb) : sha256(picture.y, picture.u, picture.v);

function meanRgb(picture: Picture): number[] {
  const { width, height, rgb } = toRgb(picture);
  const area = width * height;
  return [0, 1, 2].map((c) => rgb.subarray(c * area, (c + 1) * area).reduce((sum, v) => sum + v, 0) / area);
}

/** Frame, episode and camera that stand in the picture as squares: two rows of six at the top left, least bit first. */
function address(picture: Picture): { frame: number; episode: number; camera: number } {
  const { width, height, rgb } = toRgb(picture);
  const side = Math.max(4, Math.floor(height / 12));
  const bit = (n: number): number => {
    const [row, column] = [Math.floor(n / 6), n % 6];
    const i = (row * side + (side >> 1)) * width + column * side + (side >> 1);
    return (rgb[i] + rgb[width * height + i] + rgb[2 * width * height + i]) / 3 > 128 ? 1 : 0;
  };
  const number = (from: number, bits: number): number =>
    Array.from({ length: bits }, (_, i) => bit(from + i) << i).reduce((a, b) => a + b, 0);
  return { frame: number(0, 7), episode: number(7, 3), camera: number(10, 2) };
}

describe.each(Object.entries(EXPECTED))("%s", (name, expected) => {
  const set = dataFolder(`${LEROBOT}/${name}`).then((files) => openLeRobot(files));
  afterAll(async () => (await set).close());

  it("says what it is", async () => {
    const { info, cameras } = await set;
    expect(info.version).toBe(expected.codebaseVersion);
    expect([info.fps, info.robotType]).toEqual([expected.fps, expected.robotType]);
    expect([info.totalEpisodes, info.totalFrames]).toEqual([expected.totalEpisodes, expected.totalFrames]);
    expect(cameras.map(({ key, kind, height, width }) => ({ key, kind, height, width }))).toEqual(
      expected.cameras,
    );
    const episodes = await (await set).episodes(true);
    expect(episodes.map(({ index, length }) => [index, length])).toEqual(
      expected.episodes.map(({ episodeIndex, length }) => [episodeIndex, length]),
    );
    episodes.forEach(({ tasks }, e) =>
      expect([...tasks].sort()).toEqual(
        [...new Set(expected.episodes[e].tasks.map(({ task }) => task))].sort(),
      ),
    );
  });

  it.each(expected.episodes.map((episode) => [episode.episodeIndex, episode] as const))(
    "has the numbers of episode %i",
    async (index, wanted) => {
      const episode = await (await set).episode(index);
      const { length, dataFile, fromRow, firstIndex } = episode;
      expect({ length, dataFile, fromRow, firstIndex }).toEqual({
        length: wanted.length,
        dataFile: wanted.dataFile,
        fromRow: wanted.fromRow,
        firstIndex: wanted.firstIndex,
      });
      expect([...episode.timestamps]).toEqual(wanted.timestamps.map(Math.fround));
      for (const [key, rows] of vectorsOf(wanted)) {
        const { values, size } = await episode.vector(key);
        expect(size, key).toBe(rows[0].length);
        expect([...values], key).toEqual(rows.flat().map(Math.fround));
      }
      const tasks = Array.from({ length }, (_, frame) => episode.task(frame));
      wanted.tasks.forEach(({ fromFrame, task }, i) => {
        const end = wanted.tasks[i + 1]?.fromFrame ?? length;
        for (let frame = fromFrame; frame < end; frame++) expect(tasks[frame]).toBe(task);
      });
      for (const [camera, place] of Object.entries(wanted.videos ?? {})) {
        expect(episode.videos[camera].file).toBe(place.file);
        expect(episode.videos[camera].fromSeconds).toBe(place.fromSec);
      }
    },
  );

  it.each(expected.episodes.map((episode) => [episode.episodeIndex, episode] as const))(
    "has the pictures of episode %i",
    async (index, wanted) => {
      const { cameras } = await set;
      const episode = await (await set).episode(index);
      for (const [camera, frames] of Object.entries(wanted.frames)) {
        // From the last one on, so that order is not that of the file.
        const asked = frames.map(({ frame }) => frame).reverse();
        const seen: number[] = [];
        for await (const { index: frame, picture } of episode.frames(camera, asked)) {
          seen.push(frame);
          const { sha256I420, sha256Rgb, meanRgb: mean } = frames.find((other) => other.frame === frame)!;
          expect(hashOf(picture), `${camera}, frame ${frame}`).toBe(sha256I420 ?? sha256Rgb);
          meanRgb(picture).forEach((value, c) => expect(Math.abs(value - mean[c])).toBeLessThan(0.01));
        }
        expect(seen).toEqual(asked);
        // Every frame carries its own number.
        const all = Array.from({ length: episode.length }, (_, i) => i);
        for await (const { index: frame, picture } of episode.frames(camera, all)) {
          const number = cameras.findIndex(({ key }) => key === camera);
          expect(address(picture)).toEqual({ frame, episode: index, camera: number });
        }
      }
    },
  );
});
