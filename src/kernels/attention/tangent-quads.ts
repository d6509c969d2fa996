/**
 * For adapters with subgroups, as quads.ts is and for its reasons: the four invocations of a quad own `per` queries each, and each reads one of four
 * keys, its tangent, its value and that one's tangent, and swaps them with the others, so that a number read serves all the quad's queries.
 *
 * 2 × 6 heads of 64, 64 queries and keys, three calls: 26 ms of processor time where tile takes 123 and the plain attention 10
 * (SwiftShader 5.0.0, 2 shared cores, 2026-11-26).
 */
import { each, list } from "../text.ts";
import { SUBGROUPS } from "../variants.ts";
import { type TangentForm, tangentProgram } from "./tangent-program.ts";

const MAIN = ({ packed, per, quads, wide }: TangentForm): string => {
  const row = (line: (r: number) => string): string => each(per, line);
  const all = (n: number, line: (r: number, c: number) => string): string =>
    row((r) => each(n, (c) => line(r, c)));
  const values = packed ? "HAS_DK" : "HAS_DV";
  return /* wgsl */ `
  let corner = index % 4u; // of the quad
  let across = (p.queries + ${4 * per - 1}u) / ${4 * per}u;
  let quad = p.first + index / 4u;
  // Quads beyond the end repeat the last one, as all must take part in the swaps; they store nothing.
  let tile = min(quad, p.end - 1u);
  let chunk = tile / across % p.chunks;
  let h = tile / across / p.chunks % p.heads;
  let b = tile / across / p.chunks / p.heads;
  let first = chunk * ${wide}u;
  let g = h % p.kvHeads;
  let i = (tile % across * 4u + corner) * ${per}u;
  // Queries past the end repeat the last one.
  var held: array<vec4f, ${per * quads}>;
  var dHeld: array<vec4f, ${per * quads}>;
  for (var x = 0u; x < ${per * quads}u; x++) {
    let row = b * p.queries + min(i + x / ${quads}u, p.queries - 1u);
    let at = elements(row * p.qWidth + p.qAt + h * p.dim);
    held[x] = query4(at, x % ${quads}u) * p.scale;
    if (HAS_DQ) { dHeld[x] = dQuery4(at, x % ${quads}u) * p.scale; }
  }
${all(quads, (r, n) => `  let q${r}_${n} = held[${r * quads + n}]; let dq${r}_${n} = dHeld[${r * quads + n}];`)}
${all(wide, (r, n) => `  var a${r}_${n} = vec4f(); var e${r}_${n} = vec4f();`)}
${row((r) => `  var highest${r} = LOWEST; var sum${r} = 0.0; var moves${r} = 0.0;`)}
  for (var j = 0u; j < p.keys; j += 4u) {
    // Each lane reads the key and the value of its own position; those beyond the end weigh nothing.
    let own = b * p.rows + min(j + corner, p.keys - 1u);
    let key = elements(own * p.kWidth + p.kAt + g * p.dim);
    let value = elements(own * p.vWidth + p.vAt + g * p.dim);
    let position = vec4u(j) + (vec4u(corner) ^ vec4u(0u, 1u, 2u, 3u));
    let inside = select(vec4f(), vec4f(1.0), position < vec4u(p.keys));
${row((r) => `    var logits${r} = vec4f(); var moved${r} = vec4f();`)}
${each(
  quads,
  (n) => `    {
      let k4 = lanes4(key4(key, ${n}u));
${row((r) => `      logits${r} += q${r}_${n} * k4; if (HAS_DQ) { moved${r} += dq${r}_${n} * k4; }`)}
      if (HAS_DK) {
        let dk4 = lanes4(dKey4(key, ${n}u));
${row((r) => `        moved${r} += q${r}_${n} * dk4;`)}
      }
    }`,
)}
    if (${packed ? "HAS_MASK || HAS_BIAS || " : ""}CAUSAL) {
      let at = min(position, vec4u(p.keys - 1u));
      for (var e = 0u; e < 4u; e++) {
${row(
  (r) => `        { let query = min(i + ${r}u, p.queries - 1u);
          ${packed ? `if (HAS_BIAS) { logits${r}[e] += bias[(at[e] + p.queries - 1u - query) * p.heads + h]; }` : ""}
          if (hidden(b, query, at[e])) { logits${r}[e] = LOWEST; moved${r}[e] = 0.0; } }`,
)}
      }
    }
${row(
  (r) => `    let raised${r} = higher(highest${r}, highestOf(logits${r}));
    let shrink${r} = expTo88(highest${r} - raised${r});
    let weights${r} = exp4(logits${r} - raised${r}) * inside;
    let along${r} = weights${r} * moved${r};
    highest${r} = raised${r};
    sum${r} = sum${r} * shrink${r} + ((weights${r}.x + weights${r}.y) + (weights${r}.z + weights${r}.w));
    moves${r} = moves${r} * shrink${r} + ((along${r}.x + along${r}.y) + (along${r}.z + along${r}.w));`,
)}
${each(
  wide,
  (n) => `    {
      let v4 = lanes4(value4(value, first + ${n}u));
${row((r) => `      a${r}_${n} = a${r}_${n} * shrink${r} + v4 * weights${r}; e${r}_${n} = e${r}_${n} * shrink${r} + v4 * along${r};`)}
      if (${values}) {
        let dv4 = lanes4(dValue4(value, first + ${n}u));
${row((r) => `        e${r}_${n} += dv4 * weights${r};`)}
      }
    }`,
)}
  }
  if (quad >= p.end) { return; }
  var outputs = array(${list(per * wide, (x) => `a${Math.floor(x / wide)}_${x % wide}`)});
  var tangents = array(${list(per * wide, (x) => `e${Math.floor(x / wide)}_${x % wide}`)});
  var sums = array(${list(per, (r) => `sum${r}`)});
  var along = array(${list(per, (r) => `moves${r}`)});
  for (var x = 0u; x < ${per * wide}u; x++) {
    let r = x / ${wide}u;
    let query = min(i + r, p.queries - 1u);
    let open = gates(b, query, h);
    let y = outputs[x] / sums[r];
    let dy = tangents[x] / sums[r] - y * (along[r] / sums[r]);
    store(i + r, ((b * p.queries + query) * p.heads + h) * p.dim, (first + x % ${wide}u) * 4u, y * open.x, dy * open.x + y * open.y);
  }`;
};

