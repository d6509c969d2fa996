/** A data set on a Hub of this machine: pinned once, read by ranges, and how many bytes an episode of a hundred takes. */
import { mkdtemp, rm } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BufferSource,
  BufferTarget,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  Input,
  MP4,
  Mp4OutputFormat,
  Output,
} from "mediabunny";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { runInspect } from "../../src/commands/inspect.node.ts";
import { openLeRobot } from "../../src/data/lerobot/files.node.ts";
import { resolveData } from "../../src/data/lerobot/open.node.ts";
import { MockHub } from "../weights/mock-hub.ts";
import { EXPECTED, LEROBOT, vectorsOf } from "./expected.ts";
import { type MadeSet, madeFiles } from "./made-set.ts";

let hub: MockHub;
let home: string;

beforeAll(async () => {
  hub = await MockHub.start();
  home = await mkdtemp(join(tmpdir(), "lerobot-hub-"));
  Object.assign(process.env, { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_TOKEN: "hf_data" });
  for (const name of Object.keys(EXPECTED))
    hub.addFolder(`datasets/owner/${name}`, `${LEROBOT}/${name}`).tags = ["v2.1", "v3.0"];
});
afterAll(async () => {
  await hub.stop();
  await rm(home, { recursive: true, force: true });
});

describe.each(["v30-h264-files", "v21-h264", "v21-images"])("%s by its name", (name) => {
  it("gives the numbers and pictures of its last episode", async () => {
    const files = await resolveData(`owner/${name}`);
    expect([files.name, files.revision]).toEqual([
      `owner/${name}`,
      hub.repos.get(`datasets/owner/${name}`)!.commit,
    ]);
    const set = await openLeRobot(files);
    const wanted = EXPECTED[name].episodes.at(-1)!;
    const episode = await set.episode(wanted.episodeIndex);
    for (const [key, rows] of vectorsOf(wanted))
      expect([...(await episode.vector(key)).values]).toEqual(rows.flat().map(Math.fround));
    for await (const { picture } of episode.frames(set.cameras[0].key, [0]))
      expect(picture.width).toBe(set.cameras[0].width);
    await set.close();
  });
});

it("tags name a commit, and everything after it is asked of that commit", async () => {
  hub.requests.length = 0;
  const set = await openLeRobot(await resolveData("datasets/owner/v30-images@v3.0"));
  await set.episode(0);
  const paths = hub.requests.map(({ path }) => decodeURIComponent(path));
  expect(paths[0]).toBe("/api/datasets/owner/v30-images/revision/v3.0");
  const { commit } = hub.repos.get("datasets/owner/v30-images")!;
  for (const path of paths.slice(1)) expect(path).toContain(commit);
  expect(hub.requests[0].authorization).toBe("Bearer hf_data");
});

it("what is not there is said with its kind and name", async () => {
  await expect(resolveData("owner/nothing")).rejects.toThrow(
    /There is no local "owner\/nothing".*datasets\/owner\/nothing/,
  );
  await expect(resolveData("owner/v30-av1@v9")).rejects.toThrow("no such branch, tag or commit");
  await expect(resolveData("./nowhere")).rejects.toThrow("no such folder, and not owner/name[@revision]");
  await expect(resolveData("test/nowhere")).rejects.toThrow("no such folder");
});

it("inspect lists a set by its name", async () => {
  const lines: string[] = [];
  const write = vi
    .spyOn(process.stdout, "write")
    .mockImplementation((text) => (lines.push(String(text)), true));
  try {
    expect(await runInspect(["owner/v30-av1", "test/lerobot/v21-images"])).toBe(0);
  } finally {
    write.mockRestore();
  }
  const listed = lines.join("").split("\n");
  expect(listed[0]).toMatch(/^owner\/v30-av1: LeRobot data set v3\.0, revision [0-9a-f]{40}$/);
  for (const line of [
    "3 episodes, 71 frames, 17 to 31 frames long",
    "  observation.images.front  48×64  av1 (av01.0.00M.08)",
    "  observation.images.wrist  36×48  av1 (av01.0.00M.08)",
    "  action  float32 [7]  x, y, z, roll, pitch, yaw, gripper",
    "  2  青いブロックを押す 🤖 «ok»",
    "  observation.image  48×64  pictures in the tables",
    "robot not said, 10 frames a second",
  ])
    expect(listed).toContain(line);
  await expect(runInspect(["owner/nothing"])).rejects.toThrow(
    'There is no local "owner/nothing". owner/nothing',
  );
});

