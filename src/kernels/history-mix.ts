/**
 * The parts of a history pool that are neither linear maps nor norms (see history-pool.ts, variant "mixed"):
 *
 *   score:  f[m, n] = 1 / √(mean(x[m, n]²) + ε),   l[m, n, j] = f[m, n] · x[m, n]·u_j
 *   share:  a[m, n, j] = softmax_m(l[m, n, j]) · f[m, n], in the place of l
 *   mix:    y_g[n, i, d] = Σ_m a[m, n, j] · x[m, n, d],   j = 2i + g
 *
 * x (M, tokens, D) history, u (D, ⌈R/4⌉, 4), scores (M, tokens, R + 1) with f last; the heads of one key-value head g stand
 * together in y_g (tokens, R/2, D). An invocation of score takes four entries; of share, one head of a token; of mix, up to eight
 * channels of a token and all heads, so that an entry is read once. (Repeating the softmax in mix instead of share cost three times
 * the mix itself: SwiftShader 5.0.0, 2026-11-22.)
 */
import { result, type Tensor } from "../tensor/tensor.ts";
import { dual } from "./jvp.ts";
import { type Form, kernel } from "./kernel.ts";
import { EXP } from "./math.ts";
import { each } from "./text.ts";
import { invocations } from "./variants.ts";

/** Entries of the history that one invocation scores: they share what is read of u. */
const SCORED = 4;

const row = (line: (r: number) => string): string => each(SCORED, line);

const score = kernel({
  name: "history score",
  params: { count: "u32", dim: "u32", epsilon: "f32" },
  read: { history: "f32", u: "vec4f" },
  write: { scores: "f32" },
  workgroup: invocations,
  functions: ({ heads }: { readonly heads: number }) => /* wgsl */ `
const HEADS = ${heads}u;
const QUADS = ${Math.ceil(heads / 4)}u;`,
  main: ({ heads }) => {
    const quads = Math.ceil(heads / 4);
    return /* wgsl */ `
  let first = index * ${SCORED}u;
  if (first >= p.count) { return; }
${row((r) => `  let row${r} = min(first + ${r}u, p.count - 1u) * p.dim;`)}
${row((r) => each(quads, (q) => `  var dot${r}_${q} = vec4f();`))}
${row((r) => `  var squares${r} = 0.0;`)}
  for (var d0 = 0u; d0 < p.dim; d0 += 64u) {
${row((r) => `    var part${r} = 0.0;`)}
    let end = min(d0 + 64u, p.dim);
    for (var d = d0; d < end; d++) {
${each(quads, (q) => `      let u${q} = u[d * QUADS + ${q}u];`)}
${row((r) => `      let x${r} = history[row${r} + d];\n      part${r} += x${r} * x${r};`)}
${row((r) => each(quads, (q) => `      dot${r}_${q} += x${r} * u${q};`))}
    }
${row((r) => `    squares${r} += part${r};`)}
  }
${row(
  (r) => `  if (first + ${r}u < p.count) {
    let factor = inverseSqrt(squares${r} / f32(p.dim) + p.epsilon);
    let at = (first + ${r}u) * (HEADS + 1u);
${each(heads, (j) => `    scores[at + ${j}u] = factor * dot${r}_${Math.floor(j / 4)}[${j % 4}];`)}
    scores[at + HEADS] = factor;
  }`,
)}`;
  },
});

const share = kernel({
  name: "history share",
  params: { tokens: "u32", entries: "u32" },
  read: {},
  write: { scores: "f32" },
  workgroup: invocations,
  functions: ({ heads }: { readonly heads: number }) => /* wgsl */ `
const HEADS = ${heads}u;
${EXP}`,
  main: /* wgsl */ `
  let n = index / HEADS;
  let j = index % HEADS;
  if (n >= p.tokens) { return; }
  let width = HEADS + 1u;
  var highest = scores[n * width + j];
  for (var m = 1u; m < p.entries; m++) { highest = max(highest, scores[(m * p.tokens + n) * width + j]); }
  var sum = 0.0;
  for (var m = 0u; m < p.entries; m++) {
    let at = (m * p.tokens + n) * width + j;
    let e = exp_(scores[at] - highest);
    scores[at] = e;
    sum += e;
  }
  for (var m = 0u; m < p.entries; m++) {
    let row = (m * p.tokens + n) * width;
    scores[row + j] *= scores[row + HEADS] / sum;
  }`,
});