/** How much one invocation holds: fours of queries and their tangents, times queries. */
const HELD = 128;
const MOST_ROWS = 4;
/** Fours of outputs, which have tangents too. */
const WIDEST = 16;
/** What four keys cost besides the rows, in rows. */
const OVERHEAD = 2.5;

/** Queries an invocation: as many as can be held, fewer where the last quad would go half empty. */
export function planQuads(queries: number, quads: number): { readonly per: number; readonly wide: number } {
  const most = Math.max(1, Math.min(MOST_ROWS, Math.floor(HELD / (2 * quads))));
  const cost = (per: number): number => Math.ceil(queries / (4 * per)) * (per + OVERHEAD);
  const candidates = Array.from({ length: most }, (_, n) => n + 1);
  const per = candidates.reduce((best, rows) => (cost(rows) <= cost(best) ? rows : best));
  return { per, wide: Math.min(quads, WIDEST) };
}

export const quads = tangentProgram({
  name: "quads",
  needs: SUBGROUPS,
  functions: /* wgsl */ `
// What all four lanes hold, one column each: this one, its neighbour in x, in y, and across.
fn lanes4(v: vec4f) -> mat4x4f { return mat4x4f(v, quadSwapX(v), quadSwapY(v), quadSwapDiagonal(v)); }
fn higher(a: f32, b: f32) -> f32 { return select(a, b, b > a); }
fn highestOf(v: vec4f) -> f32 { return higher(higher(v.x, v.y), higher(v.z, v.w)); }`,
  main: MAIN,
});
