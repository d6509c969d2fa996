/**
 * SHA-1 and SHA-256 over a stream (FIPS 180-4). Browsers only hash what lies whole in memory (`crypto.subtle`), which
 * a checkpoint cannot; Node uses its own, several times faster.
 */
import { type Hasher, type NewHasher } from "./download.ts";

/** A hash that takes bytes as they come. */
export const streamingHasher: NewHasher = (algorithm) =>
  algorithm === "sha256"
    ? new BlockHasher(sha256Start(), sha256Block)
    : new BlockHasher(Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0), sha1Block);

type Compress = (state: Int32Array, words: Int32Array, bytes: Uint8Array, at: number) => void;

/** What both have in common: blocks of 64 bytes, the last padded with 0x80, zeros and the length in bits. */
class BlockHasher implements Hasher {
  readonly #state: Int32Array;
  readonly #compress: Compress;
  readonly #words = new Int32Array(80);
  readonly #rest = new Uint8Array(64);
  #length = 0;

  constructor(state: Int32Array, compress: Compress) {
    this.#state = state;
    this.#compress = compress;
  }

  update(bytes: Uint8Array): void {
    const filled = this.#length % 64;
    this.#length += bytes.length;
    let at = 0;
    if (filled > 0) {
      at = Math.min(64 - filled, bytes.length);
      this.#rest.set(bytes.subarray(0, at), filled);
      if (filled + at < 64) return;
      this.#compress(this.#state, this.#words, this.#rest, 0);
    }
    for (; at + 64 <= bytes.length; at += 64) this.#compress(this.#state, this.#words, bytes, at);
    this.#rest.set(bytes.subarray(at));
  }

  hex(): string {
    const bits = BigInt(this.#length) * 8n;
    const padding = new Uint8Array(((119 - (this.#length % 64)) % 64) + 9);
    padding[0] = 0x80;
    new DataView(padding.buffer).setBigUint64(padding.length - 8, bits);
    this.update(padding);
    return [...this.#state].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

function loadBlock(words: Int32Array, bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++, at += 4) {
    words[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
  }
}

const sha1Block: Compress = (state, w, bytes, at) => {
  loadBlock(w, bytes, at);
  for (let i = 16; i < 80; i++) {
    const mixed = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
    w[i] = (mixed << 1) | (mixed >>> 31);
  }
  let [a, b, c, d, e] = state;
  for (let i = 0; i < 80; i++) {
    const chosen =
      i < 20
        ? ((b & c) | (~b & d)) + 0x5a827999
        : i < 40
          ? (b ^ c ^ d) + 0x6ed9eba1
          : i < 60
            ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
            : (b ^ c ^ d) + 0xca62c1d6;
    const next = (((a << 5) | (a >>> 27)) + chosen + e + w[i]) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = next;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
};

const sha256Block: Compress = (state, w, bytes, at) => {
  const k = (roundConstants ??= fractions(64, 3));
  loadBlock(w, bytes, at);
  for (let i = 16; i < 64; i++) {
    const [x, y] = [w[i - 15], w[i - 2]];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
};

let roundConstants: Int32Array | undefined;

function sha256Start(): Int32Array {
  return fractions(8, 2);
}

/** First 32 bits of the fractions of the square or cube roots of the first primes, in exact integers. */
function fractions(count: number, root: 2 | 3): Int32Array {
  const words = new Int32Array(count);
  for (let prime = 2, found = 0; found < count; prime++) {
    let divisor = 2;
    while (divisor * divisor <= prime && prime % divisor !== 0) divisor++;
    if (divisor * divisor > prime) words[found++] = Number(rootBits(BigInt(prime), root) & 0xffffffffn) | 0;
  }
  return words;
}

/** floor(value^(1/root) · 2³²), by bisection. */
function rootBits(value: bigint, root: 2 | 3): bigint {
  const target = value << BigInt(32 * root);
  let [low, high] = [0n, 1n << 40n];
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** BigInt(root) <= target) low = middle;
    else high = middle;
  }
  return low;
}
