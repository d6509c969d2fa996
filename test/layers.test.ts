/** Who may know whom: the imports of src, held to the arrows of CLAUDE.md. */
import { readdir, readFile } from "node:fs/promises";
import { join, normalize } from "node:path";
import { expect, it } from "vitest";

/** Rooms from the ground up: each may know those before it that are named, and itself. */
const MAY_KNOW: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  gpu: ["errors"],
  tensor: ["errors", "gpu"],
  kernels: ["errors", "gpu", "tensor"],
  weights: ["errors", "gpu", "tensor"],
  data: ["errors", "weights"],
  sampling: ["errors", "gpu", "tensor", "kernels"],
  networks: ["errors", "gpu", "tensor", "kernels", "weights"],
  "probe/subject": ["gpu", "tensor"],
  "systems/policy": [],
  systems: [
    "errors",
    "gpu",
    "tensor",
    "kernels",
    "weights",
    "data",
    "sampling",
    "networks",
    "probe/subject",
    "systems/policy",
  ],
  server: ["errors", "systems/policy"],
  probe: ["errors", "gpu", "tensor", "kernels", "weights", "probe/subject"],
  worlds: ["errors", "sampling", "systems/policy"],
  rollout: ["errors", "sampling", "systems/policy", "worlds", "probe", "probe/subject"],
};

/** Files that rooms may know which know nothing of the room they lie in. */
const INTERFACES: readonly string[] = ["probe/subject", "systems/policy"];

async function sources(): Promise<Map<string, string[]>> {
  const imports = new Map<string, string[]>();
  for (const entry of await readdir("src", { recursive: true, withFileTypes: true })) {
    if (!entry.name.endsWith(".ts")) continue;
    const path = join(entry.parentPath, entry.name);
    const text = await readFile(path, "utf8");
    const found = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)];
    imports.set(
      path,
      found.map(([, to]) => normalize(join(path, "..", to))),
    );
  }
  return imports;
}

const room = (path: string): string => {
  const inside = path.replace(/^src\//, "").replace(/\.ts$/, "");
  // A file beside the rooms is a face or a command line, and may know everything; the errors are known to all.
  if (!inside.includes("/")) return inside === "errors" ? inside : "face";
  return INTERFACES.includes(inside) ? inside : inside.split("/")[0];
};

it("no arrow runs the other way", async () => {
  const wrong: string[] = [];
  for (const [from, all] of await sources()) {
    const known = MAY_KNOW[room(from)] as readonly string[] | undefined;
    // Command lines, commands, parity and the library's faces may know everything.
    if (!known) continue;
    for (const to of all)
      if (room(to) !== room(from) && !known.includes(room(to))) wrong.push(`${from} → ${to}`);
  }
  expect(wrong).toEqual([]);
});

it("systems do not know one another", async () => {
  const wrong: string[] = [];
  const system = (path: string): string | undefined => /^src\/systems\/([^/]+)\//.exec(path)?.[1];
  for (const [from, all] of await sources()) {
    if (!system(from)) continue;
    for (const to of all) if (system(to) && system(to) !== system(from)) wrong.push(`${from} → ${to}`);
  }
  expect(wrong).toEqual([]);
});

it("only the registry knows systems by name", async () => {
  const wrong: string[] = [];
  for (const [from, all] of await sources()) {
    if (/^src\/(systems|index|parity)/.test(from)) continue;
    for (const to of all) if (/^src\/systems\/[^/]+\//.test(to)) wrong.push(`${from} → ${to}`);
  }
  expect(wrong).toEqual([]);
});
