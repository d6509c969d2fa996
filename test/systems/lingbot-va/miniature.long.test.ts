/** Every run of the reference: its episodes, seeds and `video_exec_step`s, 44 steps each with the policy's own actions fed back. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { relativeError } from "../../support/numbers.ts";
import { bound, EXECS, Miniature } from "./miniature.ts";

let mini: Miniature;

beforeAll(async () => {
  mini = await Miniature.open();
}, 120_000);

afterAll(() => mini.close());

const runs = [0, 1].flatMap((episode) =>
  [0, 1].flatMap((seed) => EXECS.map((exec) => ({ episode, seed, exec }))),
);

it.each(runs)("episode $episode, seed $seed, video_exec_step $exec", async (run) => {
  expect(relativeError(await mini.act(run), await mini.reacted(run))).toBeLessThan(bound("actions"));
});
