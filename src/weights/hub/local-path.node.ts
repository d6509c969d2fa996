/** Whether a name was meant as a local path: a path that is misspelt is not to be asked for on the Hub. */
import { stat } from "node:fs/promises";

/**
 * True for what begins as a path does, ends as a file of weights does, or lies in a folder that exists here; `owner/name@main`
 * is never one.
 */
export async function looksLocal(text: string): Promise<boolean> {
  if (/^[^/\\]+\/[^/@\\]+@/.test(text) && !text.startsWith(".")) return false;
  if (/^([./~\\]|[A-Za-z]:[\\/])|[\\/]$|\\/.test(text)) return true;
  if (/^[^:]*\.(safetensors|pt|pth|ckpt|bin|json)$/i.test(text)) return true;
  const [first] = text.split("/");
  const stats = await stat(first).catch(() => undefined);
  return stats?.isDirectory() === true;
}
