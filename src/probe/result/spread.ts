/** What the spread over seeds says of prompts that leave something open, in words. */
import type { ProbeResult } from "./result.ts";
import { lastStep, seedName } from "./sentences.ts";
import { short } from "./words.ts";

/** A sentence for each kind of seeds of which there were several; none where the data do not say what is ambiguous. */
export function spreadSentences(result: ProbeResult): string[] {
  return result.spread_by_label.flatMap(({ seeds, contrast }) => {
    if (!contrast) return [];
    const last = contrast.difference.length - 1;
    const ends = contrast.interval?.[last];
    const by = `${short(contrast.difference[last])}${ends ? ` [${short(ends.low)}, ${short(ends.high)}]` : ""}`;
    const words =
      ends && ends.low > 0
        ? "spread more"
        : ends && ends.high < 0
          ? "spread less"
          : "are not shown to spread more or less";
    return [
      `Over ${seeds === "video" ? seedName(result) : "action seed"}s ambiguous prompts ${words} than unambiguous ones: difference ${by} (mean squared, decodes at step ${lastStep(result)}).`,
    ];
  });
}
