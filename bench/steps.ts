/**
 * Whole steps of models, as the probe and the samplers run them: time, operations and the number of dispatches. Those that
 * would take minutes on a software adapter are estimated from the measured roof first. A family of steps a file in `steps/`.
 */
import { toyDecoder, upstreamDecoder } from "./steps/decoder.ts";
import { DERIVATIVES, derivativeStep } from "./steps/derivative.ts";
import { COSMOS_ENCODER, publishedEncoder, toyEncoder, WAN_ENCODER } from "./steps/encoder.ts";
import { digitsFromFiles, digitsInOneCall, SAMPLES } from "./steps/meanflow.ts";
import type { StepCase } from "./steps/step.ts";
import { cosmosTransformer, toyTransformer } from "./steps/transformer.ts";

/** The clip that the published encoders get: frames, rows, columns. */
const CLIP = [17, 480, 640] as const;

/** Rows that hold u and du/dt in one pass against u alone. */
const derivatives = Object.entries(DERIVATIVES).map(([network, c]): StepCase => ({
  name: `derivative, ${network}`,
  measure: derivativeStep(c),
}));

export const STEPS: readonly StepCase[] = [
  { name: "action decoder step, toy", measure: toyDecoder },
  { name: "action decoder step, upstream size", measure: upstreamDecoder },
  { name: "transformer step, toy", measure: toyTransformer },
  { name: "transformer step, Cosmos 2B", measure: cosmosTransformer },
  { name: `${SAMPLES} digits in one call`, measure: digitsInOneCall },
  { name: `${SAMPLES} digits in one call, from their files on`, measure: digitsFromFiles },
  { name: "VAE encode, toy", measure: toyEncoder },
  { name: `VAE encode, Cosmos 1.0, ${CLIP.join("×")}`, measure: publishedEncoder(COSMOS_ENCODER, CLIP) },
  { name: `VAE encode, Wan 2.1, ${CLIP.join("×")}`, measure: publishedEncoder(WAN_ENCODER, CLIP) },
  ...derivatives,
];
