/**
 * The toy's recordings, and where the blocks of some of them were. The places were found from the pictures once, by least squares and
 * then by projection onto the half-planes that each byte's rounding allows, and stand here as found; one picture
 * alone tells a place to about 4e-5 of the table.
 */
import type { Colour, Layout, Point } from "../../src/worlds/table.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";

/** A window from the moment on that the policy acts. */
export interface Window {
  readonly prompt: string;
  /** (3) */
  readonly state: Float32Array;
  /** (24, 3) */
  readonly actions: Float32Array;
  /** 13 of them: now, and after every second action */
  readonly frames: readonly { readonly rgb: Uint8Array; readonly gripper: Point; readonly closed: boolean }[];
  /** where everything is now */
  readonly layout: Layout;
  /** the block that the expert moves */
  readonly moved: Colour;
}

const PLACES: readonly (readonly [
  folder: string,
  episode: number,
  moved: Colour,
  red: Point,
  blue: Point,
])[] = [
  ["episodes", 2, "red", [0.3490728022, 0.652272207], [0.6192752892, 0.4008480541]],
  ["episodes", 7, "red", [0.6561346863, 0.523927583], [0.4361998255, 0.2607124808]],
  ["more", 2, "red", [0.7721628308, 0.7340148498], [0.3429409813, 0.3745133327]],
  ["more", 4, "red", [0.7680787571, 0.5107626307], [0.4582570833, 0.7057526325]],
  ["more", 6, "red", [0.5257821341, 0.5740962138], [0.2972290412, 0.3276826477]],
  ["more", 7, "red", [0.5879459092, 0.3220626819], [0.3518035103, 0.7621207972]],
  ["more", 8, "red", [0.3151505335, 0.2898523514], [0.7407260039, 0.377510269]],
  ["more", 9, "red", [0.4159059961, 0.2686717374], [0.6382555297, 0.6513428655]],
  ["more", 13, "blue", [0.7139631381, 0.3068043896], [0.3501767264, 0.2315614932]],
  ["more", 14, "red", [0.6363241056, 0.7617187281], [0.4108578214, 0.5174511119]],
  ["more", 16, "red", [0.6633264574, 0.2796383205], [0.3288293893, 0.4467844282]],
];

const [PIXELS, FRAMES, NOW] = [32 * 32, 17, 4];

export async function recordedWindows(): Promise<Window[]> {
  const folders = new Map<string, Awaited<ReturnType<typeof read>>>();
  for (const [folder] of PLACES)
    if (!folders.has(folder)) folders.set(folder, await read(`weights/toy/${folder}`));
  return PLACES.map(([folder, e, moved, red, blue]) => {
    const { prompts, video, actions, states } = folders.get(folder)!;
    const state = states.subarray(3 * e, 3 * e + 3);
    const chunk = actions.subarray(72 * e, 72 * e + 72);
    const gripper: Point = [(state[0] + 1) / 2, (state[1] + 1) / 2];
    const frames = Array.from({ length: FRAMES - NOW }, (_, f) => {
      const from = (e * FRAMES + NOW + f) * 3 * PIXELS;
      const rgb = Uint8Array.from(
        { length: 3 * PIXELS },
        (_, i) => video[from + (i % 3) * PIXELS + Math.floor(i / 3)],
      );
      const [x, y, closed] = f === 0 ? [0, 0, state[2]] : chunk.subarray(3 * (2 * f - 1), 6 * f);
      return { rgb, gripper: [gripper[0] + x / 4, gripper[1] + y / 4] as const, closed: closed > 0 };
    });
    return { prompt: prompts[e], state, actions: chunk, frames, moved, layout: { red, blue, gripper } };
  });
}

async function read(folder: string) {
  const files = await openModelFolder(folder);
  const list = (await files.json("episodes.json")) as { prompt: string }[];
  const tensors = await files.weights("episodes.safetensors");
  const floats = async (name: string) => new Float32Array(Uint8Array.from(await tensors.read(name)).buffer);
  const [video, actions, states] = [
    await tensors.read("video"),
    await floats("actions"),
    await floats("joint_state"),
  ];
  await tensors.close();
  return { prompts: list.map(({ prompt }) => prompt), video, actions, states };
}
