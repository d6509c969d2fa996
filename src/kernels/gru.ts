/**
 * A gated recurrent unit over the tokens of each batch item, with the sum of its input and output as result:
 *
 *   r = σ(a_r + W_r·h + b_r)   z = σ(a_z + W_z·h + b_z)   ñ = tanh(a_n + r ⊙ (W_n·h + b_n))   h ← (1 − z) ⊙ ñ + z ⊙ h
 *   y[b, first + i] = u[b, i] + h_i
 *
 * Layout: input projections a (B, n, 3D), biases included, gates in the order r, z, n; W packed by `packRecurrent` as
 * (D, 3, D/4) vec4, so that neighbouring invocations read neighbouring words.
 *
 * fused: one dispatch. A workgroup owns ITEMS batch items and keeps their h in workgroup memory; between two barriers
 * the invocations share out (four hidden units × a slice of k) and add up the slices. On a real GPU a workgroup is
 * bound by reading W once a token, so items get workgroups of their own; on a CPU adapter four items share the reading.
 * naive: one dispatch a token, one invocation a hidden unit: the second reference, for any width.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { constant, result, showShape, type Tensor } from "../tensor/tensor.ts";
import { assign, copyBox, slice } from "./copy.ts";
import { add } from "./elementwise.ts";
import { dual, moves } from "./jvp.ts";
import { kernel } from "./kernel.ts";
import { SIGMOID, TANH } from "./math.ts";
import { each } from "./text.ts";
import { choose, invocations, type Variant } from "./variants.ts";

export interface GruWeights {
  /** (D, 3, ⌈D/4⌉, 4), see `packRecurrent` */
  readonly recurrent: Tensor;
  /** (3D) bias of the recurrent product */
  readonly bias: Tensor;
}

/** What one dispatch runs over; the operands fit together. */
interface GruCall {
  /** (B, n, D) */
  readonly u: Tensor;
  readonly a: Tensor;
  readonly weights: GruWeights;
  readonly start: Tensor;
  readonly into: { readonly tensor: Tensor; readonly tokens: number; readonly first: number };
  readonly lastInto?: Tensor;
}

const HEADER = /* wgsl */ `
${SIGMOID}
${TANH}
// The next hidden value of unit d, given its three recurrent sums.
fn next(b: u32, i: u32, d: u32, before: f32, sums: vec3f) -> f32 {
  let at = (b * p.steps + i) * 3u * p.dim + d;
  let r = sigmoid(a[at] + (sums.x + bias[d]));
  let z = sigmoid(a[at + p.dim] + (sums.y + bias[p.dim + d]));
  let n = tanh_(a[at + 2u * p.dim] + r * (sums.z + bias[2u * p.dim + d]));
  return (1.0 - z) * n + z * before;
}
fn store(b: u32, i: u32, d: u32, h: f32) {
  y[(b * p.tokens + p.first + i) * p.dim + d] = h + u[(b * p.steps + i) * p.dim + d];
}
`;

const BINDINGS = { a: "f32", w: "vec4f", bias: "f32", start: "f32", u: "f32" } as const;

