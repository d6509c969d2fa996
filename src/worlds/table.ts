/**
 * The toy's world: a unit table seen from above, x to the right, y down, with a red and a blue block and a gripper. A prompt names a
 * block and a direction, or leaves one or both open; the block is to lie a fifth of the table further on.
 *
 * Time counts in frames, of which each is two actions. Positions are [x, y]; lengths are fractions of the table.
 */
import { UsageError } from "../errors.ts";
import { uniforms } from "../sampling/noise.ts";
import type { Observation, Picture, PolicyDescription } from "../systems/policy.ts";
import type { Scene, World } from "./world.ts";
import { CAMERA_SIZE, type Colour, COLOURS, type Point, render } from "./table-picture.ts";

export { type Colour, type Point, render } from "./table-picture.ts";

const DIRECTIONS = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] } as const;
export type Direction = keyof typeof DIRECTIONS;

/** What a prompt asks for; what is open is undefined. */
export interface Task {
  readonly block?: Colour;
  readonly direction?: Direction;
}

/** A scene before anything happens. */
export interface Layout {
  readonly red: Point;
  readonly blue: Point;
  readonly gripper: Point;
}

export const FRAMES_SEEN = 5;
const ACTIONS_PER_FRAME = 2;
/** T, a chunk of the expert's */
const POSITIONS = 24;
/** what 1 is in an action */
const ACTION_UNIT = 0.25;
/** how far a block is to be moved */
const PUSH = 0.2;
/** a frame, to the block and with it */
const SPEED = { approach: 0.07, drag: 0.04 };
/** from a block's centre, within which a gripper that closes holds it */
const GRASP = 0.07;
/** where the gripper may go */
const REACH = [0.02, 0.98] as const;
/** from its goal, within which a block has arrived; and how far the other may have moved */
const ARRIVED = 0.07;
const UNTOUCHED = 0.02;

const distance = (a: Point, b: Point): number => Math.hypot(a[0] - b[0], a[1] - b[1]);
const along = (from: Point, [dx, dy]: Point, length: number): Point => [
  from[0] + length * dx,
  from[1] + length * dy,
];

/** "push the red block left", "push a block somewhere" */
export const promptOf = ({ block, direction }: Task): string =>
  `push ${block ? `the ${block}` : "a"} block ${direction ?? "somewhere"}`;

/** As the toy's data call it. */
const ambiguityOf = ({ block, direction }: Task): string =>
  block ? (direction ? "unambiguous" : "any direction") : direction ? "any block" : "anything";

/**
 * What the expert does with a block: straight to it, grip, drag, let go.
 * @param time frames since the beginning
 */
export function expert(
  layout: Layout,
  block: Colour,
  direction: Direction,
  time: number,
): { gripper: Point; closed: boolean; block: Point } {
  const [from, to] = [layout.gripper, layout[block]];
  const far = distance(from, to);
  const arrival = far / SPEED.approach;
  if (time < arrival) {
    const part = time / arrival;
    const gripper: Point = [from[0] + part * (to[0] - from[0]), from[1] + part * (to[1] - from[1])];
    return { gripper, closed: false, block: to };
  }
  const dragged = Math.min(PUSH, (time - arrival) * SPEED.drag);
  const place = along(to, DIRECTIONS[direction], dragged);
  return { gripper: place, closed: dragged < PUSH, block: place };
}

/** (24, 3) what the expert does from a moment on, as the toy's data have it: relative to the gripper then. */
export function expertChunk(layout: Layout, block: Colour, direction: Direction, time = 0): Float32Array {
  const origin = expert(layout, block, direction, time).gripper;
  const chunk = new Float32Array(3 * POSITIONS);
  for (let i = 0; i < POSITIONS; i++) {
    const { gripper, closed } = expert(layout, block, direction, time + (i + 1) / ACTIONS_PER_FRAME);
    const moved = [0, 1].map((axis) => (gripper[axis] - origin[axis]) / ACTION_UNIT);
    chunk.set([...moved, closed ? 1 : -1], 3 * i);
  }
  return chunk;
}

