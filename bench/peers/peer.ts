/** Others who do the same jobs: what a peer must offer, and which there are. */
import { setFlagsFromString } from "node:v8";
import type { FoundAdapter } from "../../src/gpu/open.node.ts";

/** An operation of a peer with its operands in place. */
export interface PeerJob {
  /**
   * Does the job `times` times and returns when the device has finished.
   * @returns processor seconds that were spent in another process, if any
   */
  readonly run: (times: number) => Promise<number | void>;
  /** the result of one job, in the layout of ours */
  readonly read: () => Promise<Float32Array>;
  readonly dispose: () => void | Promise<void>;
}

export interface Operand {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A peer; operations it does not have are absent. */
export interface Peer {
  readonly name: string;
  readonly version: string;
  /** what a reader of its figures should know */
  readonly note?: string;
  /** whether it computes on the bench's own adapter */
  readonly sameAdapter: boolean;
  /** x (M, K) · w (K, N) */
  readonly matmul?: (x: Operand, w: Operand) => Promise<PeerJob>;
  /** softmax(q·kᵀ / √d)·v over (N, H, d) operands */
  readonly attention?: (q: Operand, k: Operand, v: Operand) => Promise<PeerJob>;
  /** layer norm over the last axis, then · (1 + scale) + shift, both (C) */
  readonly norm?: (x: Operand, scale: Operand, shift: Operand, epsilon: number) => Promise<PeerJob>;
  /** x (T, H, W, C) with w (kt, kh, kw, C, O), kt − 1 zero frames in front, same size in space */
  readonly convolution?: (x: Operand, w: Operand) => Promise<PeerJob>;
  /** x (B, H, W, C) with w (kh, kw, C, O), same size */
  readonly convolution2d?: (x: Operand, w: Operand) => Promise<PeerJob>;
  readonly close?: () => void;
}

export interface PeerOptions {
  /** names of the peers that are wanted; default all */
  readonly names?: readonly string[];
  /** a Python interpreter that may have torch */
  readonly python?: string;
}

const OPENERS: Readonly<Record<string, (options: PeerOptions) => Promise<Peer>>> = {
  tfjs: async () => (await import("./tfjs.ts")).openTfjs(),
  "jax-js": async () => (await import("./jax.ts")).openJax(),
  onnx: async () => (await import("./onnx.ts")).openOnnx(),
  torch: async ({ python }) => (await import("./torch.ts")).openTorch(python),
};

export const PEER_NAMES: readonly string[] = Object.keys(OPENERS);

/** Every wanted peer that is installed and starts; `leftOut` hears of the others, and why. */
export async function openPeers(options: PeerOptions, leftOut: (line: string) => void): Promise<Peer[]> {
  const peers: Peer[] = [];
  // V8's optimising compiler takes a minute of the first runs for the 27 MB of WebAssembly that ONNX Runtime is, and they are no
  // faster for it: 256³ in 0.3 to 0.4 s either way (Node 20.20, SwiftShader 5.0.0, 2026-11-22). To be said before jax-js, which
  // has WebAssembly too, wakes the compiler.
  for (const flag of ["--liftoff-only", "--no-wasm-tier-up", "--no-wasm-dynamic-tiering"])
    setFlagsFromString(flag);
  for (const name of options.names ?? PEER_NAMES) {
    try {
      peers.push(await OPENERS[name](options));
    } catch (error) {
      leftOut(`${name} is left out: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return peers;
}

/**
 * Lets libraries that look for navigator.gpu find the instance that the bench's own device came from, so that driver and
 * Dawn's settings are the same.
 */
export function shareAdapter({ again }: FoundAdapter): void {
  const requestAdapter = async (): Promise<GPUAdapter | null> => {
    const adapter = await again();
    return adapter && withSharedMemory(adapter);
  };
  Object.defineProperty(globalThis, "navigator", {
    value: { gpu: { requestAdapter, wgslLanguageFeatures: new Set() }, userAgent: "node" },
    configurable: true,
  });
}

/** Dawn in Node refuses to write from a SharedArrayBuffer, which browsers accept and ONNX Runtime's memory is. */
function withSharedMemory(adapter: GPUAdapter): GPUAdapter {
  const requestDevice = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = async (descriptor) => {
    const device = await requestDevice(descriptor);
    const { queue } = device;
    const writeBuffer = queue.writeBuffer.bind(queue);
    queue.writeBuffer = (
      buffer: GPUBuffer,
      at: number,
      data: GPUAllowSharedBufferSource,
      ...part: number[]
    ) =>
      isShared(data)
        ? writeBuffer(buffer, at, unshared(data, ...part))
        : writeBuffer(buffer, at, data, ...part);
    return device;
  };
  return adapter;
}

const isShared = (data: GPUAllowSharedBufferSource): boolean =>
  (ArrayBuffer.isView(data) ? data.buffer : data) instanceof SharedArrayBuffer;

/** A copy of elements `from` to `from + count`; bytes, where `data` has no elements. */
function unshared(data: GPUAllowSharedBufferSource, from = 0, count?: number): Uint8Array<ArrayBuffer> {
  const [buffer, offset, bytes] = ArrayBuffer.isView(data)
    ? [data.buffer, data.byteOffset, data.byteLength]
    : [data, 0, data.byteLength];
  const each = "BYTES_PER_ELEMENT" in data ? (data.BYTES_PER_ELEMENT as number) : 1;
  const length = count === undefined ? bytes - from * each : count * each;
  return new Uint8Array(buffer, offset + from * each, length).slice();
}

/** Elements of a tensor in another order of its axes. */
export function transpose({ shape, data }: Operand, axes: readonly number[]): Operand {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const turned = axes.map((axis) => shape[axis]);
  const steps = axes.map((axis) => strides[axis]);
  const result = new Float32Array(data.length);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let i = 0; i < data.length; i++) {
    result[i] = data[from];
    for (let axis = turned.length - 1; axis >= 0; axis--) {
      from += steps[axis];
      if (++index[axis] < turned[axis]) break;
      from -= steps[axis] * turned[axis];
      index[axis] = 0;
    }
  }
  return { shape: turned, data: result };
}

/** The version of an installed package. */
export async function versionOf(name: string): Promise<string> {
  const [{ createRequire }, { readFile }] = [await import("node:module"), await import("node:fs/promises")];
  // Some packages do not export their package.json, so it is found beside what they do export.
  const entry = createRequire(import.meta.url).resolve(name);
  const folder = entry.slice(0, entry.lastIndexOf(`${name}/`) + name.length);
  return (JSON.parse(await readFile(`${folder}/package.json`, "utf8")) as { version: string }).version;
}
