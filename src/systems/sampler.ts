/**
 * What makes samples of its own: pictures of a class, from noise. The command that generates and the page are clients of one object.
 *
 * Axes: B samples of a batch.
 */

import type { TensorSource } from "../weights/source.ts";

/** What a sample is. Latents are what an autoencoder's decoder makes pictures of. */
export type Contents = "pictures" | "latents" | "vectors";

export interface DrawRequest {
  /** (B) classes, or `classes` itself for none where the network was trained without too; left out: none */
  readonly labels?: readonly number[];
  /** (B, …shape) standard Gaussian */
  readonly noise: Float32Array;
  /** N, calls of the network */
  readonly calls: number;
  /** one of `rules`; default the first */
  readonly rule?: string;
  /** strength of the guidance towards the class; left out: as the network is */
  readonly guidance?: number;
  /** noise levels between which a network that is told its guidance holds it, the larger first; default all */
  readonly guided?: readonly [from: number, to: number];
  readonly signal?: AbortSignal;
}

/** What stands after k of N calls. */
export interface Drawn {
  readonly step: number;
  readonly steps: number;
  /** 1 noise, 0 data */
  readonly noiseLevel: number;
  /** (B, …shape); valid until the next is asked for */
  read(): Promise<Float32Array>;
}

/** Noise from a file. */
export interface NoiseRows {
  readonly name: string;
  readonly rows: number;
  /** (rows, …shape) */
  readonly values: Float32Array<ArrayBuffer>;
  /** (rows) classes, where the file says them */
  readonly labels?: readonly number[];
}

export interface Sampler {
  readonly name: string;
  /** number of classes; 0: it knows none */
  readonly classes: number;
  /** of one sample: (C, H, W), or (D) */
  readonly shape: readonly number[];
  readonly contents: Contents;
  /** how states are led from noise to data, by name; the first is what the network was trained for */
  readonly rules: readonly string[];
  /** samples that may be drawn together */
  readonly mostTogether: number;
  /** Where a sample starts: equal for equal classes and seeds, whatever else is drawn. */
  noise(label: number | undefined, seed: number): Float32Array<ArrayBuffer>;
  /** Rows of noise in place of seeds. @throws FormatError when they do not fit the model */
  readNoise(source: TensorSource): Promise<NoiseRows>;
  /** @throws UsageError for a rule that is none, or by which no sample comes out, with the reason */
  checkRule(rule: string): void;
  /**
   * States from noise on; leaving the loop ends it.
   * @throws UsageError for what the network cannot do, before anything is computed
   */
  draw(request: DrawRequest): AsyncGenerator<Drawn, void, void>;
  /** Samples (B, C, H, W) as bytes in the same order; only of pictures. */
  toBytes?(samples: Float32Array): Uint8Array<ArrayBuffer>;
  /** Samples side by side, every pixel `scale` × `scale`; only of pictures of 1 or 3 channels. */
  sheet?(
    samples: Float32Array,
    layout: { readonly perRow: number; readonly scale: number },
  ): {
    readonly width: number;
    readonly height: number;
    readonly channels: number;
    readonly data: Uint8Array;
  };
}