const fused = kernel({
  name: "gru fused",
  params: { batch: "u32", steps: "u32", dim: "u32", tokens: "u32", first: "u32" },
  constants: { DIM: "u32", SLICES: "u32", QUADS: "u32" /* ⌈DIM / 4⌉ */ },
  read: BINDINGS,
  write: { y: "f32", last: "f32" },
  functions: ({ items }: { readonly items: number }) => /* wgsl */ `
${HEADER}
const ITEMS = ${items}u;
var<workgroup> hidden: array<f32, ITEMS * DIM>;
var<workgroup> partial: array<vec4f, SLICES * 3u * ITEMS * QUADS>;

fn sum(gate: u32, m: u32, d: u32) -> f32 {
  var total = 0.0;
  for (var s = 0u; s < SLICES; s++) { total += partial[((s * 3u + gate) * ITEMS + m) * QUADS + d / 4u][d % 4u]; }
  return total;
}`,
  main: ({ items }) => {
    const item = (line: (m: number) => string): string => each(items, line);
    return /* wgsl */ `
  let first = group * ITEMS;
  // Items beyond the end follow the last one; they are not stored.
  for (var i = lane; i < ITEMS * DIM; i += WORKGROUP) {
    hidden[i] = start[min(first + i / DIM, p.batch - 1u) * DIM + i % DIM];
  }
  workgroupBarrier();
  for (var token = 0u; token < p.steps; token++) {
    for (var task = lane; task < QUADS * SLICES; task += WORKGROUP) {
      let quad = task % QUADS;
      let slice = task / QUADS;
${item((m) => `      var r${m} = vec4f(); var z${m} = vec4f(); var n${m} = vec4f();`)}
      for (var k = slice * DIM / SLICES; k < (slice + 1u) * DIM / SLICES; k++) {
        let at = k * 3u * QUADS + quad;
        let wr = w[at]; let wz = w[at + QUADS]; let wn = w[at + 2u * QUADS];
${item((m) => `        { let h = hidden[${m}u * DIM + k]; r${m} += wr * h; z${m} += wz * h; n${m} += wn * h; }`)}
      }
${item(
  (m) => `      partial[((slice * 3u) * ITEMS + ${m}u) * QUADS + quad] = r${m};
      partial[((slice * 3u + 1u) * ITEMS + ${m}u) * QUADS + quad] = z${m};
      partial[((slice * 3u + 2u) * ITEMS + ${m}u) * QUADS + quad] = n${m};`,
)}
    }
    workgroupBarrier();
    for (var i = lane; i < ITEMS * DIM; i += WORKGROUP) {
      let m = i / DIM;
      let d = i % DIM;
      let b = min(first + m, p.batch - 1u);
      let h = next(b, token, d, hidden[i], vec3f(sum(0u, m, d), sum(1u, m, d), sum(2u, m, d)));
      hidden[i] = h;
      if (first + m < p.batch) {
        store(b, token, d, h);
        if (token == p.steps - 1u) { last[b * DIM + d] = h; }
      }
    }
    workgroupBarrier();
  }`;
  },
});

const oneToken = kernel({
  name: "gru naive",
  params: { batch: "u32", steps: "u32", dim: "u32", tokens: "u32", first: "u32", token: "u32" },
  read: BINDINGS,
  write: { y: "f32", last: "f32" },
  workgroup: invocations,
  functions: HEADER,
  main: /* wgsl */ `
  let b = index / p.dim;
  let d = index % p.dim;
  if (b >= p.batch) { return; }
  let quads = (p.dim + 3u) / 4u;
  var sums = vec3f();
  for (var k = 0u; k < p.dim; k++) {
    let at = k * 3u * quads + d / 4u;
    let h = start[b * p.dim + k];
    sums += h * vec3f(w[at][d % 4u], w[at + quads][d % 4u], w[at + 2u * quads][d % 4u]);
  }
  let h = next(b, p.token, d, start[b * p.dim + d], sums);
  store(b, p.token, d, h);
  last[b * p.dim + d] = h;`,
});

/**
 * The hidden states h (B, n, D) and their tangents, one dispatch a token, one invocation a hidden unit:
 *
 *   ṙ = r(1 − r)(ȧ_r + W_r·ḣ)   ż = z(1 − z)(ȧ_z + W_z·ḣ)   ṅ = (1 − n²)(ȧ_n + ṙ (W_n·h + b_n) + r W_n·ḣ)
 *   ḣ ← (1 − z) ṅ + ż (h − n) + z ḣ
 */
