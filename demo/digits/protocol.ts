/**
 * What the section of the digits and its worker tell each other.
 *
 * Axes: B pictures, C channels, H rows, W columns.
 */
import type { TrainedOn } from "../../src/probe/subject.ts";
import type { ModelPlace } from "../protocol.ts";

/** The digits beside the page, or another model of the same kind. */
export type SamplesPlace =
  { readonly kind: "digits"; readonly page: string } | Exclude<ModelPlace, { kind: "toy" }>;

/** Pictures that are asked for, by every rule from the same noise. */
export interface DrawWish {
  /** (B); left out where the network knows no classes */
  readonly labels?: readonly number[];
  /** (B) */
  readonly seeds: readonly number[];
  /** N, calls of the network */
  readonly calls: number;
}

export type DigitsRequest =
  | { readonly type: "open"; readonly place: SamplesPlace }
  /** takes the place of the one before, which ends */
  | { readonly type: "draw"; readonly id: number; readonly wish: DrawWish };

/** How states are led from noise to pictures. */
export interface RuleView {
  /** as `--rule` of the command line has it */
  readonly name: "average" | "instant";
  /** why no picture comes out by it */
  readonly refused?: string;
}

export interface SamplesView {
  readonly name: string;
  readonly trainedOn: TrainedOn;
  /** 0: it knows none */
  readonly classes: number;
  /** (C, H, W) */
  readonly shape: readonly [number, number, number];
  readonly rules: readonly RuleView[];
  /** pictures that may be drawn together */
  readonly mostTogether: number;
}

/** What stands after k of N calls. */
export interface DrawnView {
  readonly rule: RuleView["name"];
  /** k */
  readonly step: number;
  /** N */
  readonly steps: number;
  /** (B, C, H, W) */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export type DigitsEvent =
  | { readonly type: "opened"; readonly model: SamplesView }
  | { readonly type: "progress"; readonly words: string; readonly done: number; readonly total: number }
  | { readonly type: "drawn"; readonly id: number; readonly drawn: DrawnView }
  /** @property seconds from the wish to the last picture; @property device what computed */
  | { readonly type: "done"; readonly id: number; readonly seconds: number; readonly device: string }
  /** `kind` is the name of the error class, see src/errors.ts */
  | {
      readonly type: "failed";
      readonly during: DigitsRequest["type"];
      readonly kind: string;
      readonly message: string;
    };
