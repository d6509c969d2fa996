/**
 * How a data set's vectors become what the release takes: a state and actions of D = 10, position (3), the first two rows of a rotation (6),
 * gripper (1). Conventions differ and a vector does not say which it follows, so each is named: by the sets that the release was
 * trained on, or by a mapping file.
 *
 *     bridge   actions are poses, T(now)⁻¹ · T(now + k) for k = 1 … T, made of the states; the gripper is the action's
 *     libero   actions are the environment's own: motion, rotation, gripper of each step
 */
import { quatd, vec3d } from "wgpu-matrix";
import type { Vector } from "../../data/lerobot/info.ts";
import { FormatError, UsageError } from "../../errors.ts";
import { ConfigReader } from "../../networks/config.ts";
import { rotationRows } from "./robot-actions.ts";
import { DIMENSIONS, type Family } from "./statistics.ts";

/** How three to six numbers say a rotation; angles in radians, roll, pitch and yaw about fixed axes (Rz·Ry·Rx). */
const CONVENTIONS = {
  "roll-pitch-yaw": 3,
  "axis-angle": 3,
  "quaternion-xyzw": 4,
  "quaternion-wxyz": 4,
  rows: 6,
} as const;

type Convention = keyof typeof CONVENTIONS;

interface Rotation {
  /** indices into the vector */
  readonly at: readonly number[];
  readonly as: Convention;
}

interface Gripper {
  readonly at: number;
  /** gripper = (value − offset) · scale */
  readonly scale: number;
  readonly offset: number;
}

/** Where a pose, or a motion, stands in a vector. */
interface Fields {
  readonly position: readonly number[];
  readonly rotation: Rotation;
  readonly gripper: Gripper;
}

export interface Embodiment {
  readonly name: string;
  readonly family: Family;
  /** actions a second */
  readonly rate: number;
  /** whether pictures are turned by half a circle */
  readonly turn: boolean;
  readonly state: Fields;
  /** of bridge only the gripper is used */
  readonly action: Fields;
}

/** Actions a second of what the release was trained on. */
const RATES: Readonly<Record<Family, number>> = { bridge: 5, libero: 20 };

/** A rotation that is off by more is none: |R·Rᵀ − 1|. */
const TOLERANCE = 1e-4;

const pose = (as: Convention, gripper: number): Fields => ({
  position: [0, 1, 2],
  rotation: { at: [3, 4, 5], as },
  gripper: { at: gripper, scale: 1, offset: 0 },
});

/**
 * @param asked a family's name, what a mapping file says, or nothing: the model's own family, where the names of the numbers confirm it
 * @throws UsageError when it is of another family than the model, or a vector is ambiguous; FormatError for a malformed mapping
 */
export function embodimentOf(asked: unknown, family: Family, state: Vector, action: Vector): Embodiment {
  const found =
    asked === undefined || typeof asked === "string"
      ? usual(asked, family, state, action)
      : mapped(asked, state, action);
  if (found.family === family) return found;
  throw new UsageError(
    `--embodiment ${found.name} is of the family "${found.family}"; the model's statistics are of "${family}". ` +
      "Choose the embodiment, or the --policy, that belongs to the data.",
  );
}

/** The layouts of the usual copies: x, y, z, roll, pitch, yaw, (pad), gripper; and x, y, z, axis-angle, two fingers. */
function usual(asked: string | undefined, family: Family, state: Vector, action: Vector): Embodiment {
  const name = asked ?? family;
  if (name !== "bridge" && name !== "libero") {
    throw new UsageError(`--embodiment ${name} is not known; use bridge, libero, or a mapping file (JSON).`);
  }
  const sizes = name === "bridge" ? [7, 8] : [8];
  const as = name === "bridge" ? "roll-pitch-yaw" : "axis-angle";
  const refuse = (vector: Vector, why: string): never => {
    throw new UsageError(
      `${vector.key} (${vector.size}: ${vector.names?.join(", ") ?? "without names"}) ${why}. --embodiment FILE says what its numbers mean.`,
    );
  };
  if (!sizes.includes(state.size))
    refuse(
      state,
      `is no state of ${name}, which has ${sizes.join(" or ")} numbers: which they are is ambiguous`,
    );
  if (action.size !== 7)
    refuse(action, `is no action of ${name}, which has 7 numbers: which they are is ambiguous`);
  const said = conventionOfNames(state.names);
  if (said !== undefined && said !== as) refuse(state, `is named as ${said}, and ${name} means ${as}`);
  if (asked === undefined && said === undefined)
    refuse(state, `does not say how it means rotations; if it is ${name}'s ${as}, say --embodiment ${name}`);
  return {
    ...{ name, family: name, rate: RATES[name], turn: false },
    state: pose(as, name === "bridge" ? state.size - 1 : 6),
    action: pose(as, 6),
  };
}

