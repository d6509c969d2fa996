/**
 * From un-normalised actions to what a robot's controller takes, in float64, as the release's two evaluation clients do.
 *
 * An action has D = 10 dimensions: position (3), the first two rows of a rotation matrix (6), gripper (1). Rotations are matrices that
 * turn column vectors; rotation vectors point along the axis and are as long as the angle in radians.
 */
import { mat3d, quatd, vec3d } from "wgpu-matrix";
import { UsageError } from "../../errors.ts";
import { DIMENSIONS } from "./statistics.ts";

type Vec3 = Float64Array;
/** as wgpu-matrix has it: three columns, each padded to four numbers */
type Mat3 = Float64Array;

/** A place and an orientation in one frame of reference. */
export interface Pose {
  /** metres */
  readonly position: Vec3;
  readonly rotation: Mat3;
}

/**
 * The pose in 10 numbers. The two rows need not be of unit length or at right angles: they are made so in turn (Gram–Schmidt), the
 * third is their cross product.
 */
export function poseOf(values: ArrayLike<number>): Pose {
  const at = (i: number): Vec3 => vec3d.create(values[i], values[i + 1], values[i + 2]);
  const unit = (v: Vec3): Vec3 => vec3d.scale(v, 1 / (vec3d.length(v) + 1e-9));
  const r1 = unit(at(3));
  const second = at(6);
  const r2 = unit(vec3d.addScaled(second, r1, -vec3d.dot(second, r1)));
  const r3 = vec3d.cross(r1, r2);
  const rows = mat3d.create(...r1, ...r2, ...r3);
  return { position: at(0), rotation: mat3d.transpose(rows) };
}

/** The first two rows of a rotation, row-major, as states and actions hold it. */
export function rotationRows(quaternion: Quaternion): number[] {
  const { w, x, y, z } = quaternion;
  const [m00, m10, , , m01, m11, , , m02, m12] = mat3d.fromQuat(quatd.normalize(quatd.create(x, y, z, w)));
  return [m00, m01, m02, m10, m11, m12];
}

/** By name, because LIBERO writes (x, y, z, w) and SIMPLER (w, x, y, z). */
export interface Quaternion {
  readonly w: number;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/**
 * Axis times angle in [0, π], of the rotation nearest to the matrix: those of `poseOf` are off by 1e-9, and one step of Newton's
 * iteration for the polar factor squares that.
 */
export function rotationVector(matrix: Mat3): Vec3 {
  const nearest = mat3d.add(matrix, mat3d.transpose(mat3d.inverse(matrix)));
  const q = quatd.normalize(quatd.fromMat(mat3d.mulScalar(nearest, 0.5)));
  const half = vec3d.create(q[0], q[1], q[2]);
  const sine = vec3d.length(half);
  // q and −q turn the same way; the one with w ≥ 0 turns by at most π.
  const sign = q[3] < 0 ? -1 : 1;
  const angle = 2 * Math.atan2(sine, sign * q[3]);
  return vec3d.scale(half, sine > 0 ? (sign * angle) / sine : 2 * sign);
}

function rotationOf(vector: Vec3): Mat3 {
  const angle = vec3d.length(vector);
  return angle > 0
    ? mat3d.fromQuat(quatd.fromAxisAngle(vec3d.scale(vector, 1 / angle), angle))
    : mat3d.identity();
}

const apply = (m: Mat3, v: Vec3): Vec3 => vec3d.transformMat3(v, m);

function checkChunk(actions: ArrayLike<number>): number {
  if (actions.length === 0 || actions.length % DIMENSIONS !== 0) {
    throw new UsageError(`${actions.length} numbers are not actions of ${DIMENSIONS} dimensions.`);
  }
  return actions.length / DIMENSIONS;
}

/**
 * LIBERO: (T, 10) → (T, 7) of the environment: motion (3), rotation vector (3), gripper −1 open or +1 closed. The policy's actions are the
 * environment's own per-step deltas, so nothing is scaled.
 * @throws UsageError unless there are whole actions
 */
export function liberoActions(actions: ArrayLike<number>): Float64Array {
  const out = new Float64Array(checkChunk(actions) * 7);
  for (let t = 0; t < out.length / 7; t++) {
    const values = Array.from({ length: DIMENSIONS }, (_, d) => actions[t * DIMENSIONS + d]);
    const { position, rotation } = poseOf(values);
    out.set([...position, ...rotationVector(rotation), Math.sign(values[9])], t * 7);
  }
  return out;
}

/** What a SIMPLER environment takes. */
export interface BridgeCommand {
  /** metres */
  readonly worldVector: Vec3;
  /** axis times angle, in right angles; at most one long */
  readonly rotationAxisAngle: Vec3;
  /** −1 to 1 where the policy says 0 to 1; not thresholded */
  readonly gripper: number;
}

/**
 * Bridge: the poses of a chunk are relative to the robot's pose when it was asked for; a command moves from the present pose towards the
 * pose of its step. One controller for one episode.
 */
export class BridgeController {
  #targets: { readonly pose: Pose; readonly gripper: number }[] = [];
  #next = 0;
  /** where the last command meant to be */
  #lastTarget: Vec3 | undefined;

  /**
   * Takes a chunk (T, 10) and the un-normalised state (10) it was asked for with.
   * @throws UsageError unless there are whole actions
   */
  plan(state: ArrayLike<number>, actions: ArrayLike<number>): void {
    const origin = poseOf(state);
    this.#targets = Array.from({ length: checkChunk(actions) }, (_, t) => {
      const values = Array.from({ length: DIMENSIONS }, (_, d) => actions[t * DIMENSIONS + d]);
      const relative = poseOf(values);
      const pose = {
        position: vec3d.add(origin.position, apply(origin.rotation, relative.position)),
        rotation: mat3d.multiply(origin.rotation, relative.rotation),
      };
      return { pose, gripper: values[9] };
    });
    this.#next = 0;
  }

  /** (T) poses of the plan in the robot's base frame */
  get poses(): readonly Pose[] {
    return this.#targets.map(({ pose }) => pose);
  }

  /**
   * The command of the next step, from where the end effector is now.
   * @throws UsageError when the plan is used up
   */
  step(position: ArrayLike<number>, orientation: Quaternion): BridgeCommand {
    if (this.#next >= this.#targets.length) {
      throw new UsageError(`All ${this.#targets.length} actions of the plan are done; plan again.`);
    }
    const { pose, gripper } = this.#targets[this.#next++];
    const here = vec3d.create(position[0], position[1], position[2]);
    const { w, x, y, z } = orientation;
    const turned = mat3d.fromQuat(quatd.normalize(quatd.create(x, y, z, w)));
    const needed = rotationVector(mat3d.multiply(pose.rotation, mat3d.transpose(turned)));
    const u = vec3d.scale(needed, 2 / Math.PI);
    const length = vec3d.length(u);
    const rotationAxisAngle = length > 1 ? vec3d.scale(u, 1 / length) : u;
    const applied = rotationOf(vec3d.scale(rotationAxisAngle, Math.PI / 2));
    const last = this.#lastTarget ?? here;
    // The environment turns its own target about the effector: what it will do on its own is taken off.
    const drift = vec3d.subtract(apply(applied, here), here);
    const worldVector = vec3d.add(vec3d.subtract(pose.position, apply(applied, last)), drift);
    this.#lastTarget = pose.position;
    return { worldVector, rotationAxisAngle, gripper: 2 * gripper - 1 };
  }

  /** Forgets plan and target, for another episode. */
  reset(): void {
    this.#targets = [];
    this.#next = 0;
    this.#lastTarget = undefined;
  }
}
