/**
 * State and actions in the model's units and back, from a policy's statistics.
 *
 *     model = (x − shift) · scale          observations also clamped;          x = model / scale + shift
 *
 * Statistics are per position of the horizon. A field is either standardised by its clamped mean and deviation, with bounds of 1.5 times
 * the way from the mean to the 2nd and 98th percentile, or left as it is (rotations). The constants are made in float32 and rounded to bfloat16; what is computed with them is not rounded.
 *
 * Axes: T positions of a horizon, D = 10 dimensions.
 */
import { FormatError } from "../../errors.ts";
import { bfloat16 } from "../../weights/rounded.ts";

const f32 = Math.fround;

/** A field of the statistics and how it is normalised. */
interface Field {
  readonly key: string;
  readonly width: number;
  readonly standardised: boolean;
}

const position = (key: string): Field => ({ key, width: 3, standardised: true });
const rotation = (key: string): Field => ({ key, width: 6, standardised: false });
const gripper = (key: string): Field => ({ key, width: 1, standardised: true });

/** The order of the 10 dimensions, in each robot's own words. */
const FAMILIES = {
  bridge: {
    state: [
      position("obs/eef_pos_lowdim"),
      rotation("obs/eef_rot_lowdim"),
      gripper("obs/gripper_state_lowdim"),
    ],
    action: [
      position("action/eef_pos_lowdim"),
      rotation("action/eef_rot_lowdim"),
      gripper("action/gripper_action_lowdim"),
    ],
  },
  libero: {
    state: [position("obs/eef_pos_lowdim"), rotation("obs/eef_rot_lowdim"), gripper("obs/gripper_lowdim")],
    action: [
      position("action/eef_pos_ref_delta_lowdim"),
      rotation("action/eef_rot_ref_delta_lowdim"),
      gripper("action/gripper_action_lowdim"),
    ],
  },
} as const;

/** Whose actions these are: `bridge` poses relative to the present one, `libero` a step's motion in the environment's units. */
export type Family = keyof typeof FAMILIES;

/** D: position 3, two rows of the rotation 6, gripper 1 */
export const DIMENSIONS = 10;

const INDEX_OF_PERCENT = { 2: 20, 98: 980 } as const;

/** One group of fields: (T, D) each, values that bfloat16 has. */
export class Normaliser {
  readonly positions: number;
  readonly shift: Float64Array;
  readonly scale: Float64Array;
  readonly least: Float64Array;
  readonly most: Float64Array;
  /** (T, D) the mean over the data, in the data's units; not rounded */
  readonly mean: Float64Array;

  constructor(positions: number) {
    this.positions = positions;
    const constants = (): Float64Array => new Float64Array(positions * DIMENSIONS);
    [this.shift, this.scale, this.least, this.most, this.mean] = Array.from({ length: 5 }, constants);
  }

  /** (…, T, D) in the data's units → the model's. */
  normalise(values: ArrayLike<number>, clamp: boolean): Float32Array<ArrayBuffer> {
    const { shift, scale, least, most } = this;
    return Float32Array.from({ length: values.length }, (_, i) => {
      const c = i % shift.length;
      const x = (values[i] - shift[c]) * scale[c];
      return clamp ? Math.min(Math.max(x, least[c]), most[c]) : x;
    });
  }

  /** (…, T, D) in the model's units → the data's. */
  toData(values: ArrayLike<number>): Float32Array<ArrayBuffer> {
    const { shift, scale } = this;
    return Float32Array.from({ length: values.length }, (_, i) => {
      const c = i % shift.length;
      return values[i] / scale[c] + shift[c];
    });
  }
}

/** What a policy's statistics say. */
export interface Statistics {
  readonly family: Family;
  readonly state: Normaliser;
  readonly action: Normaliser;
}

/**
 * Reads `dataset_statistics/<policy>.json`.
 * @param name of the file, for messages
 * @param horizon positions of the state and of an action chunk, as the decoder has them
 * @throws FormatError naming file, field, what was found and what was expected
 */
export function readStatistics(
  json: unknown,
  name: string,
  horizon: { readonly state: number; readonly action: number },
): Statistics {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new FormatError(`${name} is not a JSON object of fields, as dataset statistics are.`);
  }
  const fields = json as Readonly<Record<string, unknown>>;
  const families = Object.keys(FAMILIES) as Family[];
  const family = families.find((f) => fields[FAMILIES[f].action[0].key] !== undefined);
  if (!family) {
    const expected = families.map((f) => FAMILIES[f].action[0].key).join(" or ");
    throw new FormatError(
      `${name} has no field ${expected}; it has ${Object.keys(fields).slice(0, 10).join(", ") || "none"}. ` +
        "Take the statistics that belong to this policy.",
    );
  }
  const { state, action } = FAMILIES[family];
  return {
    family,
    state: group(fields, state, horizon.state, name),
    action: group(fields, action, horizon.action, name),
  };
}

