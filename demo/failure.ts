/** What went wrong, as a sentence and what to do; the page stays usable. */
import { byId } from "./dom.ts";

/** Titles and remedies by error class, see src/errors.ts. */
const KINDS: Record<string, readonly [title: string, remedy: string]> = {
  AdapterError: ["There is no GPU this page can use", "The episodes can still be looked at."],
  DeviceLostError: ["The GPU was lost", "Press Run to open it again and start over."],
  GPUOutOfMemoryError: [
    "The GPU is out of memory",
    "Use fewer video seeds or episodes, or close other tabs that use it.",
  ],
  GPUValidationError: ["The GPU refused a command", "Another browser may accept it."],
  GPUInternalError: ["The GPU’s driver failed", "Press Run to try again; a newer driver may help."],
  GpuValidationError: ["The GPU refused a command", "Another browser may accept it."],
  FormatError: ["A file cannot be used", "Choose another model, or go back to the toy."],
  WeightsError: ["The weights do not fit the model", "Choose another model, or go back to the toy."],
  HubError: ["The Hub did not give what was asked for", "Choose another model, or go back to the toy."],
  LinkError: ["Not all of the link can be followed", "The rest of it is set."],
  UsageError: ["That cannot be run", "Change it and press Run again."],
  Saturated: ["Some weights do not fit float16", "Keep them as float32 or bfloat16."],
  NonFiniteError: ["The numbers left the range of floating point", "Try float32 weights, or another device."],
};

/** Adapters refuse for two reasons; too little memory is not the same as no adapter. */
const TOO_SMALL = [
  "The model does not fit on this GPU",
  "Use fewer video seeds, bfloat16 weights, or a smaller model.",
] as const;

/**
 * A failure in words.
 * @param remedy what to do, where the page knows better than the kind of error does
 */
export function failureWords(
  kind: string,
  message: string,
  remedy?: string,
): { readonly title: string; readonly text: string } {
  const tooSmall = kind === "AdapterError" && /out of GPU memory|needs \d+ bytes/.test(message);
  const [title, usual] = tooSmall
    ? TOO_SMALL
    : (KINDS[kind] ?? ["Something went wrong", "Reload the page to start over."]);
  // The command line's options are this page's fields.
  const words = message.replace(/--([a-z-]+)/g, (_, name: string) => `“${name.replaceAll("-", " ")}”`);
  const sentence = words.charAt(0).toUpperCase() + words.slice(1);
  return { title, text: `${sentence.replace(/[^.!?]$/, "$&.")} ${remedy ?? usual}` };
}

export function showFailure(kind: string, message: string, remedy?: string): void {
  const { title, text } = failureWords(kind, message, remedy);
  byId("failure-title").textContent = title;
  byId("failure-text").textContent = text;
  byId("failure").hidden = false;
}

export function hideFailure(): void {
  byId("failure").hidden = true;
}
