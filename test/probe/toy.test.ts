/**
 * The main job against what PyTorch computed from the same weights, episodes and noise (weights/toy/episodes/reference.*),
 * as a user runs it: the built command in a process of its own.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openWeights } from "../../src/weights/open.node.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { expectErrors, type Reference } from "./toy-reference.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const toy = join(root, "weights/toy");
const eight = ["--data", join(toy, "episodes"), "--noise", join(toy, "episodes/noise.safetensors")];
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probe-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

function start(words: readonly string[]): { child: ChildProcess; finished: Promise<Finished> } {
  const child = spawn(process.execPath, [join(root, "dist/probe.js"), ...words], { cwd: folder });
  const text = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => (text.stdout += String(chunk)));
  child.stderr.on("data", (chunk) => (text.stderr += String(chunk)));
  const finished = new Promise<Finished>((resolve) =>
    child.on("close", (code) => resolve({ code, ...text })),
  );
  return { child, finished };
}

const probe = (...words: string[]): Promise<Finished> => start(words).finished;

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function numbers(out: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(folder, out, "probe.json"), "utf8")) as Record<string, unknown>;
}

/** Those of the references. */
const STEPS = ["--probe-steps", "0,5,10,20,30,40,50"];

describe("the probe on the toy", () => {
  it("gives PyTorch's errors within 0.01 % and its actions within 2e-4", { timeout: 400_000 }, async () => {
    const episodes = [1, 6];
    const { code, stderr } = await probe(
      ...eight,
      ...STEPS,
      ...["--episodes", episodes.join(), "--video-seeds", "2"],
      "--out",
      "reference",
    );
    expect(stderr).toContain("probing");
    expect(code, stderr).toBe(0);
    const result = (await numbers("reference")) as unknown as Reference;
    const reference = JSON.parse(await readFile(join(toy, "episodes/reference.json"), "utf8")) as Reference;
    expectErrors(result, reference, episodes);
    const [ours, theirs] = await Promise.all(
      [join(folder, "reference/actions.safetensors"), join(toy, "episodes/reference.safetensors")].map(
        async (file) => {
          const source = await openWeights(file);
          const values = toFloat32(await source.read("actions"), "F32");
          await source.close();
          return values;
        },
      ),
    );
    const each = ours.length / episodes.length;
    let worst = 0;
    for (const [e, episode] of episodes.entries()) {
      for (let i = 0; i < each; i++)
        worst = Math.max(worst, Math.abs(ours[e * each + i] - theirs[episode * each + i]));
    }
    expect(worst).toBeLessThan(2e-4);
    expect(worst).toBeGreaterThan(0);
    const png = await readFile(join(folder, "reference/action_convergence.png"));
    expect(png.subarray(1, 4).toString()).toBe("PNG");
  });

  it("gives PyTorch's errors on its default data within 0.01 %", { timeout: 600_000 }, async () => {
    const more = ["--noise", join(toy, "more/noise.safetensors"), "--out", "more"];
    const { code, stderr } = await probe(...more, ...STEPS, "--episodes", "0,17,40,63");
    expect(code, stderr).toBe(0);
    const reference = JSON.parse(await readFile(join(toy, "more/reference.json"), "utf8")) as Reference;
    expectErrors((await numbers("more")) as unknown as Reference, reference, [0, 17, 40, 63]);
  });

  const few = ["--video-steps", "3", "--probe-steps", "1,3", "--action-steps", "2", "--video-seeds", "1"];

  it("gives the same bytes twice, and after an interrupt", { timeout: 200_000 }, async () => {
    const words = [...few, "--episodes", "3"];
    expect((await probe(...words, "--out", "once")).code).toBe(0);
    const { child, finished } = start([...words, "--out", "interrupted"]);
    await new Promise<void>((resolve) => {
      const poll = setInterval(() => {
        void exists(join(folder, "interrupted/units/episode-000000.safetensors")).then((saved) => {
          if (!saved) return;
          clearInterval(poll);
          resolve();
        });
      }, 20);
    });
    child.kill("SIGINT");
    const { code, stderr } = await finished;
    expect(code, stderr).toBe(130);
    expect(stderr).toContain("--resume");
    expect(await exists(join(folder, "interrupted/probe.json"))).toBe(false);
    expect((await probe(...words, "--out", "interrupted", "--resume")).code).toBe(0);
    for (const name of ["probe.json", "actions.safetensors", "action_convergence.png"]) {
      const [one, two] = await Promise.all(
        ["interrupted", "once"].map((out) => readFile(join(folder, out, name))),
      );
      expect(one.equals(two), name).toBe(true);
    }
  });

  it("keeps bfloat16 weights as they are stored, exactly", { timeout: 100_000 }, async () => {
    expect((await probe(...few, "--episodes", "1", "--dtype", "bf16", "--out", "bf16")).code).toBe(0);
    expect((await probe(...few, "--episodes", "1", "--dtype", "f32", "--out", "f32")).code).toBe(0);
    const [a, b] = [await numbers("bf16"), await numbers("f32")];
    expect(a.video_axis).toEqual(b.video_axis);
  });
});

