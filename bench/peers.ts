/**
 * Others who run on the same adapter: tfjs and jax-js, both through navigator.gpu, which is set to the instance that this
 * bench's device came from, so that driver and Dawn's settings are the same. Each peer gets its operands on the device
 * beforehand, and a batch ends with a few bytes read back, which is the only way of waiting that both offer.
 */
import type { FoundAdapter } from "../src/gpu/open.node.ts";

/** An operation of a peer with its operands in place. */
export interface PeerJob {
  readonly run: (times: number) => Promise<void>;
  readonly read: () => Promise<Float32Array>;
  readonly dispose: () => void;
}

export interface Operand {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface Peer {
  readonly name: string;
  /** x (M, K) · w (K, N) */
  readonly matmul: (x: Operand, w: Operand) => PeerJob;
  /** softmax(q·kᵀ / √d)·v over (N, H, d) operands */
  readonly attention: (q: Operand, k: Operand, v: Operand) => PeerJob;
  /** layer norm over the last axis, then · (1 + scale) + shift, both (C) */
  readonly norm: (x: Operand, scale: Operand, shift: Operand, epsilon: number) => PeerJob;
}

/** Lets libraries that look for navigator.gpu find the bench's own instance. */
export function shareAdapter({ again }: FoundAdapter): void {
  Object.defineProperty(globalThis, "navigator", {
    value: { gpu: { requestAdapter: again }, userAgent: "node" },
    configurable: true,
  });
}

/** Every peer that is installed and starts; others are left out with a line on stderr. */
export async function openPeers(): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const [name, open] of [
    ["tfjs", openTfjs],
    ["jax-js", openJax],
  ] as const) {
    try {
      peers.push(await open());
    } catch (error) {
      console.error(`${name} is left out: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return peers;
}

// Their own type declarations bring in another version of the WebGPU types, so the few names used are declared here.
const load = async <T>(name: string): Promise<T> => (await import(name)) as T;

interface TfTensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}
interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(data: Float32Array, shape: readonly number[]): TfTensor;
  tidy(body: () => TfTensor): TfTensor;
  matMul(a: TfTensor, b: TfTensor, transposeA?: boolean, transposeB?: boolean): TfTensor;
  transpose(x: TfTensor, axes: readonly number[]): TfTensor;
  softmax(x: TfTensor): TfTensor;
  mul(a: TfTensor, b: TfTensor | number): TfTensor;
  add(a: TfTensor, b: TfTensor | number): TfTensor;
  sub(a: TfTensor, b: TfTensor): TfTensor;
  rsqrt(x: TfTensor): TfTensor;
  moments(x: TfTensor, axis: number, keepDims: boolean): { mean: TfTensor; variance: TfTensor };
  reshape(x: TfTensor, shape: readonly number[]): TfTensor;
  slice(x: TfTensor, begin: readonly number[], size: readonly number[]): TfTensor;
}

async function openTfjs(): Promise<Peer> {
  const tf = await load<Tf>("@tensorflow/tfjs-core");
  await load("@tensorflow/tfjs-backend-webgpu");
  if (!(await tf.setBackend("webgpu"))) throw new Error("its webgpu backend did not start");
  await tf.ready();
  const put = ({ data, shape }: Operand): TfTensor => tf.tensor(data, shape);
  const job = (operands: TfTensor[], compute: () => TfTensor): PeerJob => ({
    run: async (times) => {
      for (let i = 1; i < times; i++) tf.tidy(compute).dispose();
      const end = tf.tidy(() => tf.slice(tf.reshape(compute(), [-1]), [0], [1]));
      await end.data();
      end.dispose();
    },
    read: async () => {
      const y = tf.tidy(compute);
      const values = await y.data();
      y.dispose();
      return values;
    },
    dispose: () => {
      for (const t of operands) t.dispose();
    },
  });
  return {
    name: "tfjs",
    matmul: (x, w) => {
      const [a, b] = [put(x), put(w)];
      return job([a, b], () => tf.matMul(a, b));
    },
    attention: (q, k, v) => {
      // The heads lead, as tfjs's batched product wants them; the transposition is not timed.
      const [a, b, c] = [q, k, v].map((o) => tf.tidy(() => tf.transpose(put(o), [1, 0, 2])));
      const scale = q.shape[2] ** -0.5;
      return job([a, b, c], () =>
        tf.transpose(tf.matMul(tf.softmax(tf.mul(tf.matMul(a, b, false, true), scale)), c), [1, 0, 2]),
      );
    },
    norm: (x, scale, shift, epsilon) => {
      const [a, s, t] = [put(x), put(scale), put(shift)];
      return job([a, s, t], () => {
        const { mean, variance } = tf.moments(a, -1, true);
        const normal = tf.mul(tf.sub(a, mean), tf.rsqrt(tf.add(variance, epsilon)));
        return tf.add(tf.mul(normal, tf.add(s, 1)), t);
      });
    },
  };
}

interface JaxArray {
  readonly ref: JaxArray;
  add(other: JaxArray | number): JaxArray;
  sub(other: JaxArray): JaxArray;
  mul(other: JaxArray): JaxArray;
  data(): Promise<Float32Array>;
  blockUntilReady(): Promise<JaxArray>;
  dispose(): void;
}
type JaxFunction = (...operands: JaxArray[]) => JaxArray;
interface Jax {
  init(): Promise<string[]>;
  defaultDevice(name: string): unknown;
  jit(body: JaxFunction): JaxFunction;
  numpy: {
    array(data: Float32Array, options: { shape: readonly number[] }): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
  };
  nn: {
    dotProductAttention(q: JaxArray, k: JaxArray, v: JaxArray): JaxArray;
    standardize(x: JaxArray, axis?: number, options?: { epsilon: number }): JaxArray;
  };
}

/** jax-js is written for the iterator helpers of Node 22. */
function provideIteratorHelpers(): void {
  const iterator = Object.getPrototypeOf(Object.getPrototypeOf([].values())) as Record<string, unknown>;
  iterator.map ??= function* <T, U>(this: Iterable<T>, f: (x: T) => U) {
    for (const x of this) yield f(x);
  };
  iterator.filter ??= function* <T>(this: Iterable<T>, f: (x: T) => boolean) {
    for (const x of this) if (f(x)) yield x;
  };
  iterator.toArray ??= function <T>(this: Iterable<T>) {
    return [...this];
  };
}

async function openJax(): Promise<Peer> {
  provideIteratorHelpers();
  const jax = await load<Jax>("@jax-js/jax");
  if (!(await jax.init()).includes("webgpu")) throw new Error("its webgpu backend did not start");
  jax.defaultDevice("webgpu");
  const put = ({ data, shape }: Operand): JaxArray => jax.numpy.array(data, { shape });
  const job = (body: JaxFunction, operands: JaxArray[]): PeerJob => {
    const compute = jax.jit(body);
    const call = (): JaxArray => compute(...operands.map((x) => x.ref));
    return {
      run: async (times) => {
        // Results are computed when asked for: one that was disposed of unasked would not be computed at all.
        const results = Array.from({ length: times }, call);
        await Promise.all(results.map((y) => y.blockUntilReady()));
        for (const y of results) y.dispose();
      },
      read: () => call().data(),
      dispose: () => {
        for (const x of operands) x.dispose();
      },
    };
  };
  return {
    name: "jax-js",
    matmul: (x, w) => job((a, b) => jax.numpy.matmul(a, b), [put(x), put(w)]),
    attention: (q, k, v) => job((a, b, c) => jax.nn.dotProductAttention(a, b, c), [put(q), put(k), put(v)]),
    norm: (x, scale, shift, epsilon) =>
      job(
        (a, s, t) => jax.nn.standardize(a, -1, { epsilon }).mul(s.add(1)).add(t),
        [put(x), put(scale), put(shift)],
      ),
  };
}
