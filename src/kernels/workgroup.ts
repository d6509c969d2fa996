/** What the invocations of a workgroup do together. */

/** `sumOfWorkgroup(lane, value)`: one value of every invocation, added up; all of them call it. */
export const sumOfWorkgroup = (type: "f32" | "vec2f" | "vec4f"): string => /* wgsl */ `
var<workgroup> partial: array<${type}, WORKGROUP>;
fn sumOfWorkgroup(lane: u32, value: ${type}) -> ${type} {
  if (WORKGROUP == 1u) { return value; }
  workgroupBarrier();
  partial[lane] = value;
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { partial[lane] += partial[lane + half]; }
  }
  workgroupBarrier();
  return partial[0];
}`;

/**
 * `together(slot, own, sum)`: where LANES invocations share a row, ROWS rows a workgroup, what those of a row have, added up; all of them call it.
 * The slot is where a row meets in workgroup memory, `own` the lane in the row.
 */
export const sumOfRow = (type: "vec2f" | "vec4f"): string => /* wgsl */ `
var<workgroup> partial: array<${type}, LANES * ROWS>;
fn together(slot: u32, own: u32, sum: ${type}) -> ${type} {
  if (LANES == 1u) { return sum; }
  workgroupBarrier();
  partial[slot + own] = sum;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (own < half) { partial[slot + own] += partial[slot + own + half]; }
  }
  workgroupBarrier();
  return partial[slot];
}`;
