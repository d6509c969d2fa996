/**
 * The decoded actions over the picture, where the model's actions say where on the table: x and y relative to the gripper
 * now, in a fraction of the table that the units name ("0.25 table widths from the gripper"). The table is seen from above;
 * robot states run from −1 to 1 across it.
 */
import { mat3, vec2 } from "wgpu-matrix";
import { themeColour } from "./dom.ts";
import type { EpisodeView, ModelView } from "./protocol.ts";

/** Columns of x, y and gripper in a chunk, and the length of a unit in tables. */
interface PathAxes {
  readonly x: number;
  readonly y: number;
  readonly gripper: number;
  readonly unit: number;
}

/** How the chunk maps to the table; undefined for actions that are no path on it. */
export function pathAxes({ actionNames, actionUnits }: ModelView): PathAxes | undefined {
  const [x, y] = ["x", "y"].map((name) => actionNames.indexOf(name));
  const unit = Number(/^([\d.]+) table/.exec(actionUnits[x] ?? "")?.[1]);
  if (x < 0 || y < 0 || !(unit > 0)) return undefined;
  return { x, y, gripper: actionNames.indexOf("gripper"), unit };
}

/** One path to draw. */
export interface Strand {
  readonly chunk: Float32Array;
  readonly look: "truth" | "earlier" | "seed" | "main";
}

const LOOKS = {
  truth: { colour: "truth", width: 2.5, alpha: 0.95, dash: [7, 6] },
  earlier: { colour: "model", width: 1.2, alpha: 0.42, dash: [] },
  seed: { colour: "model", width: 2, alpha: 0.75, dash: [] },
  main: { colour: "model", width: 4, alpha: 1, dash: [] },
} as const;

/**
 * Draws strands in their order.
 * @param progress 0 to 1: how far along its chunk the robot is, marked on the main strand
 */
export function drawStrands(
  canvas: HTMLCanvasElement,
  model: ModelView,
  episode: EpisodeView,
  strands: readonly Strand[],
  progress: number | undefined,
): void {
  const side = canvas.clientWidth;
  const pixels = Math.round(side * devicePixelRatio);
  if (canvas.width !== pixels) Object.assign(canvas, { width: pixels, height: pixels });
  const context = canvas.getContext("2d")!;
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, side, side);
  const axes = pathAxes(model);
  if (!axes) return;

  // actions → table in [−1, 1] → canvas: a table is 2 wide there
  const toCanvas = mat3.scale(mat3.translation([side / 2, side / 2]), [side / 2, side / 2]);
  const toTable = mat3.scale(mat3.translation(episode.jointState.subarray(0, 2)), [
    2 * axes.unit,
    2 * axes.unit,
  ]);
  const map = mat3.multiply(toCanvas, toTable);
  const width = model.actionNames.length;
  context.lineCap = context.lineJoin = "round";
  for (const { chunk, look } of strands) {
    const { colour, width: thickness, alpha, dash } = LOOKS[look];
    const points = [vec2.transformMat3([0, 0], map)];
    for (let t = 0; t < model.chunkLength; t++) {
      const at = t * width;
      points.push(vec2.transformMat3([chunk[at + axes.x], chunk[at + axes.y]], map));
    }
    context.globalAlpha = alpha;
    context.setLineDash([...dash]);
    const strokes = look === "earlier" ? [[themeColour(colour), thickness]] : outlined(colour, thickness);
    for (const [style, stroke] of strokes as [string, number][]) {
      context.strokeStyle = style;
      context.lineWidth = stroke;
      context.beginPath();
      for (const [x, y] of points) context.lineTo(x, y);
      context.stroke();
    }
    context.setLineDash([]);
    if (look !== "main") continue;
    if (axes.gripper >= 0) drawGrip(context, points, (t) => chunk[t * width + axes.gripper] > 0);
    if (progress !== undefined) drawRobot(context, along(points, progress));
  }
  context.globalAlpha = 1;
}

/** A light edge under a line keeps it visible on any picture. */
function outlined(colour: string, width: number): [string, number][] {
  return [
    ["rgb(255 255 255 / 85%)", width + 2.5],
    [themeColour(colour), width],
  ];
}

type Points = readonly ArrayLike<number>[];

/** Where the gripper closes a filled dot, where it opens again a ring. */
function drawGrip(context: CanvasRenderingContext2D, points: Points, closed: (t: number) => boolean): void {
  for (let t = 1; t < points.length - 1; t++) {
    if (closed(t) === closed(t - 1)) continue;
    context.beginPath();
    context.arc(points[t + 1][0], points[t + 1][1], 6.5, 0, 2 * Math.PI);
    context.fillStyle = closed(t) ? themeColour("model") : "#fff";
    context.fill();
    context.lineWidth = 2.5;
    context.strokeStyle = closed(t) ? "#fff" : themeColour("model");
    context.stroke();
  }
}

function drawRobot(context: CanvasRenderingContext2D, [x, y]: readonly [number, number]): void {
  context.beginPath();
  context.arc(x, y, 9, 0, 2 * Math.PI);
  context.lineWidth = 4.5;
  context.strokeStyle = "rgb(0 0 0 / 65%)";
  context.stroke();
  context.lineWidth = 2;
  context.strokeStyle = "#fff";
  context.stroke();
}

function along(points: Points, progress: number): [number, number] {
  const at = progress * (points.length - 1);
  const i = Math.min(Math.floor(at), points.length - 2);
  const mix = (axis: 0 | 1): number => points[i][axis] + (at - i) * (points[i + 1][axis] - points[i][axis]);
  return [mix(0), mix(1)];
}
