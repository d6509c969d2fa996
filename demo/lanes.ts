/** The action chunk over its positions, one small plot for each dimension; for models whose actions are no path too. */
import { make } from "./dom.ts";
import type { Strand } from "./overlay.ts";
import type { ModelView } from "./protocol.ts";

const [WIDTH, HEIGHT, EDGE] = [240, 64, 5];
const STYLES: Record<Strand["look"], string> = {
  truth: 'stroke="var(--truth)" stroke-width="2" stroke-dasharray="5 4"',
  earlier: 'stroke="var(--model)" stroke-width="1" opacity="0.4"',
  seed: 'stroke="var(--model)" stroke-width="1.4" opacity="0.75"',
  main: 'stroke="var(--model)" stroke-width="2.6"',
};

/** Makes the plots of a model's dimensions, empty. @returns what draws strands into them */
export function makeLanes(parent: HTMLElement, model: ModelView): (strands: readonly Strand[]) => void {
  const { actionNames, actionUnits, chunkLength: T } = model;
  const D = actionNames.length;
  const drawings = actionNames.map((name, d) => {
    const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    drawing.setAttribute("preserveAspectRatio", "none");
    const unit = make("small", { textContent: actionUnits[d], title: actionUnits[d] });
    const figure = make("figure", {}, make("figcaption", {}, name, unit));
    figure.append(drawing);
    return { drawing, figure };
  });
  parent.replaceChildren(...drawings.map(({ figure }) => figure));

  return (strands) => {
    drawings.forEach(({ drawing }, d) => {
      // Noise may lie far out; the lines of what is known decide the scale, which then stays while steps change.
      const known = strands.filter(({ look }) => look === "truth" || look === "main");
      const values = known.flatMap(({ chunk }) => Array.from({ length: T }, (_, t) => chunk[t * D + d]));
      const low = Math.min(-1.1, ...values);
      const high = Math.max(1.1, ...values);
      const y = (value: number): string =>
        (HEIGHT - EDGE - ((value - low) / (high - low)) * (HEIGHT - 2 * EDGE)).toFixed(1);
      const line = ({ chunk, look }: Strand): string => {
        const points = Array.from(
          { length: T },
          (_, t) => `${((t / (T - 1)) * WIDTH).toFixed(1)},${y(chunk[t * D + d])}`,
        );
        return `<polyline points="${points.join(" ")}" fill="none" ${STYLES[look]} vector-effect="non-scaling-stroke"/>`;
      };
      const zero = `<line x1="0" x2="${WIDTH}" y1="${y(0)}" y2="${y(0)}" stroke="var(--line)" vector-effect="non-scaling-stroke"/>`;
      drawing.innerHTML = zero + strands.map(line).join("");
    });
  };
}
