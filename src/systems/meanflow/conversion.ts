/** A checkpoint of a known repository on its way to one file with the network's own keys, and what it says of itself in the file's metadata. */
import { mapKeys } from "../../weights/key-map.ts";
import type { TensorSource } from "../../weights/source.ts";
import type { Conversion } from "../system.ts";
import { describeAlone, METADATA } from "./description.ts";
import { layoutOf } from "./layouts.ts";

/** @returns undefined where it is no such checkpoint. @throws UsageError where its configuration and its tensors contradict each other */
export function conversionOf(stored: TensorSource): Conversion | undefined {
  const layout = layoutOf(stored.tensors);
  if (!layout) return undefined;
  const { architecture, prefix, averaged } = layout;
  const source = mapKeys(stored, layout.map);
  const { unknown, ...known } = describeAlone(source, architecture);
  const asked = Array.isArray(unknown) && unknown.length > 0 ? unknown.join(", ") : undefined;
  return {
    source,
    // What is not known is not written: a model.json then says it.
    metadata: asked === undefined ? { [METADATA]: JSON.stringify(known) } : {},
    words: [
      `recognised as ${architecture}${prefix === "" ? "" : `, its keys without "${prefix}"`}${averaged ? " (the averaged weights)" : ""}`,
      ...(asked === undefined ? [] : [`its tensors do not say ${asked}: a model.json beside it has to`]),
    ].join("; "),
  };
}
