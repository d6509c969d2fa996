/**
 * PyTorch, where a Python with torch is found, in a process of its own: on CUDA where torch has it, else on the same machine's
 * processor. It is no WebGPU; it shows what the machine can do.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Operand, Peer, PeerJob } from "./peer.ts";

// `npm run bench` and the tests run in the package's folder; the compiled bench lies elsewhere.
const SCRIPT = "bench/peers/pytorch.py";

interface Reply {
  readonly error?: string;
  readonly version?: string;
  readonly device?: string;
  readonly name?: string;
  readonly cpu?: number;
  readonly data?: string;
}

/** @param python path or name of an interpreter; default: MIMIC_VIDEO_PYTHON, or python3 */
export async function openTorch(python = process.env.MIMIC_VIDEO_PYTHON || "python3"): Promise<Peer> {
  const child = spawn(python, [SCRIPT], { stdio: ["pipe", "pipe", "pipe"] });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  // Writing to a process that has ended is told by its end.
  child.stdin.on("error", () => {});
  const ended = new Promise<never>((_, reject) => {
    child.on("error", (error) =>
      reject(new Error(`${python} did not start (${error.message}); give --python`)),
    );
    child.on("exit", () => {
      const last = complaint.trim().split("\n").pop();
      reject(new Error(`${python} ended: ${last || "no message"}; give --python with one that has torch`));
    });
  });
  ended.catch(() => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Reply> => {
    const { value } = await Promise.race([lines.next().then((r) => (r.done ? ended : r)), ended]);
    const reply = JSON.parse(value) as Reply;
    if (reply.error) throw new Error(reply.error);
    return reply;
  };
  const ask = (request: object): Promise<Reply> => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    return next();
  };
  const { version = "?", device = "?", name = "?" } = await next();

  const job = async (
    operation: string,
    operands: readonly Operand[],
    ...scalars: number[]
  ): Promise<PeerJob> => {
    const encoded = operands.map(({ shape, data }) => ({
      shape,
      data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64"),
    }));
    await ask({ do: "open", operation, operands: encoded, scalars });
    return {
      run: async (times) => (await ask({ do: "run", times })).cpu,
      read: async () => {
        const bytes = Buffer.from((await ask({ do: "read" })).data!, "base64");
        return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
      },
      dispose: () => {},
    };
  };
  return {
    name: `torch ${device}`,
    version: `${version}, ${name}`,
    sameAdapter: false,
    matmul: (x, w) => job("matmul", [x, w]),
    attention: (q, k, v) => job("attention", [q, k, v]),
    norm: (x, scale, shift, epsilon) => job("norm", [x, scale, shift], epsilon),
    convolution: (x, w) => job("convolution", [x, w]),
    close: () => child.kill(),
  };
}
