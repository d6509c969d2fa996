/**
 * For adapters with subgroups. The four invocations of a quad own up to 8 queries each; each reads one of four keys and swaps it
 * with the others, so that a number read serves all the quad's queries. Outputs wider than 128 are split over invocations. Queries
 * and outputs stay in registers, that is, on a CPU adapter, on the stack: text is unrolled over rows and channels, since only
 * constant indices cost nothing there.
 *
 * What decides on SwiftShader 5.0.0 (instructions counted in its machine code for d = 64, 2026-11-22; docs/software-gpu.md): 4
 * queries an invocation take 26,000 for four keys, 8 take 42,000, so more are better while the text, 6 bytes an instruction, fits
 * the processor's second cache (more than 8 were not tried). Whatever is carried out of an `if` costs 12 instructions, so outputs are
 * shrunk at every step, needed or not. What happens once, reading queries and storing outputs, goes through arrays in memory, so
 * that one piece of text serves every row: a third of the time to build, for a few percent of a small shape's time.
 */
import type { Form } from "../kernel.ts";
import { each, list } from "../text.ts";
import { SUBGROUPS } from "../variants.ts";
import { attentionVariant } from "./program.ts";

/** How much one invocation holds: vec4s of queries, queries, vec4s of one output. */
const HELD = 128;
const MOST_ROWS = 8;
const WIDEST = 32;
/** What four keys cost besides the rows, in rows (from the counts above). */
const OVERHEAD = 2.5;

interface QuadsForm extends Form {
  /** queries an invocation */
  readonly rows: number;
  /** vec4s of a query */
  readonly quads: number;
  /** vec4s of the part of its output that one invocation owns */
  readonly wide: number;
}

const MAIN = ({ rows, quads, wide }: QuadsForm): string => {
  const row = (line: (r: number) => string): string => each(rows, line);
  return /* wgsl */ `
  let corner = index % 4u; // of the quad
  let across = (p.queries + ${4 * rows - 1}u) / ${4 * rows}u;
  let quad = index / 4u;
  let total = across * p.chunks * p.heads * p.batch * p.parts;
  // Quads beyond the end repeat the last one, as all must take part in the swaps; they store nothing.
  let tile = min(quad, total - 1u);
  let chunk = tile / across % p.chunks;
  let h = tile / across / p.chunks % p.heads;
  let outer = tile / across / p.chunks / p.heads;
  let b = itemOf(outer);
  let first = chunk * ${wide}u;
  let g = h % p.kvHeads;
  let keys = keysEnd(outer);
  let i = (tile % across * 4u + corner) * ${rows}u;
  // Queries past the end repeat the last one.
  var held: array<vec4f, ${rows * quads}>;
  for (var x = 0u; x < ${rows * quads}u; x++) {
    let row = b * p.queries + min(i + x / ${quads}u, p.queries - 1u);
    held[x] = query4(elements(row * p.qWidth + p.qAt + h * p.dim), x % ${quads}u) * p.scale;
  }
${row((r) => each(quads, (n) => `  let q${r}_${n} = held[${r * quads + n}];`))}
${row((r) => each(wide, (n) => `  var o${r}_${n} = vec4f();`))}
${row((r) => `  var highest${r} = LOWEST; var sum${r} = 0.0;`)}
  // As many steps for each, whatever part it has, since swaps want all lanes together.
  for (var step = 0u; step < mostKeys(); step += 4u) {
    let j = keysBegin(outer) + step;
    // Each lane reads the key and the value of its own position; those beyond the end weigh nothing.
    let own = min(j + corner, keys - 1u);
    let key = elements(rowAt(b, own, p.kWidth) + p.kAt + g * p.dim);
    let value = elements(rowAt(b, own, p.vWidth) + p.vAt + g * p.dim);
    let position = vec4u(j) + (vec4u(corner) ^ vec4u(0u, 1u, 2u, 3u));
    let inside = select(vec4f(), vec4f(1.0), position < vec4u(keys));
${row((r) => `    var logits${r} = vec4f();`)}
${each(quads, (n) => `    { let k4 = lanes4(key4(own, key, ${n}u));\n${row((r) => `      logits${r} += q${r}_${n} * k4;`)} }`)}
    if (hasMask() || hasBias() || isCausal()) {
      let at = min(position, vec4u(keys - 1u));
${row((r) => `      logits${r} = biased4(logits${r}, b, h, min(i + ${r}u, p.queries - 1u), at);`)}
    }
${row(
  (r) => `    let raised${r} = higher(highest${r}, highestOf(logits${r}));
    let shrink${r} = expTo88(highest${r} - raised${r});
    let weights${r} = exp4(logits${r} - raised${r}) * inside;
    highest${r} = raised${r};
    sum${r} = sum${r} * shrink${r} + ((weights${r}.x + weights${r}.y) + (weights${r}.z + weights${r}.w));`,
)}
${each(wide, (n) => `    { let v4 = lanes4(value4(own, value, first + ${n}u));\n${row((r) => `      o${r}_${n} = o${r}_${n} * shrink${r} + v4 * weights${r};`)} }`)}
  }
  if (quad >= total) { return; }
  var outputs = array(${list(rows * wide, (x) => `o${Math.floor(x / wide)}_${x % wide}`)});
  var sums = array(${list(rows, (r) => `sum${r}`)});
  var highests = array(${list(rows, (r) => `highest${r}`)});
  for (var x = 0u; x < ${rows * wide}u; x++) {
    let row = i + x / ${wide}u;
    if (row < p.queries) {
      let open = gate(b, row, h);
      let c = (first + x % ${wide}u) * 4u;
      for (var e = 0u; e < 4u; e++) {
        if (c + e < p.dim) { put(outer, row, h, c + e, outputs[x][e], highests[x / ${wide}u], sums[x / ${wide}u], open); }
      }
    }
  }`;
};

