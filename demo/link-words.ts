/** What of an address cannot be followed: said, and left out, so that the rest of it still holds. */
import { probeCommand } from "../src/commands/probe/settings.ts";
import { stepsToProbe } from "../src/probe/experiment/settings.ts";
import { NAMES, refusedSetting } from "./digits/settings.ts";
import type { ModelView } from "./protocol.ts";

/** Names that an address may have beside the fields of the forms. */
const OTHERS: readonly string[] = ["model", "data", "episode", "prompt", "step", ...NAMES];

/** Fields whose values the command line's own rules read. */
const TYPED = ["video-steps", "action-steps", "probe-steps", "video-seeds", "action-seeds"];

/**
 * Takes out of `link` what no field takes or its rules refuse.
 * @param forms whose fields the names are
 * @returns a sentence for each
 */
export function refusedValues(link: URLSearchParams, forms: readonly HTMLFormElement[]): string[] {
  const refused = new Map<string, string>();
  for (const name of new Set(link.keys())) {
    const words = refusal(name, link.getAll(name), forms);
    if (words !== undefined) refused.set(name, words);
  }
  const [steps, N] = [link.get("probe-steps"), link.get("video-steps")];
  if (steps !== null && !refused.has("probe-steps") && !refused.has("video-steps")) {
    const words = complaint(() => {
      const { settings } = probeCommand(
        { "probe-steps": steps, ...(N !== null && { "video-steps": N }) },
        "toy",
      );
      stepsToProbe(settings.probeSteps, settings.videoSteps ?? 50);
    });
    if (words !== undefined) refused.set("probe-steps", words);
  }
  for (const name of refused.keys()) link.delete(name);
  return [...refused.values()];
}

function refusal(
  name: string,
  values: readonly string[],
  forms: readonly HTMLFormElement[],
): string | undefined {
  if (values.length > 1) return `${name} stands there ${values.length} times`;
  const [value] = values;
  const field = forms.map(({ elements }) => elements.namedItem(name)).find(Boolean);
  if (!field && !OTHERS.includes(name)) return `there is no “${name.slice(0, 40)}” to be set`;
  if (name === "step" || name === "episode")
    return /^\d{1,9}$/.test(value) ? undefined : `${name} “${value.slice(0, 40)}” is no whole number`;
  if (name.startsWith("digits")) return refusedSetting(name, value);
  if (field instanceof HTMLSelectElement) {
    const known = [...field.options].map((option) => option.value);
    return known.includes(value)
      ? undefined
      : `${name} “${value.slice(0, 40)}” is none of ${known.join(", ")}`;
  }
  return TYPED.includes(name) ? complaint(() => probeCommand({ [name]: value }, "toy")) : undefined;
}

function complaint(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/\.$/, "");
  }
}

/** What of the address the model that is shown does not have. */
export function absentHere(link: URLSearchParams, { episodes, name }: ModelView): string[] {
  const episode = link.get("episode");
  if (episode === null || episodes[Number(episode)]) return [];
  return [`there is no episode ${episode} here; ${name} shows 0 to ${episodes.length - 1}`];
}
