/** Golden cases of the T5 encoder. */
import { readT5Config, T5Encoder } from "../networks/t5/encoder.ts";
import { allowOnly, type CaseRunner } from "./case.ts";
import { compute } from "./compute.ts";

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

export const kinds: Readonly<Record<string, CaseRunner>> = { "t5.encoder": t5Case };