/** What names say of the three numbers behind the position, if they say anything. */
function conventionOfNames(names: readonly string[] | undefined): string | undefined {
  const words = (names ?? []).join(" ").toLowerCase();
  if (/\b(roll|pitch|yaw)\b|_(roll|pitch|yaw)\b|\beuler/.test(words)) return "roll-pitch-yaw";
  if (/axis_?angle|rotvec|rot_vec/.test(words)) return "axis-angle";
  return /quat|\bq[xyzw]\b/.test(words) ? "a quaternion" : undefined;
}

/** A mapping file: {"family", "rate"?, "turn"?, "state": {…}, "action": {…}}. */
function mapped(json: unknown, state: Vector, action: Vector): Embodiment {
  const file = new ConfigReader(json, "--embodiment");
  file.known("name", "family", "rate", "turn", "state", "action", "note");
  file.only("family", "bridge", "libero");
  const family = file.text("family") as Family;
  const { state: s, action: a } = json as { state?: unknown; action?: unknown };
  const made: Embodiment = {
    ...{ name: file.text("name", "of the file"), family },
    ...{ rate: file.number("rate", RATES[family]), turn: file.flag("turn", false) },
    state: fields(s, state, "state", true),
    action: fields(a, action, "action", family === "libero"),
  };
  return made;
}

function fields(json: unknown, vector: Vector, which: string, posed: boolean): Fields {
  const where = `--embodiment, ${which}`;
  const read = new ConfigReader(json, where);
  read.known("position", "rotation", "gripper", "note");
  const indices = (list: readonly number[], what: string): readonly number[] => {
    const bad = list.find((i) => !Number.isInteger(i) || i < 0 || i >= vector.size);
    if (bad === undefined) return list;
    throw new FormatError(
      `${where}: ${what} names number ${bad} of ${vector.key}, which has ${vector.size}, from 0.`,
    );
  };
  const part = (key: string): Record<string, unknown> =>
    (json as Record<string, Record<string, unknown>>)[key];
  const gripper = new ConfigReader(part("gripper"), `${where}, gripper`);
  gripper.known("at", "scale", "offset");
  const [at] = indices([gripper.number("at")], "gripper");
  const hand = { at, scale: gripper.number("scale", 1), offset: gripper.number("offset", 0) };
  if (!posed) return { position: [], rotation: { at: [], as: "axis-angle" }, gripper: hand };
  const rotation = new ConfigReader(part("rotation"), `${where}, rotation`);
  rotation.known("at", "as");
  rotation.only("as", ...Object.keys(CONVENTIONS));
  const as = rotation.text("as") as Convention;
  return {
    position: indices(read.numbers("position", 3), "position"),
    rotation: { at: indices(rotation.numbers("at", CONVENTIONS[as]), "rotation"), as },
    gripper: hand,
  };
}

/** A pose of a vector. */
interface Seen {
  readonly position: Float64Array;
  /** (x, y, z, w) of unit length */
  readonly quaternion: Float64Array;
  readonly gripper: number;
}

function seen(row: Float64Array, { position, rotation, gripper }: Fields, where: string): Seen {
  const [x = 0, y = 0, z = 0] = position.map((i) => row[i]);
  return {
    position: vec3d.create(x, y, z),
    quaternion: quaternionOf(
      rotation.at.map((i) => row[i]),
      rotation.as,
      where,
    ),
    gripper: (row[gripper.at] - gripper.offset) * gripper.scale,
  };
}

