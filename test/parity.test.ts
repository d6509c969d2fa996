/** The golden cases through the command that users and held-out cases go through. */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const golden = join(root, "test/golden");
// Rows of test/golden, -diffusion-policy, -lingbot, -official and -wan.
const ALL = /^405 passed, 0 failed$/m;

interface Run {
  code: number;
  text: string;
}

const parity = (...words: string[]): Promise<Run> =>
  new Promise((resolve) => {
    execFile(process.execPath, [join(root, "dist/parity.js"), ...words], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, text: stdout + stderr }),
    );
  });

/** A copy of a case with its case.json changed. */
async function changed(
  name: string,
  change: (description: Record<string, unknown>) => void,
): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), "case-"));
  await cp(join(golden, name), copy, { recursive: true });
  const file = join(copy, "case.json");
  const description = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
  change(description);
  await writeFile(file, JSON.stringify(description));
  return copy;
}

describe("parity with the PyTorch reference", () => {
  it("every golden case", { timeout: 400_000 }, async () => {
    const { code, text } = await parity();
    expect(text).toMatch(ALL);
    expect(text).not.toContain("FAIL");
    expect(code).toBe(0);
  });

  it("and with the naive kernels only", { timeout: 400_000 }, async () => {
    const { code, text } = await parity("--variants", "linear=naive,attention=naive,historyPool=naive");
    expect(text).toMatch(ALL);
    expect(code).toBe(0);
  });

  // Every variant that a software GPU runs meets a small case that uses it; all meet all cases with `npm run parity -- --variants …`.
  it.each([
    ["linear=shared64", "t5-tiny"],
    ["linear=shared128", "t5-tiny"],
    ["attention=flash", "t5-tiny"],
    ["linear=split,attention=tile,historyPool=fused,gru=naive", "action-forward-small"],
    ["linear=tile,conv3d=tile,wideAttention=naive", "vae-wan-small"],
    ["linear=split,attention=flash", "../golden-official/official-action-forward"],
    ["linear=naive,conv3d=naive", "../golden-diffusion-policy/dp-policy-two-cameras"],
  ])("and with %s on %s", { timeout: 120_000 }, async (variants, name) => {
    const { code, text } = await parity("--variants", variants, join(golden, name));
    expect(text).toMatch(/^\d+ passed, 0 failed$/m);
    expect(code).toBe(0);
  });

  it.each(["dit-tiny", "action-forward-small", "../golden-official/official-action-forward"])(
    "and with matrices in float16 on %s, whose error is theirs",
    { timeout: 120_000 },
    async (name) => {
      const { code, text } = await parity("--dtype", "f16", join(golden, name));
      expect(text).toMatch(/f16 matrices, float32 arithmetic/);
      expect(text).toMatch(/^\d+ passed, 0 failed$/m);
      // Were nothing rounded, errors would be those of float32.
      const errors = Array.from(text.matchAll(/relative (\S+)/g), ([, error]) => Number(error));
      expect(Math.max(...errors)).toBeGreaterThan(2e-5);
      expect(code).toBe(0);
    },
  );

  it("notices a name that no variant has", { timeout: 60_000 }, async () => {
    const { code, text } = await parity("--variants", "linear=fast", join(golden, "t5-tiny"));
    expect(text).toMatch(/kernel "linear" has no variant "fast"; it has quads, tile/);
    expect(code).toBe(1);
  });

  it("fails when a result is wrong", { timeout: 60_000 }, async () => {
    // Other attention heads on the same weights: everything fits, and every number is another.
    const copy = await changed("dit-two-heads", (d) =>
      Object.assign(d.config as object, { rope_scale: [1, 1, 1] }),
    );
    const { code, text } = await parity(copy);
    expect(text).toMatch(/FAIL/);
    expect(code).toBe(1);
    await rm(copy, { recursive: true });
  });

  it("gates by the bias that the configuration says", { timeout: 60_000 }, async () => {
    const biased = (bias: number) =>
      changed("action-forward-small", (d) => Object.assign(d.config as object, { ada_ln_zero_bias: bias }));
    const [stated, other] = [await biased(-5), await biased(-2)];
    expect((await parity(stated)).code).toBe(0);
    const { code, text } = await parity(other);
    expect(code).toBe(1);
    // Other versions of the package have -2: it moves the flow by a tenth.
    expect(Number(/flow +relative (\S+)/.exec(text)?.[1])).toBeGreaterThan(0.01);
    await rm(stated, { recursive: true });
    await rm(other, { recursive: true });
  });

  it.each([
    [
      "a kind",
      "t5-tiny",
      (d: Record<string, unknown>) => void (d.kind = "gpt"),
      /kind "gpt" is not supported/,
    ],
    [
      "a configuration value",
      "t5-tiny",
      (d: Record<string, unknown>) => Object.assign(d.config as object, { feed_forward_proj: "gated-gelu" }),
      /feed_forward_proj = "gated-gelu" is not supported/,
    ],
    [
      "a dimension that the weights do not have",
      "../golden-official/official-action-forward",
      (d: Record<string, unknown>) => Object.assign(d.config as object, { num_heads: 8 }),
      /num_heads = 8 is not supported; supported: 4/,
    ],
    [
      "an argument",
      "dit-tiny",
      (d: Record<string, unknown>) => Object.assign(d.args as object, { guidance: 3 }),
      /args "guidance" is not supported/,
    ],
  ])("refuses %s it does not support", { timeout: 60_000 }, async (_, name, change, message) => {
    const copy = await changed(name, change);
    const { code, text } = await parity(copy);
    expect(text).toMatch(message);
    expect(code).toBe(1);
    await rm(copy, { recursive: true });
  });
});
