/** jax-js, its functions compiled by `jit`. */
import { type Operand, type Peer, type PeerJob, transpose, versionOf } from "./peer.ts";

// Its own type declarations bring in another version of the WebGPU types, so the few names used are declared here.
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
  lax: {
    conv(
      x: JaxArray,
      w: JaxArray,
      strides: readonly number[],
      padding: readonly (readonly [number, number])[],
    ): JaxArray;
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

export async function openJax(): Promise<Peer> {
  provideIteratorHelpers();
  const jax = (await import("@jax-js/jax")) as Jax;
  if (!(await jax.init()).includes("webgpu")) throw new Error("its webgpu backend did not start");
  jax.defaultDevice("webgpu");
  const put = ({ data, shape }: Operand): JaxArray => jax.numpy.array(data, { shape });
  const job = (
    body: JaxFunction,
    operands: JaxArray[],
    arrange = (data: Float32Array): Float32Array => data,
  ): PeerJob => {
    const compute = jax.jit(body);
    const call = (): JaxArray => compute(...operands.map((x) => x.ref));
    return {
      run: async (times) => {
        // Results are computed when asked for: one that was disposed of unasked would not be computed at all.
        const results = Array.from({ length: times }, call);
        await Promise.all(results.map((y) => y.blockUntilReady()));
        for (const y of results) y.dispose();
      },
      read: async () => arrange(await call().data()),
      dispose: () => {
        for (const x of operands) x.dispose();
      },
    };
  };
  return {
    name: "jax-js",
    version: await versionOf("@jax-js/jax"),
    sameAdapter: true,
    matmul: async (x, w) => job((a, b) => jax.numpy.matmul(a, b), [put(x), put(w)]),
    attention: async (q, k, v) =>
      job((a, b, c) => jax.nn.dotProductAttention(a, b, c), [put(q), put(k), put(v)]),
    norm: async (x, scale, shift, epsilon) =>
      job(
        (a, s, t) => jax.nn.standardize(a, -1, { epsilon }).mul(s.add(1)).add(t),
        [put(x), put(scale), put(shift)],
      ),
    convolution2d: async (x, w) => {
      const [B, H, W] = x.shape;
      const [kh, kw, , out] = w.shape;
      const padding = [kh, kw].map((n) => [(n - 1) / 2, (n - 1) / 2] as const);
      return job(
        (a, b) => jax.lax.conv(a, b, [1, 1], padding),
        [put(transpose(x, [0, 3, 1, 2])), put(transpose(w, [3, 2, 0, 1]))],
        (data) => transpose({ shape: [B, out, H, W], data }, [0, 2, 3, 1]).data,
      );
    },
    convolution: async (x, w) => {
      const [T, H, W] = x.shape;
      const [kt, kh, kw, , out] = w.shape;
      const planes = transpose(x, [3, 0, 1, 2]);
      const [rows, columns] = [(kh - 1) / 2, (kw - 1) / 2];
      const padding = [
        [kt - 1, 0],
        [rows, rows],
        [columns, columns],
      ] as const;
      return job(
        (a, b) => jax.lax.conv(a, b, [1, 1, 1], padding),
        [put({ ...planes, shape: [1, ...planes.shape] }), put(transpose(w, [4, 3, 0, 1, 2]))],
        (data) => transpose({ shape: [out, T, H, W], data }, [1, 2, 3, 0]).data,
      );
    },
  };
}
