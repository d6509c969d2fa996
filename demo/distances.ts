/** How far two runs' actions are apart at each step, and in words. */
import { short } from "../src/probe/result/sentences.ts";
import { percent } from "./answer.ts";
import { meanError } from "./chunk.ts";

/** Mean squared distances where both sides were reached. */
export function distances(
  steps: readonly number[],
  left: readonly (Float32Array | undefined)[],
  right: readonly (Float32Array | undefined)[],
): { readonly step: number; readonly distance: number }[] {
  return steps.flatMap((step, k) => {
    const [a, b] = [left[k], right[k]];
    return a && b ? [{ step, distance: meanError([a], [b]) }] : [];
  });
}

/**
 * @param shown the step that is looked at
 * @param still how far both last actions are from standing still; undefined where that is not known
 */
export function apartSentence(
  found: readonly { readonly step: number; readonly distance: number }[],
  shown: number,
  videoSteps: number,
  still: number | undefined,
): string {
  const at = (step: number): string | undefined => {
    const one = found.find((each) => each.step === step);
    if (!one) return undefined;
    const share = still ? ` (${percent(one.distance / still)} of standing still)` : "";
    return `${short(one.distance)}${share}`;
  };
  const last = found[found.length - 1];
  const own = at(shown);
  if (!own) return `at step ${shown} only one side has been reached.`;
  const end = last.step === shown ? "" : `; at step ${last.step} ${at(last.step)}`;
  return `the two actions are ${own} apart at step ${shown} of ${videoSteps}${end}.`;
}
