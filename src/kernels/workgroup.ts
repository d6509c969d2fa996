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
