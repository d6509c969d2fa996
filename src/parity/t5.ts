/** Golden cases of the T5 encoder. */
import { record } from "../gpu/recording.ts";
import { readT5Config, T5Encoder } from "../networks/t5/encoder.ts";
import { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, input, readAll, upload } from "./case.ts";

export const t5Case: CaseRunner = async (gpu, golden) => {
  allowOnly(golden, "inputs", [/input_ids/, /attention_mask/]);
  allowOnly(golden, "args", []);
  const loader = WeightLoader.from(gpu, golden.weights, { dtype: golden.dtype });
  const encoder = new T5Encoder(readT5Config(golden.config, golden.name), loader);
  await loader.load();
  const ids = upload(gpu, input(golden, "input_ids"));
  const stored = golden.inputs.get("attention_mask");
  const mask = stored && upload(gpu, stored);
  const replay = await record(gpu, golden.name, () => ({ last_hidden_state: encoder.forward(ids, mask) }));
  await replay.run();
  const values = await readAll(gpu, replay.outputs);
  replay.dispose();
  loader.release();
  return values;
};