/** What a trial on the table says of itself. */
export const TABLE_MEASURES = [
  { name: "success", title: "success", kind: "share" },
  { name: "gripped", title: "gripped a block", kind: "share" },
  { name: "right_block", title: "gripped the right block first", kind: "share" },
  { name: "right_direction", title: "first moved the right way", kind: "share" },
  { name: "final_distance", title: "final distance to the goal", kind: "amount", units: "table widths" },
] as const;

/** A trial on the table. */
export class TableScene implements Scene {
  readonly prompt: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly truth?: Float32Array;
  readonly #task: Task;
  readonly #start: Layout;
  readonly #blocks: Record<Colour, Point>;
  #gripper: Point;
  #closed = false;
  #held: Colour | undefined;
  readonly #frames: Picture[] = [];
  #executed = 0;
  /** the first block that was gripped */
  #gripped: Colour | undefined;
  /** which way a block went first that moved */
  #way: Direction | undefined;
  #over = false;

  /** @param truth what the expert would do */
  constructor(layout: Layout, task: Task, truth?: Float32Array) {
    this.prompt = promptOf(task);
    this.labels = { ambiguity: ambiguityOf(task) };
    this.truth = truth;
    this.#task = task;
    this.#start = layout;
    this.#blocks = { red: layout.red, blue: layout.blue };
    this.#gripper = layout.gripper;
    this.#photograph();
  }

  get over(): boolean {
    return this.#over;
  }

