/** Scenes behind the toy's recordings: the places of what a window shows, found from its pictures. */
import { type Colour, type Point, render } from "../../src/worlds/table.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";

/** A window from the moment on that the policy acts. */
export interface Window {
  readonly prompt: string;
  readonly state: Float32Array;
  /** (24, 3) */
  readonly actions: Float32Array;
  /** 13 of them: now, and after every second action */
  readonly frames: readonly { readonly rgb: Uint8Array; readonly gripper: Point; readonly closed: boolean }[];
}

const [PIXELS, FRAMES, FIRST] = [32 * 32, 17, 4];

export async function windows(folder: string): Promise<Window[]> {
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
  return list.map(({ prompt }, e) => {
    const state = states.subarray(3 * e, 3 * e + 3);
    const chunk = actions.subarray(72 * e, 72 * e + 72);
    const frames = Array.from({ length: FRAMES - FIRST }, (_, f) => {
      const from = (e * FRAMES + FIRST + f) * 3 * PIXELS;
      const rgb = Uint8Array.from(
        { length: 3 * PIXELS },
        (_, i) => video[from + (i % 3) * PIXELS + Math.floor(i / 3)],
      );
      const [x, y, closed] = f === 0 ? [0, 0, state[2]] : chunk.subarray(3 * (2 * f - 1), 3 * 2 * f);
      const gripper: Point = [(state[0] + 1) / 2 + x / 4, (state[1] + 1) / 2 + y / 4];
      return { rgb, gripper, closed: closed > 0 };
    });
    return { prompt, state, actions: chunk, frames };
  });
}

/** Where the blocks were before any moved, and which was held first, at which frame. */
export interface Found {
  readonly red: Point;
  readonly blue: Point;
  readonly moved?: { readonly block: Colour; readonly from: number };
}

/** The picture of a frame as this world paints it. */
export function painted({ frames }: Window, { red, blue, moved }: Found, f: number): Uint8Array {
  const { gripper, closed } = frames[f];
  const places = { red, blue, gripper, closed };
  if (moved && f >= moved.from) {
    // A block that was let go stays where the gripper opened.
    places[moved.block] = gripper;
  }
  return render(places).rgb;
}

/** Least squares over the first picture, then moved until every byte fits where that is possible. */
export function find(window: Window, block: Colour | undefined): Found {
  const closing = window.frames.findIndex(({ closed }) => closed);
  const moved = block && closing >= 0 ? { block, from: closing } : undefined;
  const first = window.frames[0].rgb;
  let at = [...centre(first, "red"), ...centre(first, "blue")];
  const found = ([rx, ry, bx, by]: readonly number[]): Found => ({ red: [rx, ry], blue: [bx, by], moved });
  const still = window.frames.map((_, f) => f).filter((f) => f === 0 || (closing >= 0 && f < closing));
  const smooth = (values: readonly number[]): number[] =>
    still.flatMap((f) => exact(window, found(values), f));
  const wanted = still.flatMap((f) => Array.from(window.frames[f].rgb));
  for (let round = 0; round < 60; round++) {
    const now = smooth(at);
    const off = now.map((value, i) => wanted[i] - value);
    const beyond = off.map((d) => (Math.abs(d) > 0.5 ? d - Math.sign(d) * 0.49 : 0));
    const misfit = round < 12 ? off : beyond;
    if (beyond.every((d) => d === 0)) break;
    const slopes = at.map((_, k) => {
      const shifted = smooth(at.map((value, j) => (j === k ? value + 1e-6 : value)));
      return shifted.map((value, i) => (misfit[i] === 0 ? 0 : (value - now[i]) / 1e-6));
    });
    const step = leastSquares(slopes, misfit);
    at = at.map((value, k) => value + Math.max(-0.02, Math.min(0.02, step[k])));
  }
  return found(at);
}

/** Values before they are rounded, of the picture of a frame: bytes say too little of a slope. */
function exact({ frames }: Window, { red, blue, moved }: Found, f: number): number[] {
  const { gripper, closed } = frames[f];
  const place = (colour: Colour, p: Point) => (moved?.block === colour && f >= moved.from ? gripper : p);
  return shades(place("red", red), place("blue", blue), gripper, closed);
}

/** The painting of table-picture.ts once more, from the toy's own words, in float64 and unrounded. */
export function shades(red: Point, blue: Point, gripper: Point, closed: boolean): number[] {
  const image: number[] = [];
  for (let i = 0; i < 32; i++) {
    for (let j = 0; j < 32; j++) {
      const rgb = [0.12, 0.12, 0.15];
      const blend = (p: Point, r: number, colour: readonly number[]) => {
        const d = Math.sqrt(((j + 0.5) / 32 - p[0]) ** 2 + ((i + 0.5) / 32 - p[1]) ** 2);
        const a = 1 / (1 + Math.exp((d - r) * 32 * 1.6));
        for (let c = 0; c < 3; c++) rgb[c] += a * (colour[c] - rgb[c]);
      };
      blend(red, 0.085, [0.9, 0.2, 0.2]);
      blend(blue, 0.085, [0.2, 0.35, 0.95]);
      blend(gripper, 0.05, closed ? [0.98, 0.85, 0.2] : [0.95, 0.95, 0.95]);
      image.push(...rgb.map((value) => 255 * value));
    }
  }
  return image;
}

function centre(rgb: Uint8Array, colour: Colour): Point {
  let [sum, x, y] = [0, 0, 0];
  for (let i = 0; i < PIXELS; i++) {
    const [r, g, b] = rgb.subarray(3 * i, 3 * i + 3);
    const weight = Math.max(0, colour === "red" ? r - b - 60 - Math.max(0, g - 60) : b - r - 60);
    sum += weight;
    x += (weight * ((i % 32) + 0.5)) / 32;
    y += (weight * (Math.floor(i / 32) + 0.5)) / 32;
  }
  return [x / sum, y / sum];
}

/** x with Σ_k slopes[k]·x[k] ≈ target, lightly damped. */
function leastSquares(slopes: readonly number[][], target: readonly number[]): number[] {
  const n = slopes.length;
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((s, value, i) => s + value * b[i], 0);
  const rows = slopes.map((a, i) => [
    ...slopes.map((b, j) => dot(a, b) + (i === j ? 1e3 : 0)),
    dot(a, target),
  ]);
  for (let i = 0; i < n; i++) {
    for (let k = i + 1; k < n; k++) {
      const factor = rows[k][i] / rows[i][i];
      for (let j = i; j <= n; j++) rows[k][j] -= factor * rows[i][j];
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    let value = rows[i][n];
    for (let j = i + 1; j < n; j++) value -= rows[i][j] * x[j];
    x[i] = value / rows[i][i];
  }
  return x;
}
