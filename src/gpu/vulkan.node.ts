/**
 * What this machine has of Vulkan, found out without asking Dawn: where it finds no driver it prints warnings of several lines, with
 * paths of the machine that it was built on, and nothing can silence them.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";

export const LOADER_FILE = "libvulkan.so.1";

/** Whether the system has a Vulkan loader; always true where Dawn does not use Vulkan. */
export function hasVulkanLoader(): boolean {
  return process.platform !== "linux" || !/cannot open shared object/.test(loadLibrary(LOADER_FILE));
}

/**
 * Whether the loader would find a driver that can be loaded; always true where Dawn does not use Vulkan.
 * @param env where the variables of the loader are read
 */
export function hasVulkanDriver(env: NodeJS.ProcessEnv = process.env): boolean {
  return process.platform !== "linux" || manifests(env).some((file) => isLoadable(file));
}

/** The manifests of drivers, as the loader looks for them (its documentation, "Driver discovery on Linux"). */
function manifests(env: NodeJS.ProcessEnv): string[] {
  const list = (value: string | undefined): string[] => (value ?? "").split(":").filter(Boolean);
  const forced = env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES;
  const home = env.HOME ?? os.homedir();
  const roots = [
    ...list(env.XDG_CONFIG_HOME ?? path.join(home, ".config")),
    ...list(env.XDG_CONFIG_DIRS ?? "/etc/xdg"),
    "/usr/local/etc",
    "/etc",
    ...list(env.XDG_DATA_HOME ?? path.join(home, ".local/share")),
    ...list(env.XDG_DATA_DIRS ?? "/usr/local/share:/usr/share"),
  ];
  const places = forced
    ? list(forced)
    : [...list(env.VK_ADD_DRIVER_FILES), ...roots.map((root) => path.join(root, "vulkan/icd.d"))];
  return places.flatMap((place) => {
    try {
      if (!statSync(place).isDirectory()) return [place];
      return readdirSync(place).flatMap((name) => (name.endsWith(".json") ? [path.join(place, name)] : []));
    } catch {
      return [];
    }
  });
}

/** Whether a manifest names a library that loads; it stays loaded, as the loader is about to do the same. */
function isLoadable(manifest: string): boolean {
  try {
    const { ICD } = JSON.parse(readFileSync(manifest, "utf8")) as { ICD?: { library_path?: unknown } };
    const library = ICD?.library_path;
    if (typeof library !== "string") return false;
    // A name alone is looked for by the system, a path counts from its manifest.
    const file = library.includes("/") ? path.resolve(path.dirname(manifest), library) : library;
    // What Node says of a library that loads is that it is no addon.
    return /did not self-register|^$/.test(loadLibrary(file, "local"));
  } catch {
    return false;
  }
}

/**
 * Loads a shared library for the whole process and keeps it; returns what Node says of it, as it is never an addon.
 * @param names whether libraries loaded later find its functions by their names; drivers share names with one another
 */
export function loadLibrary(file: string, names: "global" | "local" = "global"): string {
  const { RTLD_NOW, RTLD_GLOBAL, RTLD_LOCAL } = os.constants.dlopen;
  // Keeps the library in memory after Node finds that it is not an addon and closes it (glibc's RTLD_NODELETE).
  const keep = 0x1000;
  try {
    process.dlopen({ exports: {} }, file, RTLD_NOW | (names === "global" ? RTLD_GLOBAL : RTLD_LOCAL) | keep);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}
