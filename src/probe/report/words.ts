/** How findings put two numbers in relation. */
import { short } from "../result/sentences.ts";

/** "26 % of", "3.4 times". */
export function portion(part: number, whole: number): string {
  const ratio = part / whole;
  return ratio < 2 ? `${Number((100 * ratio).toPrecision(2))} % of` : `${short(ratio)} times`;
}
