/** Lines of WGSL, one for each number below n: what a loop over registers would be. */
export const each = (n: number, line: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => line(i)).join("\n");

/** The same as operands: "a0, a1, a2". */
export const list = (n: number, item: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => item(i)).join(", ");
