/**
 * The package as others get it: packed from the sources (which builds them, as an install from git does), put into an empty
 * project, imported, type-checked and run there. Its dependencies are the ones installed here, so that no network is needed.
 */
import { execFile } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  name: string;
  bin: Record<string, string>;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
};

interface Packed {
  readonly filename: string;
  /** bytes */
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}

let place: string;
let project: string;
let packed: Packed;

async function run(folder: string, command: string, ...words: string[]) {
  return new Promise<{ code: number; out: string; err: string }>((done) => {
    execFile(command, words, { cwd: folder, maxBuffer: 2 ** 26 }, (error, out, err) =>
      done({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
    );
  });
}

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), "package-"));
  const sources = join(place, "sources");
  mkdirSync(sources);
  // As in a fresh clone: no dist.
  for (const name of readdirSync(root)) {
    if (/^(src|test|docs|weights|package\.json|prepare\.js|README\.md|LICENSE|tsconfig.*\.json)$/.test(name))
      cpSync(join(root, name), join(sources, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(sources, "node_modules"));
  const { code, out, err } = await run(sources, "npm", "pack", "--json");
  expect(code, err).toBe(0);
  [packed] = JSON.parse(out.slice(out.indexOf("["))) as Packed[];

  project = join(place, "project");
  const modules = join(project, "node_modules");
  const installed = join(modules, manifest.name);
  mkdirSync(join(modules, ".bin"), { recursive: true });
  await run(place, "tar", "xzf", join(sources, packed.filename));
  cpSync(join(place, "package"), installed, { recursive: true });
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  for (const [name, file] of Object.entries(manifest.bin)) {
    chmodSync(join(installed, file), 0o755);
    symlinkSync(join("..", manifest.name, file), join(modules, ".bin", name));
  }
  writeFileSync(join(project, "package.json"), '{ "name": "empty", "private": true, "type": "module" }\n');
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

test("what is packed: what runs, its papers, the toy and the digits, in at most 14 MB", () => {
  const paths = packed.files.map(({ path }) => path);
  for (const path of [
    "README.md",
    "LICENSE",
    "package.json",
    "weights/digits/model.json",
    "weights/toy/model.json",
    "dist/index.js",
    "dist/index.d.ts",
  ]) {
    expect(paths).toContain(path);
  }
  for (const file of Object.values(manifest.bin)) expect(paths).toContain(file);
  const strange = paths.filter(
    (path) =>
      !/^(dist\/.*\.(js|d\.ts)|weights\/(digits|toy)\/.*|docs\/[a-z.-]+\.(md|json)|README\.md|LICENSE|package\.json)$/.test(
        path,
      ),
  );
  expect(strange).toEqual([]);
  expect(packed.size).toBeLessThan(14_000_000);
});

test("both entries are imported", async () => {
  const program = `
    import * as everywhere from "${manifest.name}";
    import * as node from "${manifest.name}/node";
    console.log(typeof everywhere.WeightLoader, typeof node.openGpu, node.WeightLoader === everywhere.WeightLoader);
    const weights = await node.openWeights(new URL("./node_modules/${manifest.name}/weights/toy/vae", import.meta.url).pathname);
    console.log(weights.tensors.size > 10);
    await weights.close();`;
  writeFileSync(join(project, "import.js"), program);
  const { code, out, err } = await run(project, process.execPath, "import.js");
  expect([code, out, err]).toEqual([0, "function function true\ntrue\n", ""]);
});

describe("types, in a project that has none of its own", () => {
  const program = `import { type Gpu, record, WeightLoader } from "${manifest.name}";
import { openGpu, openWeights } from "${manifest.name}/node";

const gpu: Gpu = await openGpu({ adapter: "software" });
const device: GPUDevice = gpu.device;
const source = await openWeights("weights.safetensors");
const loader = WeightLoader.from(gpu, source, { dtype: "bf16", rename: [["module.", ""]] });
const matrix = loader.linear("proj.weight", 8, 4);
await loader.load({ nonFinite: "ignore", onProgress: (done: number, total: number) => void (done / total) });
export const out: number = matrix.out + device.limits.maxBufferSize + record.length;
`;
  test.each([
    ["bundler", "esnext"],
    ["node16", "node16"],
    ["nodenext", "nodenext"],
  ])("%s", async (moduleResolution, module) => {
    writeFileSync(join(project, "program.ts"), program);
    // Libraries are checked too: whatever a declaration needs has to come with the package.
    const compilerOptions = {
      moduleResolution,
      module,
      target: "es2022",
      strict: true,
      noEmit: true,
      skipLibCheck: false,
    };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
    const { code, out } = await run(
      project,
      process.execPath,
      join(root, "node_modules/typescript/bin/tsc"),
      "-p",
      ".",
    );
    expect([code, out]).toEqual([0, ""]);
  });

  test("a mistake is one", async () => {
    writeFileSync(join(project, "program.ts"), program.replace("maxBufferSize", "maxBufferWeight"));
    const { code, out } = await run(
      project,
      process.execPath,
      join(root, "node_modules/typescript/bin/tsc"),
      "-p",
      ".",
    );
    expect(code).not.toBe(0);
    expect(out).toMatch(/maxBufferWeight/);
  });
});

test.each(["mimic-video-probe", "mimic-video-generate", "mimic-video-inspect", "mimic-video-convert"])(
  "npx %s --help",
  async (name) => {
    const { code, out } = await run(project, "npx", "--no-install", name, "--help");
    expect(code).toBe(0);
    expect(out).toMatch(/--help/);
  },
);

test("without the compiler, as after npm ci --omit=dev, prepare does nothing and does not fail", async () => {
  const bare = join(place, "bare");
  mkdirSync(join(bare, "dist"), { recursive: true });
  cpSync(join(root, "prepare.js"), join(bare, "prepare.js"));
  writeFileSync(join(bare, "package.json"), '{ "type": "module" }');
  expect(await run(bare, process.execPath, "prepare.js")).toEqual({ code: 0, out: "", err: "" });
  expect(existsSync(join(bare, "dist"))).toBe(true);
});
