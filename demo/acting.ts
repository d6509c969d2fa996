/** In the worker: the model drives its robot in the toy's world, reading its actions after the chosen number of video steps. */
import { UsageError } from "../src/errors.ts";
import type { MimicVideo } from "../src/systems/mimic-video/model.ts";
import { Policies } from "../src/systems/mimic-video/policy.ts";
import type { Picture } from "../src/systems/policy.ts";
import { table } from "../src/worlds/table.ts";
import type { ActView, ActWish } from "./protocol.ts";

/** Every chunk that was carried out, as pictures; equal wishes are equal films. */
export async function* acting(
  model: MimicVideo,
  { stop, scene: number }: ActWish,
  signal: AbortSignal,
): AsyncGenerator<ActView> {
  const policy = new Policies(model).policy();
  try {
    const { cameras, actions } = policy.description;
    const misfit = table.misfit(policy.description);
    if (misfit !== undefined)
      throw new UsageError(`${policy.description.name} cannot act on ${table.name}: ${misfit}`);
    const scene = await table.scene(number);
    const camera = cameras[0].name;
    const view = (frames: number, query: number): ActView => {
      const pictures = scene.observe().frames[camera].slice(-frames);
      const { success, final_distance: distance } = scene.score();
      const size = [pictures[0].height, pictures[0].width] as const;
      return {
        ...{ prompt: scene.prompt, frames: rgba(pictures), size, query, queries: table.queries },
        ...{ success: success === 1, distance: distance! },
      };
    };
    yield view(1, 0);
    for (let query = 1; query <= table.queries && !scene.over; query++) {
      const answer = await policy.act(scene.observe(), { stop, seed: query, signal });
      scene.execute(answer.actions.subarray(0, table.actionsPerQuery * actions.names.length));
      // A picture lasts two actions.
      yield view(table.actionsPerQuery / 2, query);
    }
  } finally {
    policy.dispose();
  }
}

/** Pictures one after another, with an opaque fourth channel. */
function rgba(pictures: readonly Picture[]): Uint8ClampedArray<ArrayBuffer> {
  const pixels = pictures[0].width * pictures[0].height;
  const out = new Uint8ClampedArray(4 * pixels * pictures.length).fill(255);
  pictures.forEach(({ rgb }, f) => {
    for (let i = 0; i < pixels; i++) out.set(rgb.subarray(3 * i, 3 * i + 3), 4 * (f * pixels + i));
  });
  return out;
}
