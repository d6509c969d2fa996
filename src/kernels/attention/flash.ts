/**
 * For real GPUs and many queries: a workgroup of 128 owns 64 queries of one head and goes through the keys 64 at a time. Both
 * products are tiles as in linear/shared.ts: logits 8 queries × 4 keys an invocation, q and k passing through workgroup
 * memory 16 channels at a time; outputs 8 queries × 4 or 8 channels, v passing 16 keys at a time. Between them the weights, e to the
 * logit less the highest so far, are laid down for all. Everything is float32. Sums of weights stay apart until the end, since those who
 * share a query shrink them alike.
 *
 * 25,600 bytes of workgroup memory: 8 KB `stage`, 17 KB `weights`, whose rows are padded from 16 to 17 so that neighbouring columns
 * write to different banks; for the same reason a column owns keys 16 apart. Outputs wider than 128 are split over workgroups.
 * Registers are reached by constant indices, and what comes next is read while what is there is multiplied: 4608 queries and keys, 16 heads of 128,
 * run at 16.5 TFLOP/s, 11.6 before the reading ahead (NVIDIA H100 and H200, driver 580.159.04, 2026-11-26).
 * (On SwiftShader 5.0.0 it is right, but takes 10 s to build, 2026-11-22: never chosen there.)
 */
import type { Arithmetic } from "../../gpu/gpu.ts";
import { ADD_OUTER } from "../terms.ts";
import { each } from "../text.ts";
import { HALF } from "../variants.ts";
import { type AttentionText, attentionVariant, FOUR_QUERIES, fillingParts } from "./program.ts";

/** Rows of a matrix times the four numbers of a vector. */
const rows = (name: string, factor: string): string =>
  `mat4x4f(${name}[0] * ${factor}.x, ${name}[1] * ${factor}.y, ${name}[2] * ${factor}.z, ${name}[3] * ${factor}.w)`;

const TILE = 64;
const WORKGROUP = 128;

/** What an invocation brings next of q or k, four channels of four rows, and of v: asked for while what is there is multiplied. */
const item = (c0: string): string => /* wgsl */ `
    if (lane < 64u) { item = queries4(b, i0 + four * 4u, h, (${c0}) / 4u + lane % 4u); }
    else { item = keys4(b, keys, g, (${c0}) / 4u + lane % 4u); }`;
const value = (v0: string, i: number): string => /* wgsl */ `
    { let at = lane + ${i * WORKGROUP}u; let j = min(j0 + ${v0} + at / WIDE, total - 1u);
      value${i} = value4(j, elements(rowAt(b, j, p.vWidth) + p.vAt + g * p.dim), first + at % WIDE); }`;

