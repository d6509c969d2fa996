/** What keys and configuration say of a checkpoint's edition, and what is refused where they do not say enough. */
import { describe, expect, it, test } from "vitest";
import { FormatError, UsageError, WeightsError } from "../../src/errors.ts";
import { readActionConfig } from "../../src/networks/lucidrains-action/config.ts";
import { editionOf } from "../../src/networks/lucidrains-action/edition.ts";

const OPTIONS = { dim: 8, dim_video_hidden: 4, dim_action: 3, dim_joint_state: 2 };

/** The edition of a checkpoint with these keys. */
function edition(keys: readonly string[], options: object = {}, gated = true) {
  const config = readActionConfig({ ...OPTIONS, ...options }, "decoder");
  return editionOf(config, { has: (key) => keys.includes(key), keys }, gated);
}

const OLD = ["to_action_tokens.weight", "layers.0.1.to_modulation.weight"];
const NEW = ["to_action_tokens.0.weight", "layers.0.1.to_modulation.weight"];
const version = (text: string) => ({ _mimic_video_version: text });

describe("the gate bias", () => {
  test.each<[string, readonly string[], object, number, RegExp?]>([
    ["indexed keys", NEW, {}, -2, /-2, since its keys carry/],
    [
      "a joint normaliser before 0.5",
      [...OLD, "joint_normalizer.mean"],
      {},
      -2,
      /normalises the joint state/,
    ],
    ["stated", OLD, { ada_ln_zero_bias: -3.5 }, -3.5],
    ["stated, of indexed keys", NEW, { ada_ln_zero_bias: -5 }, -5],
    ["0.3.10", OLD, version("0.3.10"), -5],
    ["0.3.12", OLD, version("0.3.12"), -5],
    ["0.3.14", OLD, version("0.3.14"), -2],
    ["0.4.2", OLD, version("0.4.2"), -2],
    ["0.5.8", NEW, version("0.5.8"), -2],
    ["a later one", NEW, version("0.10.0"), -2],
    ["0.4.0 with a bias of its own", OLD, { ...version("0.4.0"), ada_ln_zero_bias: -1 }, -1],
    ["0.3.11 and what it gates with", OLD, { ...version("0.3.11"), ada_ln_zero_bias: -5 }, -5],
  ])("%s", (_, keys, options, bias, assumed) => {
    const { gateBias, assumed: words } = edition(keys, options);
    expect(gateBias).toBe(bias);
    if (assumed) expect(words.join()).toMatch(assumed);
    else expect(words).toEqual([]);
  });

  it("is refused with the two possibilities where nothing tells it", () => {
    expect(() => edition(OLD)).toThrow(UsageError);
    expect(() => edition(OLD)).toThrow(/up to 0\.3\.12 \(bias -5\) or of 0\.3\.14 to 0\.4\.2 \(bias -2\)/);
    expect(() => edition(OLD)).toThrow(/"ada_ln_zero_bias": -5 or "ada_ln_zero_bias": -2/);
    const registers = () => edition([...OLD, "register_tokens"], { num_register_tokens: 2 });
    expect(registers).toThrow(/are of 0\.3\.12 \(bias -5\) or of 0\.3\.14 to 0\.4\.2 \(bias -2\)/);
    // Keys of another model are compared by name, which says more.
    expect(() => edition(["model.to_action_tokens.weight"])).not.toThrow();
    // An actor has no gates.
    expect(() => edition(["to_action_tokens.weight", "layers.0.1.norm.weight"], {}, false)).not.toThrow();
  });
});

test.each<[readonly string[], object, "all" | 1, number]>([
  [NEW, {}, 1, 1000],
  [NEW, { max_sample_steps: 20 }, 1, 20],
  [OLD, version("0.3.10"), "all", Infinity],
  [OLD, version("0.4.0"), "all", Infinity],
  [OLD, version("0.4.1"), 1, Infinity],
  [OLD, { ada_ln_zero_bias: -5 }, "all", Infinity],
])("the sampler of %j with %j", (keys, options, cachedSteps, mostSteps) => {
  expect(edition(keys, options)).toMatchObject({ cachedSteps, mostSteps });
});

const BODIES = { dim_action: [3, 4, 5], dim_joint_state: [2, 2, 6] };

