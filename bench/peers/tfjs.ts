/** TensorFlow.js on its WebGPU backend. A batch ends with one element read back, the only way of waiting it offers. */
import { type Operand, type Peer, type PeerJob, versionOf } from "./peer.ts";

// Its own type declarations bring in another version of the WebGPU types, so the few names used are declared here.
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
  pad(x: TfTensor, sides: readonly (readonly [number, number])[]): TfTensor;
  conv3d(x: TfTensor, w: TfTensor, strides: number, padding: "valid"): TfTensor;
  conv2d(x: TfTensor, w: TfTensor, strides: number, padding: "same"): TfTensor;
  reshape(x: TfTensor, shape: readonly number[]): TfTensor;
  slice(x: TfTensor, begin: readonly number[], size: readonly number[]): TfTensor;
}

export async function openTfjs(): Promise<Peer> {
  const tf = (await import("@tensorflow/tfjs-core")) as Tf;
  await import("@tensorflow/tfjs-backend-webgpu");
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
    version: await versionOf("@tensorflow/tfjs-backend-webgpu"),
    sameAdapter: true,
    matmul: async (x, w) => {
      const [a, b] = [put(x), put(w)];
      return job([a, b], () => tf.matMul(a, b));
    },
    attention: async (q, k, v) => {
      // The heads lead, as tfjs's batched product wants them; the transposition of the operands is not timed.
      const [a, b, c] = [q, k, v].map((o) => tf.tidy(() => tf.transpose(put(o), [1, 0, 2])));
      const scale = q.shape[2] ** -0.5;
      return job([a, b, c], () =>
        tf.transpose(tf.matMul(tf.softmax(tf.mul(tf.matMul(a, b, false, true), scale)), c), [1, 0, 2]),
      );
    },
    norm: async (x, scale, shift, epsilon) => {
      const [a, s, t] = [put(x), put(scale), put(shift)];
      return job([a, s, t], () => {
        const { mean, variance } = tf.moments(a, -1, true);
        const normal = tf.mul(tf.sub(a, mean), tf.rsqrt(tf.add(variance, epsilon)));
        return tf.add(tf.mul(normal, tf.add(s, 1)), t);
      });
    },
    convolution2d: async (x, w) => {
      const [a, b] = [put(x), put(w)];
      return job([a, b], () => tf.conv2d(a, b, 1, "same"));
    },
    convolution: async (x, w) => {
      const [kt, kh, kw] = w.shape;
      const [T, H, W, C] = x.shape;
      const [a, b] = [put(x), put(w)];
      const [rows, columns] = [(kh - 1) / 2, (kw - 1) / 2];
      const sides = [
        [kt - 1, 0],
        [rows, rows],
        [columns, columns],
        [0, 0],
      ] as const;
      const padded = [1, T + kt - 1, H + 2 * rows, W + 2 * columns, C];
      // Padded before the batch axis is there: its program for five axes does not compile.
      return job([a, b], () => tf.conv3d(tf.reshape(tf.pad(a, sides), padded), b, 1, "valid"));
    },
  };
}
