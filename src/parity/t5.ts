/** Golden cases of the T5 encoder and of UMT5. */
import { readT5Config, T5Encoder } from "../networks/t5/encoder.ts";
import { readUmt5Config, readUmt5OriginalConfig, umt5Weights } from "../networks/t5/umt5.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, input } from "./case.ts";
import { type CaseRun, compute } from "./compute.ts";

const t5Case: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/input_ids/, /attention_mask/]);
  allowOnly(golden, "args", []);
  const config = readT5Config(golden.config, golden.name);
  return compute(
    gpu,
    golden,
    (w) => new T5Encoder(config, w),
    (encoder, run) => {
      const ids = run.upload("input_ids");
      const mask = run.uploadIfGiven("attention_mask");
      return run.values(() => ({ last_hidden_state: encoder.forward(ids, mask) }));
    },
  );
};

const umt5Case: CaseRunner = async (gpu, golden) => {
  allowOnly(golden, "inputs", [/input_ids/, /attention_mask/]);
  allowOnly(golden, "args", [/text_length/]);
  const { layout, ...given } = golden.config;
  const config =
    layout === "original"
      ? readUmt5OriginalConfig(golden.config, golden.name)
      : readUmt5Config(given, golden.name);
  const build = (w: WeightLoader) => new T5Encoder(config, w);
  const body = async (encoder: T5Encoder, run: CaseRun) => {
    const [ids, mask] = [run.upload("input_ids"), run.upload("attention_mask")];
    const values = await run.values(() => ({ last_hidden_state: encoder.forward(ids, mask) }));
    // What goes on to a video model: padding is zeros.
    const real = input(golden, "attention_mask").data;
    const context = values.get("last_hidden_state")!.map((v, i) => v * real[Math.floor(i / config.width)]);
    return values.set("context", context);
  };
  return compute(gpu, golden, build, body, umt5Weights(golden.weights));
};

export const kinds: Readonly<Record<string, CaseRunner>> = { "t5.encoder": t5Case, "umt5.encoder": umt5Case };
