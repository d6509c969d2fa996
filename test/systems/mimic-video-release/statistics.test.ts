/** The normaliser against numbers of numpy 2.4.6 from the miniatures' statistics: constants in float32 then bfloat16, the rest in float64. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../../src/errors.ts";
import { bfloat16 } from "../../../src/weights/rounded.ts";
import { readStatistics, type Statistics } from "../../../src/systems/mimic-video-release/statistics.ts";
import { openMiniature, relative } from "./miniatures.ts";

async function jsonOf(path: string): Promise<Record<string, Record<string, unknown>>> {
  const url = new URL(`../../release-mini/${path}`, import.meta.url);
  return JSON.parse(await readFile(url, "utf8")) as Record<string, Record<string, unknown>>;
}

const cases = [
  {
    folder: "bridge",
    file: "bridge/dataset_statistics/bridge.json",
    chunk: 5,
    states: [
      [
        2.96875, 0.34013524651527405, 0.5700510740280151, 0.91107577085495, -0.18670862913131714,
        -0.367533415555954, 0.14979486167430878, 0.9805525541305542, -0.1267997771501541, 1.3957173824310303,
      ],
      [
        1.4732024669647217, -0.5988229513168335, -0.7775930166244507, 0.9811702966690063, 0.10849522054195404,
        -0.15979239344596863, -0.004428202752023935, 0.8397389650344849, 0.5429722666740417, -2.96875,
      ],
    ],
    lastRow: [
      0.8828195333480835, 0.9660821557044983, -0.6409285068511963, 0.8568047285079956, 0.2631424367427826,
      -0.44344308972358704, -0.21932758390903473, 0.9642927646636963, 0.14844165742397308,
      -0.047026295214891434,
    ],
    squares: 48.54763678281112,
    half: [
      0.3420884609222412, 0.31546688079833984, 0.29130813479423523, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5,
      0.17527207732200623,
    ],
  },
  {
    folder: "libero",
    file: "libero/dataset_statistics/libero_object_full.json",
    chunk: 8,
    states: [
      [
        2.890625, -0.2675843834877014, -1.0356565713882446, 0.9545326828956604, -0.2279355376958847,
        0.1921268254518509, 0.1982409656047821, 0.9666823148727417, 0.16194391250610352, 0.22804777324199677,
      ],
      [
        -0.737626850605011, -1.430314064025879, 1.1860688924789429, 0.9441305994987488, -0.1279233992099762,
        0.3037318289279938, 0.06138434633612633, 0.9737252593040466, 0.21929675340652466, -2.96875,
      ],
    ],
    lastRow: [
      1.1129661798477173, -0.6090543866157532, -1.602704644203186, 0.8765375018119812, -0.16570696234703064,
      -0.45191067457199097, 0.20587845146656036, 0.9777261018753052, 0.04081372171640396, 1.639715313911438,
    ],
    squares: 83.40644692561295,
    half: [
      0.20709574222564697, 0.22640661895275116, 0.21319523453712463, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5,
      0.08435114473104477,
    ],
  },
] as const;

describe.each(cases)("$folder", ({ folder, file, chunk, states, lastRow, squares, half }) => {
  const horizon = { state: 1, action: chunk };
  const read = async (): Promise<Statistics> => readStatistics(await jsonOf(file), file, horizon);

  test("states, clamped where they lie beyond", async () => {
    const { state, family } = await read();
    expect(family).toBe(folder);
    const { episodes } = await openMiniature(folder);
    for (const [e, expected] of states.entries()) {
      const episode = await episodes.read(e);
      expect(relative(state.normalise(episode.state, true), expected)).toBeLessThan(1e-7);
      expect(relative(state.normalise(episode.state, false), expected)).toBeGreaterThan(1e-3);
    }
    await episodes.close();
  });

  test("actions into the model's units and back", async () => {
    const { action } = await read();
    const { episodes } = await openMiniature(folder);
    const { actions } = await episodes.read(1);
    const normalised = action.normalise(actions!, false);
    expect(relative(normalised.slice(-10), lastRow)).toBeLessThan(1e-7);
    expect(normalised.reduce((sum, v) => sum + v * v, 0)).toBeCloseTo(squares, 4);
    expect(relative(action.toData(normalised), actions!)).toBeLessThan(1e-7);
    const all = action.toData(new Float32Array(2 * chunk * 10).fill(0.5));
    expect(relative(all.slice(-10), half)).toBeLessThan(1e-7);
    await episodes.close();
  });

  test("another horizon, a missing field, a number that is none", async () => {
    const json = await jsonOf(file);
    const field = folder === "bridge" ? "action/eef_pos_lowdim" : "action/eef_pos_ref_delta_lowdim";
    const longer = { state: 1, action: chunk + 1 };
    expect(() => readStatistics(json, "s.json", longer)).toThrow(
      new RegExp(`s\\.json: ${field}.*has ${chunk} positions, expected ${chunk + 1}`),
    );
    const grip = { ...json };
    delete grip["action/gripper_action_lowdim"];
    expect(() => readStatistics(grip, "s.json", horizon)).toThrow(
      /s\.json: action\/gripper_action_lowdim is missing/,
    );
    expect(() => readStatistics({ other: {} }, "s.json", horizon)).toThrow(
      /has no field action.*it has other/,
    );
    expect(() => readStatistics([], "s.json", horizon)).toThrow(FormatError);
    const broken = structuredClone(json);
    (broken[field].mean_clamped as unknown[][])[1][2] = null;
    expect(() => readStatistics(broken, "s.json", horizon)).toThrow(
      /mean_clamped\[1\] is .*null.*expected 3 finite/,
    );
    const short = structuredClone(json);
    short[field].percentiles = (short[field].percentiles as unknown[]).slice(1);
    expect(() => readStatistics(short, "s.json", horizon)).toThrow(/1000 rows, expected 1001/);
  });
});

test("a dimension that does not move is not blown up", async () => {
  const json = await jsonOf(cases[0].file);
  const field = json["action/gripper_action_lowdim"];
  field.std_clamped = (field.std_clamped as number[][]).map((row) => row.map(() => 9e-6));
  const { action } = readStatistics(json, "s.json", { state: 1, action: 5 });
  expect(action.scale[9]).toBe(1);
});

test("rounding to bfloat16 goes to even", () => {
  // 1 + 2⁻⁸ lies half way between 1 and 1 + 2⁻⁷; 1 + 3·2⁻⁸ between 1 + 2⁻⁷ and 1 + 2⁻⁶.
  expect(bfloat16(1 + 2 ** -8)).toBe(1);
  expect(bfloat16(1 + 3 * 2 ** -8)).toBe(1 + 2 ** -6);
  expect(bfloat16(-31694.01925648614)).toBe(-31744);
  expect(bfloat16(Infinity)).toBe(Infinity);
  expect(bfloat16(3.4e38)).toBe(Infinity);
  expect(bfloat16(NaN)).toBeNaN();
  expect(Object.is(bfloat16(-0), -0)).toBe(true);
});
