/** In the page's worker: which models belong to the section of the digits. */
import { modelFilesOf } from "../src/weights/model-files.browser.ts";
import type { OpenedPlace } from "./place.ts";

/**
 * Whether it is a MeanFlow model, whose pictures digits/ draws: its description says so, or its keys where it has none.
 * @throws FormatError for what no system knows
 */
export async function drawsSamples({ name, sources }: OpenedPlace): Promise<boolean> {
  const files = modelFilesOf(name, sources);
  if (sources.has("model.json"))
    return ((await files.json("model.json")) as { readonly kind?: unknown } | null)?.kind === "meanflow";
  if (sources.has("config.json") || sources.has("model_index.json")) return false;
  const { recognise } = await import("../src/systems/registry.ts");
  return (await recognise(files)).name === "meanflow";
}
