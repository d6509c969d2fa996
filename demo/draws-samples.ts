/** In the page's worker: which models belong to the section of the digits. */
import { modelFilesOf } from "../src/weights/model-files.browser.ts";
import type { OpenedPlace } from "./place.ts";

/** Whether it is a MeanFlow model, whose pictures digits/ draws: its description says so, or its keys where it has none. */
export async function drawsSamples({ name, sources }: OpenedPlace): Promise<boolean> {
  const files = modelFilesOf(name, sources);
  if (sources.has("model.json"))
    return ((await files.json("model.json")) as { readonly kind?: unknown } | null)?.kind === "meanflow";
  if (sources.has("config.json") || sources.has("model_index.json")) return false;
  const { missing } = await import("../src/systems/meanflow/files.ts");
  return (await missing(files)).length === 0;
}
