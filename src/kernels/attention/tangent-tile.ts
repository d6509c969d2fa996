/**
 * For any adapter: one invocation owns `per` queries of a head and `wide` fours of its channels; what it keeps in registers is reached by constant
 * indices. With one query and one four it is the second reference.
 */
import { each } from "../text.ts";
import { type TangentForm, tangentProgram } from "./tangent-program.ts";

const MAIN = ({ packed, per, quads, wide }: TangentForm): string => {
  const queries = (line: (r: number) => string): string => each(per, line);
  const all = (n: number, line: (r: number, c: number) => string): string =>
    queries((r) => each(n, (c) => line(r, c)));
  return /* wgsl */ `
  let work = p.first + index;
  if (work >= p.end) { return; }
  let tiles = (p.queries + ${per - 1}u) / ${per}u;
  let i = work % tiles * ${per}u;
  let chunk = work / tiles % p.chunks;
  let h = work / tiles / p.chunks % p.heads;
  let b = work / tiles / p.chunks / p.heads;
  let g = h % p.kvHeads;
  let first = chunk * ${wide}u;
${queries(
  (r) => `  let i${r} = min(i + ${r}u, p.queries - 1u);
  let row${r} = (b * p.queries + i${r}) * p.qWidth;
  let query${r} = elements(row${r} + p.qAt + h * p.dim);
  var highest${r} = LOWEST; var sum${r} = 0.0; var moves${r} = 0.0;`,
)}
${all(quads, (r, n) => `  let q${r}_${n} = query4(query${r}, ${n}u) * p.scale; var dq${r}_${n} = vec4f(); if (HAS_DQ) { dq${r}_${n} = dQuery4(query${r}, ${n}u) * p.scale; }`)}
${all(wide, (r, n) => `  var a${r}_${n} = vec4f(); var e${r}_${n} = vec4f();`)}
  for (var j = 0u; j < p.keys; j++) {
    let key = elements((b * p.rows + j) * p.kWidth + p.kAt + g * p.dim);
    let value = elements((b * p.rows + j) * p.vWidth + p.vAt + g * p.dim);
${queries((r) => `    var s${r} = 0.0; var ds${r} = 0.0;`)}
${each(
  quads,
  (n) => `    {
      let k4 = key4(key, ${n}u);
${queries((r) => `      s${r} += dot(q${r}_${n}, k4); if (HAS_DQ) { ds${r} += dot(dq${r}_${n}, k4); }`)}
      if (HAS_DK) {
        let dk4 = dKey4(key, ${n}u);
${queries((r) => `        ds${r} += dot(q${r}_${n}, dk4);`)}
      }
    }`,
)}
${queries(
  (r) => `    ${packed ? `if (HAS_BIAS) { s${r} += bias[(j + p.queries - 1u - i${r}) * p.heads + h]; }` : ""}
    if (hidden(b, i${r}, j)) { s${r} = LOWEST; ds${r} = 0.0; }
    let raised${r} = max(highest${r}, s${r});
    if (raised${r} > highest${r}) {
      let shrink = expTo88(highest${r} - raised${r});
      highest${r} = raised${r};
      sum${r} *= shrink;
      moves${r} *= shrink;
${each(wide, (n) => `      a${r}_${n} *= shrink; e${r}_${n} *= shrink;`)}
    }
    let weight${r} = expTo88(s${r} - highest${r});
    sum${r} += weight${r};
    moves${r} += weight${r} * ds${r};`,
)}
${each(
  wide,
  (n) => `    {
      let v4 = value4(value, first + ${n}u);
${queries((r) => `      a${r}_${n} += weight${r} * v4; e${r}_${n} += (weight${r} * ds${r}) * v4;`)}
      if (${packed ? "HAS_DK" : "HAS_DV"}) {
        let dv4 = dValue4(value, first + ${n}u);
${queries((r) => `        e${r}_${n} += weight${r} * dv4;`)}
      }
    }`,
)}
  }
${queries(
  (r) => `  {
    let open = gates(b, i${r}, h);
    let at = ((b * p.queries + i${r}) * p.heads + h) * p.dim;
    let mean = moves${r} / sum${r};
${each(
  wide,
  (n) => `    { let y = a${r}_${n} / sum${r};
      store(i + ${r}u, at, (first + ${n}u) * 4u, y * open.x, (e${r}_${n} / sum${r} - y * mean) * open.x + y * open.y); }`,
)}
  }`,
)}`;
};

/** Fours that an invocation keeps of queries and of outputs, with their tangents; more would be slow to build and spill on every device. */
const KEPT = 32;

/** How many queries and fours of channels an invocation owns. */
export function planTile(queries: number, quads: number): { readonly per: number; readonly wide: number } {
  const wide = Math.min(quads, 16);
  return { wide, per: Math.max(1, Math.min(4, Math.floor(KEPT / (quads + wide)), queries)) };
}

export const tile = tangentProgram({ name: "tile", main: MAIN });
