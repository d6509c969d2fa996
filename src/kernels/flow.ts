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
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { withTangent } from "./jvp.ts";
import { kernel } from "./kernel.ts";
import { BOUNDS } from "./nan.ts";

/** Distinct times and the row of each token. */
export interface TokenTimes {
  /** (R) */
  readonly times: Tensor;
  /** (B·N) u32 */
  readonly rowOf: Tensor;
}

const TIME_OF = /* wgsl */ `
fn rowOfTime(element: u32) -> u32 {
  let token = element / p.width;
  return rowOf[token / p.actions * p.tokens + p.tokens - p.actions + token % p.actions];
}
fn timeOf(element: u32) -> f32 { return times[rowOfTime(element)]; }
`;

const flowOf = kernel({
  name: "to flow",
  params: { size: "u32", tokens: "u32", actions: "u32", width: "u32", epsilon: "f32" },
  constants: { CLEAN: "bool" },
  read: { pred: "f32", x: "f32", times: "f32", rowOf: "u32" },
  write: { flow: "f32" },
  over: "size",
  functions: TIME_OF + BOUNDS,
  main: /* wgsl */ `
  let item = index / (p.actions * p.width);
  var value = pred[index + (item + 1u) * (p.tokens - p.actions) * p.width];
  if (CLEAN) { value = (value - x[index]) / atLeast(1.0 - timeOf(index), p.epsilon); }
  flow[index] = value;`,
});

/** The tangent of a flow: of d = (pred − x) / m with m = max(1 − t, ε) it is (pred˙ − ẋ + d·ṫ) / m, without the last where the floor holds. */
const flowMoves = kernel({
  name: "to flow, tangent",
  params: { size: "u32", tokens: "u32", actions: "u32", width: "u32", epsilon: "f32" },
  constants: { CLEAN: "bool" },
  read: {
    ...{ pred: "f32", x: "f32", times: "f32", rowOf: "u32" },
    ...{ "dPred?": "f32", "dx?": "f32", "dTimes?": "f32" },
  },
  write: { dFlow: "f32" },
  over: "size",
  functions: TIME_OF,
  main: /* wgsl */ `
  let item = index / (p.actions * p.width);
  let at = index + (item + 1u) * (p.tokens - p.actions) * p.width;
  var moved = 0.0;
  if (HAS_D_PRED) { moved = dPred[at]; }
  if (CLEAN) {
    let rest = 1.0 - timeOf(index);
    let floored = max(rest, p.epsilon);
    if (HAS_DX) { moved -= dx[index]; }
    if (HAS_D_TIMES) { moved += select(0.0, (pred[at] - x[index]) / floored * dTimes[rowOfTime(index)], rest > p.epsilon); }
    moved /= floored;
  }
  dFlow[index] = moved;`,
});

const step = kernel({
  name: "advance",
  params: { size: "u32", tokens: "u32", actions: "u32", width: "u32", held: "u32", delta: "f32" },
  read: { flow: "f32", times: "f32", rowOf: "u32", step: "u32" },
  write: { x: "f32", iterates: "f32", oneJump: "f32" },
  over: "size",
  functions: TIME_OF,
  main: /* wgsl */ `
  let before = x[index];
  let velocity = flow[index];
  oneJump[step[0] * p.size + index] = before + (1.0 - timeOf(index)) * velocity;
  let moved = index / p.width % p.actions >= p.held;
  let after = select(before, before + p.delta * velocity, moved);
  x[index] = after;
  iterates[(step[0] + 1u) * p.size + index] = after;`,
});

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
  const call = {
    constants: { CLEAN: epsilon !== undefined },
    params: { size: x.size, tokens, actions, width, epsilon: epsilon ?? 0 },
  };
  return withTangent(
    [pred, x, at.times],
    () => {
      const flow = result(x.shape, "flow");
      flowOf({ ...call, read: { pred, x, ...at }, write: { flow } });
      return flow;
    },
    ([dPred, dx, dTimes]) => {
      const dFlow = result(x.shape, "tangent of flow");
      flowMoves({ ...call, read: { pred, x, ...at, dPred, dx, dTimes }, write: { dFlow } });
      return dFlow;
    },
  );
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
  step({
    params: { size: x.size, tokens: at.rowOf.size / batch, actions, width, held, delta },
    read: { flow, ...at, step: trace.step },
    write: { x, iterates: trace.iterates, oneJump: trace.oneJump },
  });
}