/** A video of `episodes` × `frames` pictures: packets of a recorded one, over and over. */
async function longVideo(episodes: number, frames: number, fps: number): Promise<Uint8Array> {
  const bytes = readFileSync(
    `${LEROBOT}/v21-h264/videos/chunk-000/observation.images.front/episode_000000.mp4`,
  );
  const input = new Input({ formats: [MP4], source: new BufferSource(bytes) });
  const track = (await input.getPrimaryVideoTrack())!;
  const packets = [];
  for await (const packet of new EncodedPacketSink(track).packets()) packets.push(packet);
  // Whole groups of pictures, so that every episode begins with a key frame.
  expect(packets.slice(0, frames).every(({ type }, i) => i % 2 === 1 || type === "key")).toBe(true);
  const target = new BufferTarget();
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: "in-memory" }), target });
  const source = new EncodedVideoPacketSource("avc");
  output.addVideoTrack(source, { frameRate: fps });
  await output.start();
  const meta = { decoderConfig: (await track.getDecoderConfig())! };
  for (let e = 0; e < episodes; e++) {
    for (let f = 0; f < frames; f++)
      await source.add(packets[f].clone({ timestamp: (e * frames + f) / fps, duration: 1 / fps }), meta);
  }
  await output.finalize();
  return new Uint8Array(target.buffer!);
}

describe.each([2, 3] as const)("a hundred episodes in format %i", (format) => {
  const [episodes, frames, fps, key] = [100, 40, 20, "observation.images.front"];
  const name = `datasets/made/hundred-${format}`;
  let files: Map<string, Uint8Array>;

  beforeAll(async () => {
    const video = await longVideo(format === 3 ? episodes : 1, frames, fps);
    const path = (e: number): string => `videos/${key}/chunk-000/file-${String(e).padStart(3, "0")}.mp4`;
    const set: MadeSet = {
      ...{ name: "hundred", format, fps },
      episodes: Array.from({ length: episodes }, (_, index) => ({
        index,
        length: frames,
        task: () => index % 7,
      })),
      tasks: Array.from({ length: 7 }, (_, i) => `do thing ${i}`),
      vectors: {
        "observation.state": {
          size: 8,
          at: (e, f) => Array.from({ length: 8 }, (_, d) => Math.sin(e + f + d)),
        },
        action: { size: 7, at: (e, f) => Array.from({ length: 7 }, (_, d) => Math.cos(e * f + d)) },
      },
      videos: [{ key, place: (e) => ({ chunk: 0, file: 0, from: (e * frames) / fps }) }],
      ...(format === 2 && {
        videoPath: "videos/{video_key}/chunk-{episode_chunk:03d}/file-{episode_index:03d}.mp4",
      }),
      files: new Map(
        format === 3 ? [[path(0), video]] : Array.from({ length: episodes }, (_, e) => [path(e), video]),
      ),
    };
    files = madeFiles(set);
    hub.add(
      name,
      new Map([...files].map(([path, bytes]) => [path, { bytes, lfs: /mp4|parquet/.test(path) }])),
    );
  });

  it.each([0, 3, 50, 99])("episode %i takes less than twice its share and 128 kB", async (index) => {
    let transferred = 0;
    hub.onBytes = (count) => (transferred += count);
    const set = await openLeRobot(await resolveData(`made/hundred-${format}`));
    const episode = await set.episode(index);
    expect((await episode.vector("observation.state")).values[3]).toBe(Math.fround(Math.sin(index + 3)));
    await episode.vector("action");
    let seen = 0;
    for await (const { picture } of episode.frames(
      key,
      Array.from({ length: frames }, (_, i) => i),
    ))
      seen += picture.width === 64 ? 1 : 0;
    expect(seen).toBe(frames);
    await set.close();
    hub.onBytes = () => {};
    const recorded = [...files].filter(([path]) => /^(data|videos)\//.test(path));
    const share = recorded.reduce((sum, [, bytes]) => sum + bytes.length, 0) / episodes;
    expect(transferred).toBeLessThan(2 * share + 128_000);
  });
});