  /** Where everything is. */
  get places(): Layout & { readonly closed: boolean } {
    return { ...this.#blocks, gripper: this.#gripper, closed: this.#closed };
  }

  observe(): Observation {
    const [x, y] = this.#gripper;
    return {
      frames: { [CAMERA]: this.#frames.slice(-FRAMES_SEEN) },
      state: Float32Array.of(2 * x - 1, 2 * y - 1, this.#closed ? 1 : -1),
      prompt: this.prompt,
    };
  }

  /** The gripper jumps to each place; closing within reach of a block it holds the nearer one, which moves with it until it opens. */
  execute(actions: Float32Array): void {
    if (actions.length % 3 !== 0 || !actions.every(Number.isFinite))
      throw new UsageError(
        `${actions.length} numbers are no actions on the table: x, y and gripper of each are needed, all finite`,
      );
    const origin = this.#gripper;
    for (let i = 0; i < actions.length; i += 3) {
      const [x, y] = [0, 1].map((axis) =>
        Math.min(Math.max(origin[axis] + ACTION_UNIT * actions[i + axis], REACH[0]), REACH[1]),
      );
      this.#move([x, y], actions[i + 2] > 0);
      if (++this.#executed % ACTIONS_PER_FRAME === 0) this.#photograph();
    }
    this.#over = this.score().success === 1;
  }

  score(): Readonly<Record<(typeof TABLE_MEASURES)[number]["name"], number | null>> {
    const { block, direction } = this.#task;
    const wanted = block ? [block] : COLOURS;
    const ways = direction ? [direction] : (Object.keys(DIRECTIONS) as Direction[]);
    // What the prompt leaves open may be chosen: the nearest of all goals that fit it counts.
    const tries = wanted.flatMap((colour) =>
      ways.map((way) => {
        const goal = along(this.#start[colour], DIRECTIONS[way], PUSH);
        const others = COLOURS.filter((other) => other !== colour);
        return {
          left: distance(this.#blocks[colour], goal),
          alone: others.every((other) => distance(this.#blocks[other], this.#start[other]) < UNTOUCHED),
        };
      }),
    );
    return {
      success: tries.some(({ left, alone }) => left <= ARRIVED && alone) ? 1 : 0,
      gripped: this.#gripped ? 1 : 0,
      right_block: this.#gripped && wanted.includes(this.#gripped) ? 1 : 0,
      right_direction: direction ? (this.#way === direction ? 1 : 0) : null,
      final_distance: Math.min(...tries.map(({ left }) => left)),
    };
  }

  #move(to: Point, close: boolean): void {
    const moved: Point = [to[0] - this.#gripper[0], to[1] - this.#gripper[1]];
    this.#gripper = to;
    if (!close) this.#held = undefined;
    if (this.#held) {
      const [x, y] = this.#blocks[this.#held];
      this.#blocks[this.#held] = [x + moved[0], y + moved[1]];
    } else if (close && !this.#closed) {
      const far = (colour: Colour): number => distance(this.#blocks[colour], to);
      const nearer: Colour = far("red") <= far("blue") ? "red" : "blue";
      if (far(nearer) <= GRASP) this.#held = nearer;
      this.#gripped ??= this.#held;
    }
    this.#closed = close;
    for (const colour of COLOURS) {
      if (this.#way || distance(this.#blocks[colour], this.#start[colour]) < UNTOUCHED) continue;
      const [dx, dy] = [0, 1].map((axis) => this.#blocks[colour][axis] - this.#start[colour][axis]);
      this.#way = Math.abs(dx) >= Math.abs(dy) ? (dx < 0 ? "left" : "right") : dy < 0 ? "up" : "down";
    }
  }

  #photograph(): void {
    this.#frames.push(render(this.places));
    if (this.#frames.length > FRAMES_SEEN) this.#frames.shift();
  }
}

const CAMERA = "image";

/** What the toy's model.json says of its actions. */
const ACTIONS = {
  names: ["x", "y", "gripper"],
  units: ["0.25 table widths from the gripper", "0.25 table heights from the gripper", "-1 open, 1 closed"],
};

export const table: World = {
  name: "the toy's table",
  actionsPerQuery: 8,
  queries: 9,
  measures: TABLE_MEASURES,

  misfit({ cameras, state, actions }: PolicyDescription): string | undefined {
    const seen = cameras.map(({ name, size }) => `${name} ${size.join("×")}`).join(", ");
    const shown = `${CAMERA} ${CAMERA_SIZE}×${CAMERA_SIZE}`;
    if (seen !== shown) return `it shows the camera ${shown}, the policy looks at ${seen || "none"}`;
    if (state.length !== 3) return `its state has 3 values, the policy's ${state.length}`;
    const said = actions.names.map((name, i) => `${name} in ${actions.units[i]}`).join("; ");
    const meant = ACTIONS.names.map((name, i) => `${name} in ${ACTIONS.units[i]}`).join("; ");
    return said === meant ? undefined : `its actions are ${meant}, the policy's ${said}`;
  },

  scene(seed: number): Promise<Scene> {
    const uniform = uniforms("table", seed);
    const within = (low: number, high: number): Point => [
      low + (high - low) * uniform(),
      low + (high - low) * uniform(),
    ];
    let layout: Layout;
    do {
      layout = { red: within(0.22, 0.78), blue: within(0.22, 0.78), gripper: within(0.08, 0.92) };
    } while (
      distance(layout.red, layout.blue) <= 0.3 ||
      COLOURS.some((colour) => distance(layout.gripper, layout[colour]) <= 0.18)
    );
    const pick = <T>(list: readonly T[]): T => list[Math.floor(list.length * uniform())];
    const [block, direction] = [pick(COLOURS), pick(Object.keys(DIRECTIONS) as Direction[])];
    // About as often as in the toy's data: 44 of its 64 prompts leave nothing open.
    const open = uniform();
    const task: Task = {
      block: open < 0.2 ? undefined : block,
      direction: open >= 0.1 && open < 0.3 ? undefined : direction,
    };
    return Promise.resolve(new TableScene(layout, task, expertChunk(layout, block, direction)));
  },
};