test.each<[string, readonly string[], object, new (message: string) => Error, RegExp]>([
  [
    "a bias that its version ignores",
    OLD,
    { ...version("0.3.10"), ada_ln_zero_bias: -2 },
    FormatError,
    /0\.3\.10, which ignores/,
  ],
  ["unindexed keys of 0.5", OLD, version("0.5.0"), FormatError, /carry no embodiment's number/],
  ["indexed keys of 0.4", NEW, version("0.4.2"), FormatError, /0\.4\.2 is stated, but keys carry/],
  [
    "several bodies without numbers",
    OLD,
    { ...BODIES, ada_ln_zero_bias: -2 },
    FormatError,
    /3 embodiments are stated, but keys carry no/,
  ],
  [
    "fewer bodies than stated",
    [...NEW, "to_action_tokens.1.weight"],
    BODIES,
    WeightsError,
    /no to_action_tokens\.2\.weight/,
  ],
  [
    "an actor",
    ["to_action_tokens.0.weight", "layers.0.1.norm.weight"],
    {},
    WeightsError,
    /actor or a critic/,
  ],
  [
    "MiniMax-H3",
    [...NEW, "video_predict_wrapper.text_proj.weight"],
    {},
    UsageError,
    /text_proj\.weight is of a video model that is not Cosmos/,
  ],
  ["its sound", [...NEW, "video_predict_wrapper.audio_vae.encoder.weight"], {}, UsageError, /not Cosmos/],
  [
    "blocks of another transformer",
    [...NEW, "video_predict_wrapper.transformer.blocks.0.weight"],
    {},
    UsageError,
    /not Cosmos/,
  ],
  ["a version before 0.3.10", OLD, version("0.0.32"), UsageError, /0\.0\.32 has another architecture/],
  ["no version", OLD, version("newest"), FormatError, /"newest", expected one such as "0\.5\.8"/],
])("refuses %s", (_, keys, options, kind, message) => {
  expect(() => edition(keys, options)).toThrow(kind);
  expect(() => edition(keys, options)).toThrow(message);
});

describe("embodiments", () => {
  const read = (options: object, body?: number) =>
    readActionConfig({ ...OPTIONS, ...options }, "decoder", body);
  const rows = (...widths: number[]) =>
    widths.map((width) => [0, 1].map(() => new Array<number>(width).fill(1)));

  it("each has its widths and normalisers", () => {
    const options = {
      ...BODIES,
      action_mean_std: rows(3, 4, 5),
      joint_mean_std: rows(2, 2, 6),
      num_body_ids: 3,
    };
    expect(read(options, 2)).toMatchObject({
      body: 2,
      bodies: 3,
      actionDim: 5,
      jointDim: 6,
      normalized: true,
      jointNormalized: true,
    });
    expect(read(options)).toMatchObject({ body: 0, actionDim: 3, jointDim: 2 });
    expect(read({ action_mean_std: rows(3)[0] })).toMatchObject({
      bodies: 1,
      normalized: true,
      jointNormalized: false,
    });
    expect(read({ action_mean_std: rows(3) })).toMatchObject({ normalized: true });
  });

  it.each<[object, number, RegExp]>([
    [BODIES, 3, /no embodiment 3; the checkpoint has 3, counted from 0/],
    [BODIES, 0.5, /no embodiment 0\.5/],
    [{ ...BODIES, dim_joint_state: [2] }, 0, /dim_action has 3 embodiments, dim_joint_state 1/],
    [{ ...BODIES, dim_action: [3, 0, 1] }, 0, /"dim_action" is \[3,0,1\]/],
    [{ ...BODIES, dim_action: [] }, 0, /"dim_action" is \[\]/],
    [{ ...BODIES, num_body_ids: 2 }, 2, /no row in a table of num_body_ids = 2/],
    [
      { ...BODIES, action_mean_std: rows(3, 4, 4) },
      0,
      /means and deviations of 3 embodiments of 3 and 4 and 5 dimensions/,
    ],
    [{ joint_mean_std: rows(3)[0] }, 0, /"joint_mean_std".*of 2 dimensions/],
  ])("refuses %j for number %d", (options, body, message) => {
    expect(() => read(options, body)).toThrow(message);
  });
});

test("options that the configuration leaves to the package are named", () => {
  const { assumed } = readActionConfig({ ...OPTIONS, eps: 1e-4 }, "decoder");
  expect(assumed).toContain("model_output_clean = true");
  expect(assumed).toContain("action_chunk_len = 32");
  expect(assumed.join()).not.toMatch(/eps/);
});