interface MixForm extends Form {
  readonly heads: number;
  /** elements that one invocation mixes; they divide the entries */
  readonly across: number;
  readonly element: "f32" | "vec4f";
}

/** dim is counted in elements. */
const mix = kernel({
  name: "history mix",
  params: { tokens: "u32", entries: "u32", dim: "u32" },
  read: ({ element }: MixForm) => ({ history: element, shares: "f32" }),
  write: ({ element }) => ({ even: element, odd: element }),
  workgroup: invocations,
  functions: ({ heads }) => `const HEADS = ${heads}u;`,
  main: ({ heads, across, element }) => {
    const all = (line: (v: number) => string): string => each(across, line);
    return /* wgsl */ `
  let across = p.dim / ${across}u;
  let n = index / across;
  let d = (index - n * across) * ${across}u;
  if (n >= p.tokens) { return; }
${all((v) => each(heads, (j) => `  var mix${v}_${j} = ${element}();`))}
  for (var m = 0u; m < p.entries; m++) {
    let row = m * p.tokens + n;
    let at = row * (HEADS + 1u);
${each(heads, (j) => `    let share${j} = shares[at + ${j}u];`)}
${all((v) => `    let x${v} = history[row * p.dim + d + ${v}u];`)}
${all((v) => each(heads, (j) => `    mix${v}_${j} += share${j} * x${v};`))}
  }
  let row = n * (HEADS / 2u) * p.dim + d;
${all((v) => each(heads, (j) => `  ${j % 2 ? "odd" : "even"}[row + ${Math.floor(j / 2)}u * p.dim + ${v}u] = mix${v}_${j};`))}`;
  },
});

/**
 * The tangents of scores: l̇ = ḟ·(x·u_j) + f·(ẋ·u_j) with ḟ = −f³·mean(x ⊙ ẋ), which stands last. One invocation an entry.
 */
const scoreMoves = kernel({
  name: "history score, tangent",
  params: { count: "u32", dim: "u32" },
  read: { history: "f32", dHistory: "f32", u: "vec4f", scores: "f32" },
  write: { dScores: "f32" },
  workgroup: invocations,
  functions: ({ heads }: { readonly heads: number }) => /* wgsl */ `
const HEADS = ${heads}u;
const QUADS = ${Math.ceil(heads / 4)}u;`,
  main: ({ heads }) => {
    const quads = Math.ceil(heads / 4);
    return /* wgsl */ `
  if (index >= p.count) { return; }
  let row = index * p.dim;
${each(quads, (q) => `  var dot${q} = vec4f();`)}
  var along = 0.0;
  for (var d0 = 0u; d0 < p.dim; d0 += 64u) {
    var part = 0.0;
    for (var d = d0; d < min(d0 + 64u, p.dim); d++) {
      let dx = dHistory[row + d];
      part += history[row + d] * dx;
${each(quads, (q) => `      dot${q} += dx * u[d * QUADS + ${q}u];`)}
    }
    along += part;
  }
  let at = index * (HEADS + 1u);
  let factor = scores[at + HEADS];
  // ḟ / f
  let relative = -factor * factor * along / f32(p.dim);
${each(heads, (j) => `  dScores[at + ${j}u] = relative * scores[at + ${j}u] + factor * dot${Math.floor(j / 4)}[${j % 4}];`)}
  dScores[at + HEADS] = relative * factor;`;
  },
});

/** From those of scores the tangents of shares a = P·f: P ⊙ (l̇ − Σ P ⊙ l̇) · f + P·ḟ, in their place; the shares are given. */
const shareMoves = kernel({
  name: "history share, tangent",
  params: { tokens: "u32", entries: "u32" },
  read: { shares: "f32" },
  write: { dScores: "f32" },
  workgroup: invocations,
  functions: ({ heads }: { readonly heads: number }) => `const HEADS = ${heads}u;`,
  main: /* wgsl */ `
  let n = index / HEADS;
  let j = index % HEADS;
  if (n >= p.tokens) { return; }
  let width = HEADS + 1u;
  var mean = 0.0;
  for (var m = 0u; m < p.entries; m++) {
    let row = (m * p.tokens + n) * width;
    mean += shares[row + j] / shares[row + HEADS] * dScores[row + j];
  }
  for (var m = 0u; m < p.entries; m++) {
    let row = (m * p.tokens + n) * width;
    dScores[row + j] = shares[row + j] * (dScores[row + j] - mean + dScores[row + HEADS] / shares[row + HEADS]);
  }`,
});