/** Queries an invocation: as many as can be held, fewer where the last quad would go half empty. */
function rowsOf(queries: number, quads: number): number {
  const most = Math.max(1, Math.min(MOST_ROWS, Math.floor(HELD / quads)));
  const cost = (rows: number): number => Math.ceil(queries / (4 * rows)) * (rows + OVERHEAD);
  const candidates = Array.from({ length: most }, (_, n) => n + 1);
  return candidates.reduce((best, rows) => (cost(rows) <= cost(best) ? rows : best));
}

export const quads = attentionVariant<QuadsForm>({
  name: "quads",
  needs: SUBGROUPS,
  plan: ({ batch, queries, heads, headDim, reading }) => {
    const quads = Math.ceil(headDim / 4);
    const rows = rowsOf(queries, quads);
    const wide = Math.min(quads, WIDEST);
    const chunks = Math.ceil(quads / wide);
    return {
      form: { ...reading, options: "override", guarded: headDim % (4 * wide) !== 0, rows, quads, wide },
      chunks,
      invocations: batch * heads * chunks * Math.ceil(queries / (4 * rows)) * 4,
    };
  },
  functions: () => /* wgsl */ `
// What all four lanes hold, one column each: this one, its neighbour in x, in y, and across.
fn lanes4(v: vec4f) -> mat4x4f { return mat4x4f(v, quadSwapX(v), quadSwapY(v), quadSwapDiagonal(v)); }
fn biased4(logits: vec4f, b: u32, h: u32, i: u32, j: vec4u) -> vec4f {
  return vec4f(biased(logits.x, b, h, i, j.x), biased(logits.y, b, h, i, j.y), biased(logits.z, b, h, i, j.z), biased(logits.w, b, h, i, j.w));
}
// max would sort out NaN, at twice the price.
fn higher(a: f32, b: f32) -> f32 { return select(a, b, b > a); }
fn highestOf(v: vec4f) -> f32 { return higher(higher(v.x, v.y), higher(v.z, v.w)); }`,
  main: MAIN,
});
