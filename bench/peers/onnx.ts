/**
 * ONNX Runtime's WebGPU provider (onnxruntime-web), in Node through navigator.gpu: models of one node, operands and results in
 * GPU buffers. The modulation of a norm goes into LayerNormalization's own scale and bias. Attention is its fused
 * MultiHeadAttention where that is right: on SwiftShader 5.0.0, with subgroups of four, all its values are wrong by about a half
 * (1.30.0, with bounds checks and without, 2026-11-22), and attention is two products and a softmax.
 */
import { attentionReference } from "../../src/kernels/attention.reference.ts";
import { relativeError, uniform } from "../../test/support/numbers.ts";
import { onnxModel, type OnnxNode } from "./onnx-model.ts";
import { type Operand, type Peer, type PeerJob, transpose, versionOf } from "./peer.ts";

interface OrtTensor {
  getData(): Promise<Float32Array>;
  dispose(): void;
}
interface OrtSession {
  run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}
interface Ort {
  env: { wasm: { numThreads: number }; logLevel: string; webgpu: { device: Promise<GPUDevice> } };
  InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
  Tensor: {
    fromGpuBuffer(buffer: GPUBuffer, options: { dataType: "float32"; dims: readonly number[] }): OrtTensor;
  };
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export async function openOnnx(): Promise<Peer> {
  const ort = (await import("onnxruntime-web/webgpu")) as Ort;
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";

  const job = async (
    nodes: readonly OnnxNode[],
    output: readonly number[],
    operands: Record<string, Operand>,
    arrange = (data: Float32Array): Float32Array => data,
  ): Promise<PeerJob> => {
    const shapes = Object.entries(operands).map(([name, { shape }]) => [name, shape] as const);
    const model = onnxModel({ nodes, inputs: Object.fromEntries(shapes), output });
    const session = await ort.InferenceSession.create(model, {
      executionProviders: ["webgpu"],
      preferredOutputLocation: "gpu-buffer",
    });
    const device = await ort.env.webgpu.device;
    const buffers: GPUBuffer[] = [];
    const feeds: Record<string, OrtTensor> = {};
    for (const [name, { shape, data }] of Object.entries(operands)) {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
      const buffer = device.createBuffer({ size: 4 * sizeOf(shape), usage });
      device.queue.writeBuffer(buffer, 0, data.buffer, data.byteOffset, data.byteLength);
      buffers.push(buffer);
      feeds[name] = ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: shape });
    }
    return {
      run: async (times) => {
        for (let i = 0; i < times; i++) (await session.run(feeds)).y.dispose();
        await device.queue.onSubmittedWorkDone();
      },
      read: async () => {
        const { y } = await session.run(feeds);
        const values = arrange(await y.getData());
        y.dispose();
        return values;
      },
      dispose: async () => {
        await session.release();
        for (const buffer of buffers) buffer.destroy();
      },
    };
  };

  const fused = (q: Operand, k: Operand, v: Operand): Promise<PeerJob> => {
    const [, heads, headDim] = q.shape;
    const rows = ({ shape, data }: Operand): Operand => ({ shape: [1, shape[0], heads * headDim], data });
    const node = { op: "MultiHeadAttention", domain: "com.microsoft", inputs: ["q", "k", "v"] };
    const operands = { q: rows(q), k: rows(k), v: rows(v) };
    return job([{ ...node, integers: { num_heads: heads } }], operands.q.shape, operands);
  };
  const plain = (q: Operand, k: Operand, v: Operand): Promise<PeerJob> => {
    const [N, heads, headDim] = q.shape;
    const scale = headDim ** -0.5;
    const nodes = [
      { op: "MatMul", inputs: ["q", "k"], result: "logits" },
      { op: "Softmax", inputs: ["logits"], integers: { axis: -1 }, result: "weights" },
      { op: "MatMul", inputs: ["weights", "v"], result: "mixed" },
      { op: "Transpose", inputs: ["mixed"], lists: { perm: [1, 0, 2] } },
    ];
    // The scale and the transposition of the operands are not timed.
    return job(nodes, [N, heads, headDim], {
      q: transpose({ shape: q.shape, data: q.data.map((x) => x * scale) }, [1, 0, 2]),
      k: transpose(k, [1, 2, 0]),
      v: transpose(v, [1, 0, 2]),
    });
  };
  const wrong = await errorOf(fused);

  return {
    name: "onnx",
    version: await versionOf("onnxruntime-web"),
    sameAdapter: true,
    note:
      wrong < 1e-3
        ? undefined
        : `its fused attention is wrong on this adapter (relative error ${wrong.toPrecision(2)}), so it computes two products and a softmax`,
    matmul: (x, w) => job([{ op: "MatMul", inputs: ["x", "w"] }], [x.shape[0], w.shape[1]], { x, w }),
    attention: wrong < 1e-3 ? fused : plain,
    norm: (x, scale, shift, epsilon) => {
      const gain = { shape: scale.shape, data: scale.data.map((s) => 1 + s) };
      const node = { op: "LayerNormalization", inputs: ["x", "gain", "bias"], floats: { epsilon } };
      return job([node], x.shape, { x, gain, bias: shift });
    },
    convolution: (x, w) => {
      const [T, H, W] = x.shape;
      const [kt, kh, kw, , out] = w.shape;
      const planes = transpose(x, [3, 0, 1, 2]);
      const [top, left] = [(kh - 1) / 2, (kw - 1) / 2];
      return job(
        [{ op: "Conv", inputs: ["x", "w"], lists: { pads: [kt - 1, top, left, 0, top, left] } }],
        [1, out, T, H, W],
        { x: { ...planes, shape: [1, ...planes.shape] }, w: transpose(w, [4, 3, 0, 1, 2]) },
        (data) => transpose({ shape: [out, T, H, W], data }, [1, 2, 3, 0]).data,
      );
    },
  };
}

/** Relative error of an attention of this provider. */
async function errorOf(attention: NonNullable<Peer["attention"]>): Promise<number> {
  // Large enough for its tiled program.
  const [N, S, heads, headDim] = [40, 96, 2, 32];
  const [q, k, v] = [N, S, S].map((n, i) => ({
    shape: [n, heads, headDim],
    data: uniform(i, n * heads * headDim),
  }));
  const shape = { batch: 1, queries: N, keys: S, heads, keyValueHeads: heads, headDim };
  const job = await attention(q, k, v);
  try {
    return relativeError(await job.read(), attentionReference(q.data, k.data, v.data, shape));
  } finally {
    await job.dispose();
  }
}