describe("bad input", () => {
  /** A copy of the toy that can be broken. */
  async function broken(name: string, spoil: (copy: string) => Promise<void>): Promise<string> {
    const copy = join(folder, name);
    await cp(toy, copy, { recursive: true });
    await spoil(copy);
    return copy;
  }

  /** Rewrites the header of a safetensors file. */
  async function editHeader(
    file: string,
    edit: (header: Record<string, { shape: number[] }>) => void,
  ): Promise<void> {
    const bytes = await readFile(file);
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<
      string,
      { shape: number[] }
    >;
    edit(header);
    const text = Buffer.from(JSON.stringify(header).padEnd(Math.ceil(length / 8) * 8));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(text.length));
    await writeFile(file, Buffer.concat([size, text, bytes.subarray(8 + length)]));
  }

  const transformer = "transformer/diffusion_pytorch_model.safetensors";
  const key = "transformer_blocks.2.attn1.to_q.weight";

  const CASES: [string, (copy: string) => Promise<void>, RegExp][] = [
    ["missing weights", (c) => rm(join(c, transformer)), /transformer/],
    [
      "truncated weights",
      async (c) =>
        writeFile(join(c, transformer), (await readFile(join(c, transformer))).subarray(0, 100_000)),
      /diffusion_pytorch_model.*(bytes|truncated)/s,
    ],
    [
      "a missing tensor",
      (c) =>
        editHeader(join(c, transformer), (h) => {
          h["renamed.weight"] = h[key];
          delete h[key];
        }),
      /missing: transformer_blocks\.2\.attn1\.to_q\.weight \(96, 96\).*unexpected: renamed\.weight/s,
    ],
    [
      "a wrongly shaped tensor",
      (c) => editHeader(join(c, transformer), (h) => void (h[key].shape = [48, 192])),
      /wrong shape: transformer_blocks\.2\.attn1\.to_q\.weight is \(48, 192\), expected \(96, 96\)/,
    ],
    [
      "a model of another kind",
      (c) => writeFile(join(c, "model.json"), JSON.stringify({ kind: "language-model" })),
      /describes "language-model"/,
    ],
    ["no model.json", (c) => rm(join(c, "model.json")), /mimic-video: model\.json$/m],
    [
      "a value that is not finite",
      async (c) => {
        const product = "transformer_blocks.2.ff.net.2.weight";
        const file = join(c, transformer);
        const bytes = await readFile(file);
        const header = Number(bytes.readBigUInt64LE(0));
        const entries = JSON.parse(bytes.subarray(8, 8 + header).toString()) as Record<
          string,
          { data_offsets: number[] }
        >;
        // The largest bfloat16, which overflows in the products that read it.
        for (let at = entries[product].data_offsets[0]; at < entries[product].data_offsets[1]; at += 2) {
          bytes.writeUInt16LE(0x7f7f, 8 + header + at);
        }
        await writeFile(file, bytes);
      },
      /"transformer_blocks\.2\.ff\.linear" is the first tensor that is not finite/,
    ],
  ];

  it.each(CASES)("%s", { timeout: 100_000 }, async (name, spoil, message) => {
    const model = await broken(name.replaceAll(" ", "-"), spoil);
    const out = `out-of-${name.replaceAll(" ", "-")}`;
    const few = ["--video-steps", "1", "--action-steps", "1", "--video-seeds", "1", "--episodes", "1"];
    const { code, stderr } = await probe("--model", model, ...few, "--out", out);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("fault of the program");
    expect(code).toBeGreaterThan(0);
    expect(await exists(join(folder, out))).toBe(false);
  });

  it.each([
    [["--video-step", "5"], /--video-steps/],
    [["--probe-steps", "10,60"], /60 lies beyond the 50 video steps/],
    [["--episodes", "0,99"], /episode 99 does not exist; the data hold 64/],
    [["--model", "no/such/folder/here"], /no such file or folder/],
    [["--adapter", "no such card"], /no adapter is called "no such card"/],
    [[...eight, "--video-seeds", "3"], /video seeds 0 to 1; seed 2/],
  ])("%j", { timeout: 100_000 }, async (words, message) => {
    const { code, stderr } = await probe(...words);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("fault of the program");
    expect(code).toBeGreaterThan(0);
  });

  it("an output folder that cannot be written", async () => {
    await writeFile(join(folder, "a-file"), "");
    const { code, stderr } = await probe("--out", "a-file/inside");
    expect(stderr).toMatch(/a-file/);
    expect(code).toBeGreaterThan(0);
  });
});