function group(
  json: Readonly<Record<string, unknown>>,
  fields: readonly Field[],
  positions: number,
  name: string,
): Normaliser {
  const made = new Normaliser(positions);
  let first = 0;
  for (const field of fields) {
    const reader = new FieldReader(json[field.key], `${name}: ${field.key}`, positions, field.width);
    const mean = reader.values("mean");
    const constants = field.standardised ? standardised(reader, mean) : identity(mean.length);
    for (let t = 0; t < positions; t++) {
      for (let d = 0; d < field.width; d++) {
        const [from, to] = [t * field.width + d, t * DIMENSIONS + first + d];
        made.mean[to] = mean[from];
        made.shift[to] = bfloat16(constants.shift[from]);
        made.scale[to] = bfloat16(constants.scale[from]);
        made.least[to] = bfloat16(constants.least[from]);
        made.most[to] = bfloat16(constants.most[from]);
      }
    }
    first += field.width;
  }
  return made;
}

interface Constants {
  readonly shift: ArrayLike<number>;
  readonly scale: ArrayLike<number>;
  readonly least: ArrayLike<number>;
  readonly most: ArrayLike<number>;
}

const identity = (length: number): Constants => ({
  shift: new Float32Array(length),
  scale: new Float32Array(length).fill(1),
  least: new Float32Array(length).fill(-Infinity),
  most: new Float32Array(length).fill(Infinity),
});

/** Every operation rounds to float32, in the release's order. */
function standardised(reader: FieldReader, mean: Float32Array): Constants {
  const shift = reader.values("mean_clamped");
  // A deviation below this is taken for a dimension that does not move.
  const scale = reader.values("std_clamped").map((std) => (std < f32(1e-5) ? 1 : f32(1 / std)));
  const bound = (percentile: Float32Array): Float32Array =>
    percentile.map((p, i) => {
      const raw = f32(mean[i] + f32(1.5 * f32(p - mean[i])));
      return f32(f32(raw - shift[i]) * scale[i]);
    });
  return { shift, scale, least: bound(reader.percentile(2)), most: bound(reader.percentile(98)) };
}

/** One field: nested lists of [position][feature], percentiles with 1001 of those. */
class FieldReader {
  readonly #field: Readonly<Record<string, unknown>>;
  readonly #name: string;
  readonly #positions: number;
  readonly #width: number;

  constructor(field: unknown, name: string, positions: number, width: number) {
    if (typeof field !== "object" || field === null) {
      throw new FormatError(
        `${name} is missing; expected an object with mean, percentiles, mean_clamped and std_clamped of ` +
          `${positions} positions × ${width}.`,
      );
    }
    this.#field = field as Record<string, unknown>;
    this.#name = name;
    this.#positions = positions;
    this.#width = width;
  }

  /** (T, width) float32 */
  values(key: string): Float32Array {
    return this.#table(this.#field[key], key);
  }

  percentile(percent: keyof typeof INDEX_OF_PERCENT): Float32Array {
    const all = this.#field.percentiles;
    if (!Array.isArray(all) || all.length !== 1001) {
      throw new FormatError(
        `${this.#name}.percentiles has ${Array.isArray(all) ? all.length : "no"} rows, expected 1001 (0, 0.1, … 100 %).`,
      );
    }
    const index = INDEX_OF_PERCENT[percent];
    return this.#table(all[index], `percentiles[${index}]`);
  }

  #table(table: unknown, key: string): Float32Array {
    const rows: readonly unknown[] = Array.isArray(table) ? table : [];
    if (rows.length !== this.#positions) {
      throw new FormatError(
        `${this.#name}.${key} has ${Array.isArray(table) ? `${rows.length} positions` : "no values"}, expected ` +
          `${this.#positions}, the horizon of the decoder. Take the statistics that belong to this policy.`,
      );
    }
    rows.forEach((row, t) => {
      const fits =
        Array.isArray(row) &&
        row.length === this.#width &&
        row.every((v) => typeof v === "number" && Number.isFinite(v));
      if (!fits) {
        throw new FormatError(
          `${this.#name}.${key}[${t}] is ${JSON.stringify(row)?.slice(0, 80)}, expected ${this.#width} finite numbers.`,
        );
      }
    });
    return Float32Array.from((rows as number[][]).flat());
  }
}