/** ẏ_g = Σ_m ȧ·x + a·ẋ. One invocation a channel of a head. */
const mixMoves = kernel({
  name: "history mix, tangent",
  params: { tokens: "u32", entries: "u32", dim: "u32", heads: "u32" },
  read: { history: "f32", dHistory: "f32", shares: "f32", dShares: "f32" },
  write: { even: "f32", odd: "f32" },
  workgroup: invocations,
  main: /* wgsl */ `
  let d = index % p.dim;
  let j = index / p.dim % p.heads;
  let n = index / p.dim / p.heads;
  if (n >= p.tokens) { return; }
  var sum = 0.0;
  for (var m = 0u; m < p.entries; m++) {
    let row = m * p.tokens + n;
    let at = row * (p.heads + 1u) + j;
    sum += dShares[at] * history[row * p.dim + d] + shares[at] * dHistory[row * p.dim + d];
  }
  let to = (n * (p.heads / 2u) + j / 2u) * p.dim + d;
  if (j % 2u == 0u) { even[to] = sum; } else { odd[to] = sum; }`,
});

/**
 * The normalised entries of each token, mixed for every head by its softmax: [y_0, y_1], each (tokens, R/2, D).
 * @param history (M, tokens, D)
 * @param u (D, ⌈R/4⌉, 4): what an entry is multiplied with to give its logits
 */
export function mixHistory(
  history: Tensor,
  u: Tensor,
  heads: number,
  epsilon: number,
): readonly [Tensor, Tensor] {
  return dual(
    [history],
    () => mixed(history, u, heads, epsilon).mixes,
    ([dHistory]) => {
      const [entries, tokens, dim] = history.shape;
      const dScores = result([entries, tokens, heads + 1], "tangent of scores");
      const { mixes, scores } = mixed(history, u, heads, epsilon, (logits) =>
        scoreMoves({
          form: { heads },
          params: { count: entries * tokens, dim },
          read: { history, dHistory: dHistory!, u, scores: logits },
          write: { dScores },
          invocations: entries * tokens,
        }),
      );
      shareMoves({
        form: { heads },
        params: { tokens, entries },
        read: { shares: scores },
        write: { dScores },
        invocations: tokens * heads,
      });
      const place = (): Tensor => result([tokens, heads / 2, dim], "tangent of mix");
      const [even, odd] = [place(), place()];
      mixMoves({
        params: { tokens, entries, dim, heads },
        read: { history, dHistory: dHistory!, shares: scores, dShares: dScores },
        write: { even, odd },
        invocations: tokens * heads * dim,
      });
      return { y: mixes, dy: [even, odd] };
    },
  );
}

/** @param scored is called between scores and shares, which take their place */
function mixed(
  history: Tensor,
  u: Tensor,
  heads: number,
  epsilon: number,
  scored?: (scores: Tensor) => void,
): { readonly mixes: readonly [Tensor, Tensor]; readonly scores: Tensor } {
  const [entries, tokens, dim] = history.shape;
  const scores = result([entries, tokens, heads + 1], "scores");
  score({
    form: { heads },
    params: { count: entries * tokens, dim, epsilon },
    read: { history, u },
    write: { scores },
    invocations: (entries * tokens) / SCORED,
  });
  scored?.(scores);
  share({
    form: { heads },
    params: { tokens, entries },
    read: {},
    write: { scores },
    invocations: tokens * heads,
  });
  const even = result([tokens, heads / 2, dim], "mix");
  const odd = result([tokens, heads / 2, dim], "mix");
  const per = dim % 4 === 0 ? 4 : 1;
  const across = dim % 8 === 0 ? 2 : 1;
  mix({
    form: { heads, across, element: per === 4 ? "vec4f" : "f32" },
    params: { tokens, entries, dim: dim / per },
    read: { history, shares: scores },
    write: { even, odd },
    invocations: (tokens * dim) / across / per,
  });
  return { mixes: [even, odd], scores };
}
