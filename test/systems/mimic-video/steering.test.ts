/** Flow steering put together from parts that the golden cases prove one by one. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Actor } from "../../../src/networks/lucidrains-action/actor.ts";
import { readActionConfig } from "../../../src/networks/lucidrains-action/config.ts";
import { ActionDecoder } from "../../../src/networks/lucidrains-action/decoder.ts";
import { sampleActions } from "../../../src/systems/mimic-video/action-sampler.ts";
import { sampleSteered } from "../../../src/systems/mimic-video/steering.ts";
import { WeightLoader } from "../../../src/weights/loader.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError, uniform } from "../../support/numbers.ts";

const golden = fileURLToPath(new URL("../../golden", import.meta.url));

async function values(name: string, file: string, key: string): Promise<Float32Array<ArrayBuffer>> {
  const source = await openWeights(join(golden, name, file));
  const data = Float32Array.from(toFloat32(await source.read(key), "F32"));
  await source.close();
  return data;
}

describe("sampleSteered", () => {
  it("starts the decoder from the actor's noise", async () => {
    const gpu = await testGpu();
    const text = await readFile(join(golden, "action-actor/case.json"), "utf8");
    const config = readActionConfig({
      ...(JSON.parse(text) as { config: object }).config,
      _mimic_video_version: "0.3.10",
    });
    const load = async <T>(name: string, build: (w: WeightLoader) => T): Promise<T> => {
      const source = await openWeights(join(golden, name, "weights.safetensors"));
      const loader = WeightLoader.from(gpu, source);
      const built = build(loader);
      await loader.load();
      await source.close();
      return built;
    };
    const actor = await load("action-actor", (w) => new Actor(config, w));
    const decoder = await load("action-sample-16", (w) => new ActionDecoder(config, w));
    const [mean, logvar] = await Promise.all(
      ["mean", "logvar"].map((key) => values("action-actor", "outputs.safetensors", key)),
    );
    const inputs = {
      jointState: await values("action-actor", "inputs.safetensors", "joint_state"),
      videoHiddens: [await values("action-actor", "inputs.safetensors", "video_hiddens")],
    };
    const [draw, exploration] = [uniform(1, mean.length), uniform(2, mean.length, 0.1)];
    const noise = mean.map((m, i) => m + Math.exp(logvar[i] / 2) * draw[i] + exploration[i]);

    const steered = await sampleSteered(gpu, actor, decoder, { ...inputs, draw, exploration }, { steps: 3 });
    expect(relativeError(steered.noise, noise)).toBeLessThan(2e-6);
    const plain = await sampleActions(gpu, decoder, { ...inputs, noise: steered.noise }, { steps: 3 });
    expect(steered.actions).toEqual(plain.actions);
    const unsteered = await sampleActions(gpu, decoder, { ...inputs, noise: draw }, { steps: 3 });
    expect(relativeError(steered.actions, unsteered.actions)).toBeGreaterThan(1e-2);

    const prefix = new Float32Array(2);
    await expect(sampleSteered(gpu, actor, decoder, { ...inputs, draw, prefix })).rejects.toThrow(
      /no prefix/,
    );
  });
});
