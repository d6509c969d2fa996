/**
 * numpy's `RandomState(seed).standard_normal`, so that noise drawn by a Python program can be drawn again: the Mersenne twister
 * MT19937 seeded with one 32-bit number, doubles of 53 random bits, and the legacy polar method, whose pairs come second first.
 *
 * numpy takes the logarithm from the C library, this from the JavaScript engine; 3 % of the doubles differ in their last bit, which is
 * 2⁻²⁹ of what float32 keeps. 49 seeds × 1,228,800 draws gave the same float32 bits (numpy 2.4.6 on glibc, V8 of Node 20, 2026-11-25).
 */
import { checkSeed } from "./noise.ts";

const WORDS = 624;
const SHIFT = 397;

/** A stream of numbers for one seed; each draw goes on where the last ended. */
export class RandomState {
  readonly #words = new Uint32Array(WORDS);
  #next = WORDS;
  /** the other normal of the last pair */
  #kept: number | undefined;

  /** @throws UsageError unless `seed` is a whole number from 0 to 2³² − 1 */
  constructor(seed: number) {
    checkSeed(seed);
    const words = this.#words;
    words[0] = seed;
    for (let k = 1; k < WORDS; k++) {
      const before = words[k - 1];
      words[k] = Math.imul(1812433253, before ^ (before >>> 30)) + k;
    }
  }

  /** `length` standard normal numbers, rounded from float64 to float32. */
  standardNormal(length: number): Float32Array<ArrayBuffer> {
    const values = new Float32Array(length);
    for (let i = 0; i < length; i++) values[i] = this.#normal();
    return values;
  }

  #normal(): number {
    if (this.#kept !== undefined) {
      const kept = this.#kept;
      this.#kept = undefined;
      return kept;
    }
    let x1: number, x2: number, square: number;
    do {
      x1 = 2 * this.#uniform() - 1;
      x2 = 2 * this.#uniform() - 1;
      square = x1 * x1 + x2 * x2;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    this.#kept = factor * x1;
    return factor * x2;
  }

  /** A double in [0, 1) of 53 random bits. */
  #uniform(): number {
    const high = this.#word() >>> 5;
    const low = this.#word() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  #word(): number {
    if (this.#next === WORDS) this.#twist();
    let y = this.#words[this.#next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const words = this.#words;
    for (let k = 0; k < WORDS; k++) {
      const y = (words[k] & 0x80000000) | (words[(k + 1) % WORDS] & 0x7fffffff);
      words[k] = words[(k + SHIFT) % WORDS] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}
