/** What was recorded after the frames that the model sees. */
import { expect, test } from "vitest";
import { readModelDescription } from "../../../src/systems/mimic-video/description.ts";
import { EpisodeData } from "../../../src/systems/mimic-video/episodes.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";

test("the future of an episode begins where its context ends", async () => {
  const files = await openModelFolder("weights/toy");
  const description = readModelDescription(await files.json("model.json"), "toy");
  const own = await openModelFolder("weights/toy/episodes");
  const shape = { jointState: 3, chunk: 24, action: 3 };
  const episodes = await EpisodeData.open(own, "", description, shape);
  const video = await (await own.weights("episodes.safetensors")).read("video"); // (8, 17, 3, 32, 32)
  const frame = 3 * 32 * 32;
  try {
    for (const index of [0, 5]) {
      const future = await episodes.future(index);
      expect(future).toHaveLength(12 * frame);
      const from = index * 17 * frame + 5 * frame;
      expect(future).toEqual(video.subarray(from, from + 12 * frame));
      const { context } = await episodes.read(index);
      // (3, 5, 32, 32): the last frame of the context is the one before.
      expect(Math.round(255 * context[4 * 32 * 32])).toBe(video[index * 17 * frame + 4 * frame]);
    }
  } finally {
    await episodes.close();
  }
});
