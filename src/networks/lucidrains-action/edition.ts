/**
 * Which edition of the package a checkpoint is of, as far as inference depends on it (docs/references.md, "editions"). The package writes
 * no constructor arguments and no version; two things tell editions apart, and one of them no tensor shows:
 *
 *   keys        up to 0.4.2 `to_action_tokens.weight`, from 0.5.0 on `to_action_tokens.0.weight`, a number an embodiment
 *   gate bias   added to every gate of the adaptive norms before its sigmoid: −5 up to 0.3.12, whatever the option said;
 *               from 0.3.14 on the option's value, −2 by default
 */
import { FormatError, UsageError, WeightsError } from "../../errors.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { ActionConfig } from "./config.ts";
import { isAtLeast } from "./version.ts";

/** Of a loader. */
type Keys = Pick<WeightLoader, "has" | "keys">;

const OLD_BIAS = -5;
const NEW_BIAS = -2;

export interface Edition {
  /** whether keys carry the embodiment's number */
  readonly indexed: boolean;
  readonly gateBias: number;
  /** in how many of its last steps the package's sampler remembers, when it is not told: the last alone is none */
  readonly cachedSteps: "all" | 1;
  /** the most steps that the package's sampler takes, when it is not told */
  readonly mostSteps: number;
  /** what was concluded and not stated, in words */
  readonly assumed: readonly string[];
}

/**
 * The edition of the checkpoint behind `w`, from its keys and what its configuration states.
 * @param gated whether norms are adaptive; those of actors and critics have no gates
 * @throws UsageError when nothing tells the gate bias, or for a video model other than Cosmos; FormatError when keys and statements
 *   contradict one another; WeightsError for a model without times, or without the embodiments it should have
 */
export function editionOf(config: ActionConfig, w: Keys, gated: boolean): Edition {
  const { version, bodies, name } = config;
  const indexed = w.has("to_action_tokens.0.weight");
  const unindexed = w.has("to_action_tokens.weight");
  checkOrigin(config, w, gated);
  if (indexed || unindexed) {
    if (version && isAtLeast(version, [0, 5, 0]) !== indexed) {
      throw new FormatError(
        `${name}: version ${version.join(".")} is stated, but keys ${indexed ? "carry the embodiment's number, as from 0.5.0 on" : "carry no embodiment's number, as up to 0.4.2"}. Correct the version.`,
      );
    }
    if (!indexed && bodies > 1)
      throw new FormatError(
        `${name}: ${bodies} embodiments are stated, but keys carry no embodiment's number, so there is one. Correct dim_action and dim_joint_state.`,
      );
    const absent = Array.from({ length: indexed ? bodies : 0 }, (_, e) => e).find(
      (e) => !w.has(`to_action_tokens.${e}.weight`),
    );
    if (absent !== undefined)
      throw new WeightsError(
        `${name}: ${bodies} embodiments are stated, but there is no to_action_tokens.${absent}.weight. Correct dim_action and dim_joint_state.`,
      );
  }
  const recent = indexed || (version !== undefined && isAtLeast(version, [0, 4, 1]));
  const assumed: string[] = [];
  const gateBias = gated ? biasOf(config, w, { indexed, unindexed }, assumed) : NEW_BIAS;
  const mostSteps = config.mostSteps ?? (indexed ? 1000 : Number.POSITIVE_INFINITY);
  return { indexed, gateBias, cachedSteps: recent ? 1 : "all", mostSteps, assumed };
}

function biasOf(
  { gateBias: stated, version, name, registers }: ActionConfig,
  w: Keys,
  { indexed, unindexed }: { indexed: boolean; unindexed: boolean },
  assumed: string[],
): number {
  if (version && !isAtLeast(version, [0, 3, 14])) {
    if (stated !== undefined && stated !== OLD_BIAS) {
      throw new FormatError(
        `${name}: ada_ln_zero_bias = ${stated} is stated with version ${version.join(".")}, which ignores the option and gates with ${OLD_BIAS}. ` +
          "Leave out the one that is not true.",
      );
    }
    return OLD_BIAS;
  }
  if (stated !== undefined) return stated;
  if (version) return NEW_BIAS;
  const evidence = indexed
    ? "its keys carry the embodiment's number, as from 0.5.0 on"
    : w.has("joint_normalizer.mean")
      ? "it normalises the joint state, as from 0.4.0 on"
      : undefined;
  if (evidence !== undefined) {
    assumed.push(`ada_ln_zero_bias = ${NEW_BIAS}, since ${evidence}`);
    return NEW_BIAS;
  }
  // Keys of neither style belong to something else, and the comparison of all keys says it better.
  if (!unindexed) return NEW_BIAS;
  const [old, recent] =
    registers > 0 ? ["0.3.12", "0.3.14 to 0.4.2"] : ["0.3.x up to 0.3.12", "0.3.14 to 0.4.2"];
  throw new UsageError(
    `${name}: nothing says with which bias its gates were trained, and no tensor tells. Keys without an embodiment's number are of ${old} ` +
      `(bias ${OLD_BIAS}) or of ${recent} (bias ${NEW_BIAS}); the wrong one moves every flow by a tenth and more. ` +
      `State it in the decoder's config.json: "ada_ln_zero_bias": ${OLD_BIAS} or "ada_ln_zero_bias": ${NEW_BIAS}, or the version, as in "_mimic_video_version": "0.3.10".`,
  );
}

/** What is no action decoder on a Cosmos video model is said to be what it is. */
function checkOrigin({ name }: ActionConfig, w: Keys, gated: boolean): void {
  const wrapper = w.keys.filter((key) => key.startsWith("video_predict_wrapper."));
  const minimax = wrapper.find((key) => /^video_predict_wrapper\.(text_proj|audio_vae)\./.test(key));
  const blocks = wrapper.filter((key) => key.startsWith("video_predict_wrapper.transformer."));
  if (
    minimax !== undefined ||
    (blocks.length > 0 && !blocks.some((key) => key.includes("transformer_blocks.")))
  ) {
    throw new UsageError(
      `${name}: ${minimax ?? blocks[0]} is of a video model that is not Cosmos, such as MiniMax-H3, whose times run the other way. ` +
        "Only decoders on Cosmos are supported.",
    );
  }
  if (gated && !w.has("layers.0.1.to_modulation.weight") && w.has("layers.0.1.norm.weight")) {
    throw new WeightsError(
      `${name}: layers.0.1.norm.weight stands where a flow model has layers.0.1.to_modulation.weight: this is an actor or a critic, ` +
        "which has no times. Give the flow model that it was made from.",
    );
  }
}