/** `per`: vec4s of a query's output that one invocation owns. */
const text = (arithmetic: Arithmetic): AttentionText<{ readonly per: number }> => {
  const half = arithmetic === "f16";
  // What has to stay float32 has a place of its own where the stage is of halves.
  const meeting = half ? "meeting" : "stage";
  return {
    needs: half ? { ...HALF, workgroupBytes: 17_152 } : { workgroupBytes: 25_600 },
    plan: ({ batch, queries, heads, headDim, reading }) => {
      const per = headDim <= 64 ? 1 : 2;
      const chunks = Math.ceil(headDim / (64 * per));
      return {
        form: { ...reading, guarded: true, options: "uniform", per },
        chunks,
        invocations: batch * heads * chunks * Math.ceil(queries / TILE) * WORKGROUP,
        workgroup: WORKGROUP,
      };
    },
    functions: ({ per }) => /* wgsl */ `
${FOUR_QUERIES}
${ADD_OUTER}
const TILE = 64u; // queries of a workgroup, and keys of a step
const COLUMNS = 16u;
const PITCH = 17u;
const WIDE = ${16 * per}u; // vec4s of a row of v
const DEPTH = 16u;
// In turns: q, then k, as [channel][four rows]; the highest logits as [column][four queries]; v as [key][four channels].
alias Operand = ${half ? "vec4<f16>" : "vec4f"};
var<workgroup> stage: array<Operand, 512>;
var<workgroup> weights: array<Operand, TILE * PITCH>; // [key][four queries]
${half ? "var<workgroup> meeting: array<vec4f, COLUMNS * PITCH>;" : ""}

fn highestOf(v: vec4f) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn highest4(logits: mat4x4f) -> vec4f {
  return vec4f(highestOf(logits[0]), highestOf(logits[1]), highestOf(logits[2]), highestOf(logits[3]));
}
fn sum4(w: mat4x4f) -> vec4f {
  let one = vec4f(1.0);
  return vec4f(dot(w[0], one), dot(w[1], one), dot(w[2], one), dot(w[3], one));
}
// Logits of queries i to i + 3, a row each, on four keys.
fn biased4(logits: mat4x4f, b: u32, h: u32, i: u32, j: vec4u) -> mat4x4f {
  var all = logits;
${each(4, (r) => `  { let at = min(i + ${r}u, p.queries - 1u); ${each(4, (e) => `all[${r}][${e}] = biased(all[${r}][${e}], b, h, at, j[${e}]);`)} }`)}
  return all;
}
fn weights4(logits: mat4x4f, highest: vec4f, inside: vec4f) -> mat4x4f {
  return mat4x4f(exp4(logits[0] - highest.x) * inside, exp4(logits[1] - highest.y) * inside,
                 exp4(logits[2] - highest.z) * inside, exp4(logits[3] - highest.w) * inside);
}
// Four channels of four keys, 16 apart: column = channel, row = key. Keys past the end repeat the last one.
fn keys4(b: u32, j: vec4u, g: u32, n: u32) -> mat4x4f {
  let at = p.kAt + g * p.dim;
  return transpose(mat4x4f(key4(j.x, elements(rowAt(b, j.x, p.kWidth) + at), n), key4(j.y, elements(rowAt(b, j.y, p.kWidth) + at), n),
                           key4(j.z, elements(rowAt(b, j.z, p.kWidth) + at), n), key4(j.w, elements(rowAt(b, j.w, p.kWidth) + at), n)));
}`,
    main: ({ per }) => {
      const values = (v0: string): string => each(2 * per, (i) => value(v0, i));
      return /* wgsl */ `
  let across = (p.queries + TILE - 1u) / TILE;
  let i0 = group % across * TILE;
  let chunk = group / across % p.chunks;
  let h = group / across / p.chunks % p.heads;
  let outer = group / across / p.chunks / p.heads;
  if (outer >= p.batch * p.parts) { return; }
  let b = itemOf(outer);
  let first = chunk * WIDE;
  let g = h % p.kvHeads;
  let row = lane / COLUMNS; // queries 4 · row to 4 · row + 3, and 32 further on
  let column = lane % COLUMNS; // keys column, column + 16, …; vec4s of channels likewise
  let total = keysEnd(outer);
  let apart = vec4u(0u, 16u, 32u, 48u);
${each(per, (n) => `  var near${n} = mat4x4f(); var far${n} = mat4x4f();`)}
${each(2 * per, (i) => `  var value${i}: vec4f;`)}
  var nearHighest = vec4f(LOWEST); var farHighest = vec4f(LOWEST);
  var nearSum = vec4f(); var farSum = vec4f();
  for (var j0 = keysBegin(outer); j0 < total; j0 += TILE) {
    var nearLogits = mat4x4f(); var farLogits = mat4x4f();
    let four = lane / 4u % 16u;
    let keys = min(j0 + four + apart, vec4u(total - 1u));
    var item: mat4x4f;
    ${item("0u")}
    let place = lane / 64u * 256u + lane % 4u * 64u + four;
    for (var c0 = 0u; c0 < p.dim; c0 += DEPTH) {
      workgroupBarrier();
${each(4, (e) => `      stage[place + ${16 * e}u] = Operand(item[${e}]);`)}
      workgroupBarrier();
      if (c0 + DEPTH < p.dim) { ${item("c0 + DEPTH")} }
      for (var e = 0u; e < DEPTH; e++) {
        let k4 = vec4f(stage[256u + e * 16u + column]);
        nearLogits = addOuter(nearLogits, vec4f(stage[e * 16u + row]), k4);
        farLogits = addOuter(farLogits, vec4f(stage[e * 16u + 8u + row]), k4);
      }
    }
${values("0u")}
    let own = vec4u(j0 + column) + apart;
    if (hasMask() || hasBias() || isCausal()) {
      let j = min(own, vec4u(total - 1u));
      nearLogits = biased4(nearLogits, b, h, i0 + 4u * row, j);
      farLogits = biased4(farLogits, b, h, i0 + 4u * row + 32u, j);
    }
    workgroupBarrier();
    ${meeting}[column * PITCH + row] = highest4(nearLogits);
    ${meeting}[column * PITCH + 8u + row] = highest4(farLogits);
    workgroupBarrier();
    var nearRaised = nearHighest; var farRaised = farHighest;
    for (var other = 0u; other < COLUMNS; other++) {
      nearRaised = max(nearRaised, ${meeting}[other * PITCH + row]);
      farRaised = max(farRaised, ${meeting}[other * PITCH + 8u + row]);
    }
    let nearShrink = exp4(nearHighest - nearRaised); let farShrink = exp4(farHighest - farRaised);
    nearHighest = nearRaised; farHighest = farRaised;
    let inside = select(vec4f(), vec4f(1.0), own < vec4u(total));
    let nearWeights = weights4(nearLogits, nearHighest, inside);
    let farWeights = weights4(farLogits, farHighest, inside);
    nearSum = nearSum * nearShrink + sum4(nearWeights);
    farSum = farSum * farShrink + sum4(farWeights);
${each(per, (n) => `    near${n} = ${rows(`near${n}`, "nearShrink")}; far${n} = ${rows(`far${n}`, "farShrink")};`)}
    let nearByKey = transpose(nearWeights); let farByKey = transpose(farWeights);
    let corner = column * PITCH + row;
${each(4, (e) => `    weights[corner + ${16 * e}u * PITCH] = Operand(nearByKey[${e}]); weights[corner + ${16 * e}u * PITCH + 8u] = Operand(farByKey[${e}]);`)}
    let there = min(TILE, total - j0);
    for (var v0 = 0u; v0 < there; v0 += DEPTH) {
      workgroupBarrier();
${each(2 * per, (i) => `      stage[lane + ${i * WORKGROUP}u] = Operand(value${i});`)}
      workgroupBarrier();
      if (v0 + DEPTH < there) {
${values("v0 + DEPTH")}
      }
      for (var e = 0u; e < DEPTH; e++) {
        let nearWeight = vec4f(weights[(v0 + e) * PITCH + row]); let farWeight = vec4f(weights[(v0 + e) * PITCH + 8u + row]);
${each(
  per,
  (n) =>
    `        { let v4 = vec4f(stage[e * WIDE + column + ${16 * n}u]); near${n} = addOuter(near${n}, nearWeight, v4); far${n} = addOuter(far${n}, farWeight, v4); }`,
)}
      }
    }
  }
  workgroupBarrier();
  ${meeting}[column * PITCH + row] = nearSum;
  ${meeting}[column * PITCH + 8u + row] = farSum;
  workgroupBarrier();
  nearSum = vec4f(); farSum = vec4f();
  for (var other = 0u; other < COLUMNS; other++) {
    nearSum += ${meeting}[other * PITCH + row];
    farSum += ${meeting}[other * PITCH + 8u + row];
  }
  let i = i0 + 4u * row;
  let nearGate = gates4(b, i, h); let farGate = gates4(b, i + 32u, h);
${each(per, (n) => `  storeRows(outer, i, h, first + column + ${16 * n}u, near${n}, nearHighest, nearSum, nearGate); storeRows(outer, i + 32u, h, first + column + ${16 * n}u, far${n}, farHighest, farSum, farGate);`)}`;
    },
  };
};

export const flash = attentionVariant({ name: "flash", ...text("f32") });

const keysPerPart = fillingParts(({ batch, queries, heads }) => batch * heads * Math.ceil(queries / TILE));

/** The same for few queries of many keys: the keys are shared out over workgroups too. */
export const split = attentionVariant({ name: "split", ...text("f32"), keysPerPart });

/**
 * Queries, keys, values and weights rounded to half precision before they are multiplied, as they pass workgroup memory; logits, exponentials and all
 * sums are float32. 17,152 bytes.
 */
export const flashF16 = attentionVariant({ name: "flashF16", ...text("f16") });
export const splitF16 = attentionVariant({ name: "splitF16", ...text("f16"), keysPerPart });
