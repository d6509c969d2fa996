/** The section with two runs side by side; what is in it is loaded when it is opened. */
import type { Comparison, ComparisonPage } from "./comparison.ts";

export interface ComparisonDoor {
  /** undefined until the section was opened */
  readonly inside: Comparison | undefined;
  enabled: boolean;
}

export function offerComparison(section: HTMLDetailsElement, page: ComparisonPage): ComparisonDoor {
  let inside: Comparison | undefined;
  let enabled = false;
  const load = async (): Promise<void> => {
    const { Comparison } = await import("./comparison.ts");
    inside ??= new Comparison(section, page);
    inside.enabled = enabled;
  };
  section.addEventListener("toggle", () => {
    if (section.open && !inside) load().catch(page.refuse);
  });
  return {
    get inside() {
      return inside;
    },
    get enabled() {
      return enabled;
    },
    set enabled(value) {
      enabled = value;
      if (inside) inside.enabled = value;
    },
  };
}
