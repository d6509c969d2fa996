/**
 * The two ends of an action step. Times come as a table of distinct times; rowOf says which belongs to which token of
 * the packed sequence, whose first `conditions` tokens are not actions.
 *
 *   toFlow:   v[b, i, a] = (pred[b, conditions + i, a] − x[b, i, a]) / max(1 − t, ε)    a predicted clean action
 *             v[b, i, a] = pred[b, conditions + i, a]                                    a predicted flow
 *   advance:  oneJump[k] = x + (1 − t)·v;   x ← x + δ·v except in the first `held` tokens;   iterates[k + 1] = x
 *
 * One invocation an element.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { LIGHT_INVOCATIONS } from "./variants.ts";

/** Distinct times and the row of each token. */
export interface TokenTimes {
  /** (R) */
  readonly times: Tensor;
  /** (B·N) u32 */
  readonly rowOf: Tensor;
}

const TIME_OF = /* wgsl */ `
fn timeOf(element: u32) -> f32 {
  let token = element / p.width;
  return times[rowOf[token / p.actions * p.tokens + p.tokens - p.actions + token % p.actions]];
}
`;

const TO_FLOW = /* wgsl */ `
struct Params { size: u32, tokens: u32, actions: u32, width: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pred: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> times: array<f32>;
@group(0) @binding(4) var<storage, read> rowOf: array<u32>;
@group(0) @binding(5) var<storage, read_write> flow: array<f32>;
override WORKGROUP: u32;
override CLEAN: bool;
${TIME_OF}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  let item = i / (p.actions * p.width);
  var value = pred[i + (item + 1u) * (p.tokens - p.actions) * p.width];
  if (CLEAN) { value = (value - x[i]) / max(1.0 - timeOf(i), p.epsilon); }
  flow[i] = value;
}
`;

const ADVANCE = /* wgsl */ `
struct Params { size: u32, tokens: u32, actions: u32, width: u32, held: u32, delta: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> flow: array<f32>;
@group(0) @binding(2) var<storage, read> times: array<f32>;
@group(0) @binding(3) var<storage, read> rowOf: array<u32>;
@group(0) @binding(4) var<storage, read> step: array<u32>;
@group(0) @binding(5) var<storage, read_write> x: array<f32>;
@group(0) @binding(6) var<storage, read_write> iterates: array<f32>;
@group(0) @binding(7) var<storage, read_write> oneJump: array<f32>;
override WORKGROUP: u32;
${TIME_OF}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  let before = x[i];
  let velocity = flow[i];
  oneJump[step[0] * p.size + i] = before + (1.0 - timeOf(i)) * velocity;
  let moved = i / p.width % p.actions >= p.held;
  let after = select(before, before + p.delta * velocity, moved);
  x[i] = after;
  iterates[(step[0] + 1u) * p.size + i] = after;
}
`;

/**
 * The flow (B, n, A) of what the network predicted for all tokens (B, N, A), at the action tokens x (B, n, A).
 * `epsilon` undefined: the network predicts the flow itself.
 */
export function toFlow(pred: Tensor, x: Tensor, at: TokenTimes, epsilon: number | undefined): Tensor {
  const [, actions, width] = x.shape;
  const tokens = pred.dim(1);
  if (at.rowOf.size !== x.dim(0) * tokens || pred.dim(0) !== x.dim(0) || pred.dim(-1) !== width) {
    throw new UsageError(
      `toFlow: ${showShape(pred.shape)}, ${showShape(x.shape)} and ${at.rowOf.size} tokens do not fit`,
    );
  }
  const list = recording();
  const flow = result(x.shape, "flow");
  list.dispatch({
    kernel: {
      name: "to flow",
      key: "",
      wgsl: () => TO_FLOW,
      inputs: 4,
      outputs: 1,
      constants: { WORKGROUP: LIGHT_INVOCATIONS, CLEAN: epsilon === undefined ? 0 : 1 },
    },
    params: { u32: [x.size, tokens, actions, width], f32: [epsilon ?? 0] },
    inputs: [pred.storage, x.storage, at.times.storage, at.rowOf.storage],
    outputs: [flow.storage],
    workgroups: Math.ceil(x.size / LIGHT_INVOCATIONS),
  });
  return flow;
}

/** What `advance` writes. */
export interface Trace {
  /** (1) u32: k, the step being taken */
  readonly step: Tensor;
  /** (M + 1, B, n, A) */
  readonly iterates: Tensor;
  /** (M, B, n, A) */
  readonly oneJump: Tensor;
}

/** One Euler step of length δ on x (B, n, A) in place, traced; the first `held` actions stay as they are. */
export function advance(
  x: Tensor,
  flow: Tensor,
  at: TokenTimes,
  delta: number,
  held: number,
  trace: Trace,
): void {
  const [batch, actions, width] = x.shape;
  const list = recording();
  list.dispatch({
    kernel: {
      name: "advance",
      key: "",
      wgsl: () => ADVANCE,
      inputs: 4,
      outputs: 3,
      constants: { WORKGROUP: LIGHT_INVOCATIONS },
    },
    params: { u32: [x.size, at.rowOf.size / batch, actions, width, held], f32: [delta] },
    inputs: [flow.storage, at.times.storage, at.rowOf.storage, trace.step.storage],
    outputs: [x.storage, trace.iterates.storage, trace.oneJump.storage],
    workgroups: Math.ceil(x.size / LIGHT_INVOCATIONS),
  });
}
