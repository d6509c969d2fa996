/**
 * Seeded Gaussian noise. Each tensor has a stream of its own, keyed by what it is for, so that a noise does not change
 * when other episodes or seeds are added to a run.
 */

import { UsageError } from "../errors.ts";

/** @throws UsageError unless `seed` is a whole number from 0 to 2³² − 1, as numpy's seeds are */
export function checkSeed(seed: number): void {
  if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) return;
  throw new UsageError(`the seed ${seed} is not a whole number from 0 to ${2 ** 32 - 1}`);
}

/** 32-bit FNV-1a of a text. */
export function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** A seed for one part of a whole that has a seed: equal for equal purposes, whatever else there is. */
export function seedOf(purpose: string, seed: number): number {
  checkSeed(seed);
  return hash(`${purpose}#${seed}`);
}

/**
 * Uniform numbers in (0, 1) with 53 random bits for a purpose and a seed: the sfc32 generator, warmed up.
 * @throws UsageError unless `seed` is a whole number from 0 to 2³² − 1
 */
export function uniforms(purpose: string, seed: number): () => number {
  checkSeed(seed);
  const key = `${purpose}#${seed}`;
  let [a, b, c, d] = [hash(`${key}/a`), hash(`${key}/b`), hash(`${key}/c`), 1];
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 20; i++) next();
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6) + 0.5) / 2 ** 53;
}

/**
 * `length` standard normal float32 values for a purpose and a seed (Box–Muller).
 * @throws UsageError unless `seed` is a whole number from 0 to 2³² − 1
 */
export function gaussian(purpose: string, seed: number, length: number): Float32Array<ArrayBuffer> {
  const uniform = uniforms(purpose, seed);
  const values = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    const angle = 2 * Math.PI * uniform();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < length) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}