const tokenBoth = kernel({
  name: "gru and tangent",
  params: { batch: "u32", steps: "u32", dim: "u32", token: "u32" },
  read: { a: "f32", "da?": "f32", w: "vec4f", bias: "f32", start: "f32", "dStart?": "f32" },
  write: { hidden: "f32", dHidden: "f32" },
  workgroup: invocations,
  functions: /* wgsl */ `
${SIGMOID}
${TANH}
fn before(b: u32, k: u32) -> vec2f {
  if (p.token > 0u) {
    let at = (b * p.steps + p.token - 1u) * p.dim + k;
    return vec2f(hidden[at], dHidden[at]);
  }
  let at = b * p.dim + k;
  var moved = 0.0;
  if (HAS_D_START) { moved = dStart[at]; }
  return vec2f(start[at], moved);
}
fn projected(at: u32) -> f32 {
  if (HAS_DA) { return da[at]; }
  return 0.0;
}`,
  main: /* wgsl */ `
  let b = index / p.dim;
  let d = index % p.dim;
  if (b >= p.batch) { return; }
  let quads = (p.dim + 3u) / 4u;
  var sums = vec3f(bias[d], bias[p.dim + d], bias[2u * p.dim + d]);
  var moved = vec3f();
  for (var k = 0u; k < p.dim; k++) {
    let at = k * 3u * quads + d / 4u;
    let weights = vec3f(w[at][d % 4u], w[at + quads][d % 4u], w[at + 2u * quads][d % 4u]);
    let h = before(b, k);
    sums += h.x * weights;
    moved += h.y * weights;
  }
  let at = (b * p.steps + p.token) * 3u * p.dim + d;
  let h = before(b, d);
  let r = sigmoid(a[at] + sums.x);
  let z = sigmoid(a[at + p.dim] + sums.y);
  let n = tanh_(a[at + 2u * p.dim] + r * sums.z);
  let dr = r * (1.0 - r) * (projected(at) + moved.x);
  let dz = z * (1.0 - z) * (projected(at + p.dim) + moved.y);
  let dn = (1.0 - n * n) * (projected(at + 2u * p.dim) + dr * sums.z + r * moved.z);
  let own = (b * p.steps + p.token) * p.dim + d;
  hidden[own] = (1.0 - z) * n + z * h.x;
  dHidden[own] = (1.0 - z) * dn + dz * (h.x - n) + z * h.y;`,
});

/** Where anything moves: the hidden states with their tangents, and the sum with the input from general kernels. */
function runMoving({ u, a, weights, start, into, lastInto }: GruCall): Tensor {
  const [batch, steps, dim] = u.shape;
  const place = (name: string): Tensor => result([batch, steps, dim], name);
  const states = (da?: Tensor, dStart?: Tensor): { readonly y: Tensor; readonly dy: Tensor } => {
    const [y, dy] = [place("gru hidden"), place("tangent of gru hidden")];
    recording().flops += 4 * batch * steps * 3 * dim * dim;
    for (let token = 0; token < steps; token++)
      tokenBoth({
        params: { batch, steps, dim, token },
        read: { a, da, w: weights.recurrent, bias: weights.bias, start, dStart },
        write: { hidden: y, dHidden: dy },
        invocations: batch * dim,
      });
    return { y, dy };
  };
  const hidden = dual(
    [a, start],
    () => states().y,
    ([da, dStart]) => states(da, dStart),
  );
  const box = [batch, steps * dim];
  const to = { start: into.first * dim, strides: [into.tokens * dim, 1] };
  copyBox(add(u, hidden), into.tensor, box, { strides: [steps * dim, 1] }, to);
  const last = slice(hidden, 1, steps - 1, steps).reshape(batch, dim);
  if (!lastInto) return last;
  assign(lastInto, last);
  return lastInto;
}

const VARIANTS = {
  fused: { run: runFused },
  naive: { run: runNaive },
} as const satisfies Record<string, Variant<[GruCall], Tensor>>;

/** torch's weight_hh (3D, D), gates r, z, n, as (D, 3, ⌈D/4⌉, 4) padded with zeros. */
export function packRecurrent(weight: ArrayLike<number>, dim: number): Float32Array {
  const width = Math.ceil(dim / 4) * 4;
  const packed = new Float32Array(dim * 3 * width);
  for (let gate = 0; gate < 3; gate++) {
    for (let d = 0; d < dim; d++) {
      for (let k = 0; k < dim; k++) packed[(k * 3 + gate) * width + d] = weight[(gate * dim + d) * dim + k];
    }
  }
  return packed;
}

