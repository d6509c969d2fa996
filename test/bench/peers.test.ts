import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  attentionCase,
  type Case,
  convolution2dCase,
  convolutionCase,
  matmulCase,
  normCase,
} from "../../bench/cases.ts";
import { openPeers, type Peer, shareAdapter, transpose } from "../../bench/peers/peer.ts";
import { openTorch } from "../../bench/peers/torch.ts";
import { fault } from "../../bench/run.ts";
import { findAdapter } from "../../src/gpu/open.node.ts";

const CASES: readonly Case[] = [
  matmulCase(5, 12, 7),
  attentionCase(9, 70, 2, 32),
  normCase(6, 20),
  convolutionCase(3, 5, 4, 4, 6),
  convolution2dCase(2, 5, 4, 4, 6),
];

/** Whether a peer's result is right, where it has the operation. */
async function faultsOf(peer: Peer): Promise<Record<string, string | undefined>> {
  const faults: Record<string, string | undefined> = {};
  for (const c of CASES) {
    const job = await c.peer(peer);
    if (!job) continue;
    await job.run(2);
    faults[c.kernel] ??= fault(await job.read(), c.truth());
    await job.dispose();
  }
  return faults;
}

const RIGHT = { linear: undefined, attention: undefined, norm: undefined, conv3d: undefined };

describe("peers on the bench's adapter", () => {
  beforeAll(async () => shareAdapter(await findAdapter()));

  it.each([
    ["tfjs", RIGHT],
    ["jax-js", RIGHT],
    ["onnx", RIGHT],
  ])("%s computes what we compute", async (name, expected) => {
    const left: string[] = [];
    const [peer] = await openPeers({ names: [name] }, (line) => left.push(line));
    expect(left).toEqual([]);
    expect(peer.version).toMatch(/^\d/);
    expect(await faultsOf(peer)).toStrictEqual(expected);
  });
});

describe("torch", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "bench-torch-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** An interpreter that speaks the protocol of pytorch.py without torch. */
  const interpreter = async (body: string): Promise<string> => {
    const file = path.join(folder, `python-${Math.random()}`);
    await writeFile(file, `#!${process.execPath}\n${body}\n`);
    await chmod(file, 0o755);
    return file;
  };
  const ANSWERS = `
    const say = (value) => console.log(JSON.stringify(value));
    say({ version: "9.9", device: "cpu", name: "3 threads" });
    require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
      const { do: what, operation, operands, times } = JSON.parse(line);
      if (operation === "norm") say({ error: "RuntimeError: no norm" });
      else if (what === "run") say({ cpu: times / 4 });
      else if (what === "read") say({ data: globalThis.first });
      else { globalThis.first = operands[0].data; say({}); }
    });`;

  it("gets operands and gives results and its processor time", async () => {
    const torch = await openTorch(await interpreter(ANSWERS));
    expect([torch.name, torch.version, torch.sameAdapter]).toEqual(["torch cpu", "9.9, 3 threads", false]);
    const x = { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4.5) };
    const job = await torch.matmul!(x, x);
    expect([...(await job.read())]).toEqual([1, 2, 3, 4.5]);
    expect(await job.run(8)).toBe(2);
    await expect(torch.norm!(x, x, x, 1e-6)).rejects.toThrow("no norm");
    torch.close!();
  });

  it("is left out with a sentence where it cannot start", async () => {
    const left: string[] = [];
    const missing = path.join(folder, "no-python");
    const dies = await interpreter(
      'process.stderr.write("ModuleNotFoundError: no torch\\n"); process.exit(1)',
    );
    for (const python of [missing, dies]) {
      expect(await openPeers({ names: ["torch"], python }, (line) => left.push(line))).toEqual([]);
    }
    expect(left[0]).toMatch(/^torch is left out: .*no-python did not start .*give --python/);
    expect(left[1]).toMatch(/^torch is left out: .*ModuleNotFoundError: no torch; give --python/);
  });

  it("computes what we compute, where MIMIC_VIDEO_PYTHON has it", async ({ skip }) => {
    if (!process.env.MIMIC_VIDEO_PYTHON) return skip("MIMIC_VIDEO_PYTHON is not set");
    const torch = await openTorch();
    expect(await faultsOf(torch)).toStrictEqual(RIGHT);
    torch.close!();
  });
});

describe("transpose", () => {
  it("reorders axes", () => {
    const data = Float32Array.of(1, 2, 3, 4, 5, 6);
    expect(transpose({ shape: [2, 3], data }, [1, 0])).toEqual({
      ...{ shape: [3, 2], data: Float32Array.of(1, 4, 2, 5, 3, 6) },
    });
    const there = transpose({ shape: [1, 2, 3], data }, [2, 0, 1]);
    expect(transpose(there, [1, 2, 0])).toEqual({ shape: [1, 2, 3], data });
  });
});
