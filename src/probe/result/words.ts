/** How numbers and lists are written, wherever the probe writes. */

/** A number for reading: three significant digits, plain between 0.001 and 10000. */
export function short(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const plain = () => (size < 1000 ? size.toPrecision(3) : String(Math.round(size)));
  const text =
    size < 0.001 || size >= 10000 ? size.toExponential(1).replace("-", "−").replace("+", "") : plain();
  return value < 0 ? `−${text}` : text;
}

/** "1 episode", "2 episodes". */
export const count = (n: number, thing: string): string => `${n} ${thing}${n === 1 ? "" : "s"}`;

/** "step 5", "steps 5, 10". */
export const listOf = (steps: readonly number[]): string =>
  `${steps.length === 1 ? "step" : "steps"} ${steps.join(", ")}`;

/** Breaks a sentence between words into lines of at most `width` characters. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line !== undefined && line.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Those of `kept` whose labels have room on an axis: its ends, and between them what is `room` of the axis away from the next. */
export function withRoom(steps: readonly number[], kept: readonly number[], room = 0.07): number[] {
  const [first, last] = [kept[0], kept[kept.length - 1]];
  const apart = (a: number, b: number): boolean =>
    Math.abs(steps[a] - steps[b]) >= room * (steps[last] - steps[first]);
  const shown = [last];
  for (const i of kept.slice(1, -1).reverse()) if (apart(i, shown[0]) && apart(i, first)) shown.unshift(i);
  return first === last ? shown : [first, ...shown];
}

/**
 * Indices of at most about `most` of ascending whole numbers, to label or list them: all while they are few, else the
 * multiples of a round stride, and always the last.
 */
export function roundIndices(steps: number[], most: number): number[] {
  const all = steps.map((_, i) => i);
  const last = steps.length - 1;
  if (steps.length <= most) return all;
  const isKept = (i: number, stride: number) =>
    i === last || (steps[i] % stride === 0 && steps[i] + stride / 2 < steps[last]);
  for (let decade = 1; ; decade *= 10)
    for (const stride of [decade, 2 * decade, 5 * decade]) {
      const kept = all.filter((i) => isKept(i, stride));
      if (kept.length <= most) return kept;
    }
}