function quaternionOf(values: readonly number[], as: Convention, where: string): Float64Array {
  const off = (by: number): never => {
    throw new FormatError(
      `${where}: ${values.map((v) => v.toPrecision(4)).join(", ")} are no rotation as ${as}: off by ${by.toPrecision(2)}, ` +
        `more than ${TOLERANCE}. Another convention, or other numbers, are meant: --embodiment FILE says which.`,
    );
  };
  switch (as) {
    case "roll-pitch-yaw": {
      const [roll, pitch, yaw] = values;
      const about = (axis: number[], angle: number) => quatd.fromAxisAngle(axis, angle);
      return quatd.multiply(
        quatd.multiply(about([0, 0, 1], yaw), about([0, 1, 0], pitch)),
        about([1, 0, 0], roll),
      );
    }
    case "axis-angle": {
      const angle = Math.hypot(...values);
      return angle > 0
        ? quatd.fromAxisAngle(
            values.map((v) => v / angle),
            angle,
          )
        : quatd.identity();
    }
    case "quaternion-xyzw":
    case "quaternion-wxyz": {
      const [x, y, z, w] = as === "quaternion-xyzw" ? values : [...values.slice(1), values[0]];
      const error = Math.abs(x * x + y * y + z * z + w * w - 1);
      if (!(error < TOLERANCE)) off(error);
      return quatd.normalize(quatd.create(x, y, z, w));
    }
    case "rows": {
      const [a, b] = [values.slice(0, 3), values.slice(3)];
      const dot = (p: readonly number[], q: readonly number[]): number =>
        p.reduce((sum, v, i) => sum + v * q[i], 0);
      const error = Math.max(Math.abs(dot(a, a) - 1), Math.abs(dot(b, b) - 1), Math.abs(dot(a, b)));
      if (!(error < TOLERANCE)) off(error);
      const c = vec3d.cross(a, b);
      // Columns, each padded to four, of the matrix whose rows are a, b, c.
      const columns = [0, 1, 2].flatMap((i) => [a[i], b[i], c[i], 0]);
      return quatd.normalize(quatd.fromMat(Float64Array.from(columns)));
    }
  }
}

function tenOf({ position, quaternion: [x, y, z, w], gripper }: Seen, out: Float32Array, at: number): void {
  out.set([...position, ...rotationRows({ x, y, z, w }), gripper], at);
}

/** (1, D) of a state. */
export function stateOf(row: Float64Array, { state, name }: Embodiment): Float32Array<ArrayBuffer> {
  const out = new Float32Array(DIMENSIONS);
  tenOf(seen(row, state, `state of ${name}`), out, 0);
  return out;
}

/**
 * (T, D) of a chunk.
 * @param states of bridge (T + 1, J), now and behind each action; of libero not looked at
 * @param actions (T, A)
 */
export function actionsOf(
  states: { readonly size: number; readonly values: Float64Array },
  actions: { readonly size: number; readonly values: Float64Array },
  embodiment: Embodiment,
): Float32Array<ArrayBuffer> {
  const { family, state, action, name } = embodiment;
  const T = actions.values.length / actions.size;
  const row = ({ values, size }: typeof states, i: number): Float64Array =>
    values.subarray(i * size, (i + 1) * size);
  const out = new Float32Array(T * DIMENSIONS);
  const now = family === "bridge" ? seen(row(states, 0), state, `state of ${name}`) : undefined;
  for (let t = 0; t < T; t++) {
    const taken = row(actions, t);
    if (!now) {
      tenOf(seen(taken, action, `action of ${name}`), out, t * DIMENSIONS);
      continue;
    }
    const then = seen(row(states, t + 1), state, `state of ${name}`);
    const back = quatd.conjugate(now.quaternion);
    const { at, scale, offset } = action.gripper;
    tenOf(
      {
        position: vec3d.transformQuat(vec3d.subtract(then.position, now.position), back),
        quaternion: quatd.multiply(back, then.quaternion),
        gripper: (taken[at] - offset) * scale,
      },
      out,
      t * DIMENSIONS,
    );
  }
  return out;
}
