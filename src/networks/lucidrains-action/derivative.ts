/**
 * How the action decoder's flow changes along its own way: v(x, t) and dv/dt = ∂v/∂x · v + ∂v/∂t, by forward-mode derivatives (kernels/jvp.ts).
 * The video and everything else that it is told stay.
 */
import { jvp } from "../../kernels/jvp.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { ActionDecoder, DecoderInputs } from "./decoder.ts";
import type { TimeRates } from "./times.ts";

/**
 * Records the flow at the actions given, and its rate of change. Two evaluations' worth behind the one that gives the direction.
 * @param inputs without a memory: what a remembering step sees is no state that moves
 * @param rates of the times, as `TimeTable.writeRates` writes them
 * @returns both (B, n, A), in the units of the normalised actions a unit of time, and a unit of time squared
 * @throws UsageError when there is a memory
 */
export function flowAndRate(
  decoder: ActionDecoder,
  inputs: DecoderInputs,
  rates: TimeRates,
): { readonly flow: Tensor; readonly rate: Tensor } {
  const { flow } = decoder.forward(inputs);
  const { actions, times } = inputs;
  const { tangent } = jvp(
    () => decoder.forward(inputs).flow,
    [
      [actions, flow],
      [times.features, rates.features],
      [times.times, rates.times],
    ],
  );
  return { flow, rate: tangent };
}