/**
 * Runs the unit over u (B, n, D) with input projections a (B, n, 3D), writes u + h into tokens `first`… of `into`
 * (B, N, D), or of its first B·N rows, and returns the last hidden state (B, D).
 * @param start (B, D) hidden state before the first token; zeros when absent
 * @param lastInto (B, D) where the last hidden state goes, when not to a tensor of its own; not `start`
 * @throws UsageError when the shapes do not fit together
 */
export function gru(
  u: Tensor,
  a: Tensor,
  weights: GruWeights,
  start: Tensor | undefined,
  into: { readonly tensor: Tensor; readonly tokens: number; readonly first: number },
  lastInto?: Tensor,
): Tensor {
  const [batch, steps, dim] = u.shape;
  const { tensor, tokens, first } = into;
  if (
    a.size !== 3 * u.size ||
    (start && start.size !== batch * dim) ||
    (lastInto && lastInto.size !== batch * dim) ||
    weights.bias.size !== 3 * dim
  ) {
    throw new UsageError(
      `gru: input ${showShape(u.shape)}, projections ${showShape(a.shape)} and start ${showShape(start?.shape ?? [])} do not fit`,
    );
  }
  if (tensor.dim(-1) !== dim || first + steps > tokens || batch * tokens > tensor.rows) {
    throw new UsageError(
      `gru: ${steps} tokens at ${first} of ${tokens} do not fit into ${showShape(tensor.shape)}`,
    );
  }
  const begin = start ?? constant([batch, dim], new Float32Array(batch * dim), "gru start");
  if (moves(u, a, start)) return runMoving({ u, a, weights, start: begin, into, lastInto });
  recording().flops += 2 * batch * u.dim(1) * 3 * dim * dim;
  const name = choose(recording().gpu, "gru", VARIANTS, "fused");
  return VARIANTS[name].run({ u, a, weights, start: begin, into, lastInto });
}

function runFused(call: GruCall): Tensor {
  const { u, a, weights, start, into, lastInto } = call;
  const [batch, steps, dim] = u.shape;
  const plan = planFused(batch, dim);
  if (!plan) return runNaive(call);
  const { tensor, tokens, first } = into;
  const last = lastInto ?? result([batch, dim], "gru hidden");
  fused({
    form: { items: plan.items },
    constants: { DIM: dim, QUADS: Math.ceil(dim / 4), SLICES: plan.slices },
    params: { batch, steps, dim, tokens, first },
    read: { a, w: weights.recurrent, bias: weights.bias, start, u },
    write: { y: tensor, last },
    workgroup: plan.lanes,
    workgroups: Math.ceil(batch / plan.items),
  });
  return last;
}

function runNaive({ u, a, weights, start, into, lastInto }: GruCall): Tensor {
  const [batch, steps, dim] = u.shape;
  const { tensor, tokens, first } = into;
  let state = start;
  for (let token = 0; token < steps; token++) {
    const last = (token === steps - 1 ? lastInto : undefined) ?? result([batch, dim], "gru hidden");
    oneToken({
      params: { batch, steps, dim, tokens, first, token },
      read: { a, w: weights.recurrent, bias: weights.bias, start: state, u },
      write: { y: tensor, last },
      invocations: batch * dim,
    });
    state = last;
  }
  return state;
}

/** Batch items a workgroup, its invocations and slices of k; undefined when no hidden state fits. */
function planFused(batch: number, dim: number): { items: number; lanes: number; slices: number } | undefined {
  const { software } = recording().gpu.adapter;
  const { maxComputeWorkgroupStorageSize: room, maxComputeInvocationsPerWorkgroup: most } =
    recording().gpu.device.limits;
  const quads = Math.ceil(dim / 4);
  const bytes = (items: number, slices: number): number => items * (4 * dim + 48 * quads * slices) + 32;
  const lanes = software ? 8 : Math.min(256, most);
  const slices = software ? 1 : Math.max(1, Math.floor(lanes / quads));
  for (const items of software ? [4, 2, 1] : batch > 128 ? [4, 2, 1] : [1]) {
    for (const s of [slices, 1]) {
      if ((items === 1 || items < 2 * batch) && bytes(items, s) <= room) return { items, lanes, slices: s };
    }
  }
  return undefined;
}
