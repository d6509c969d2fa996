/** The same noise led to samples in several ways at once, state by state as they are computed: what is drawn beside one another. */
import type { Drawn, DrawRequest, Sampler } from "./sampler.ts";

/** A state of the way that a rule leads; valid until the next is asked for. */
export interface DrawnBeside<R extends string> extends Drawn {
  readonly rule: R;
}

/**
 * Yields the noise of every rule, then the rules in turn after each call: the same number of calls of each before any goes on. Leaving the loop ends
 * all of them.
 * @throws UsageError for what the network cannot do, before anything is computed; the signal's reason when it is aborted
 */
export async function* sideBySide<R extends string>(
  sampler: Sampler,
  request: Omit<DrawRequest, "rule">,
  rules: readonly R[],
): AsyncGenerator<DrawnBeside<R>, void, void> {
  for (const rule of rules) sampler.checkRule(rule);
  const ways = rules.map((rule) => ({ rule, states: sampler.draw({ ...request, rule }) }));
  try {
    for (let step = 0; step <= request.calls; step++)
      for (const { rule, states } of ways) {
        const { value } = await states.next();
        if (value) yield { ...value, rule };
      }
  } finally {
    for (const { states } of ways) await states.return();
  }
}
