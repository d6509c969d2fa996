/** Samples of a MeanFlow network, for the command that generates and for the page. */
import { UsageError } from "../../errors.ts";
import { readTensor, sizeOf } from "../../tensor/tensor.ts";
import type { DrawRequest, Drawn, Sampler } from "../sampler.ts";
import { readNoise } from "./given-noise.ts";
import { type MeanFlowModel, type Rule, RULES } from "./model.ts";
import { contactSheet, toBytes } from "./pictures.ts";

/** @param together samples of one batch */
export function samplerOf(model: MeanFlowModel, name: string, together: number): Sampler {
  const { pictures, contents } = model.description;
  return {
    ...{ name, classes: model.classes, shape: model.shape, contents },
    rules: model.rules,
    mostTogether: together,
    readNoise: (source) => readNoise(source, model.shape, model.classes),
    checkRule: (rule) => model.checkRule(ruleNamed(rule)),
    noise: (label, seed) => model.noise(label, seed),
    draw: (request) => draw(model, request),
    ...(pictures && { toBytes: (samples) => toBytes(samples, pictures) }),
    ...(pictures && { sheet: (samples, layout) => contactSheet(samples, pictures, layout) }),
  };
}

/** @throws UsageError when there is no such rule */
export function ruleNamed(word: string): Rule {
  const rule = (Object.keys(RULES) as Rule[]).find((name) => name === word);
  if (!rule) throw new UsageError(`the rule ${word}: there are ${Object.keys(RULES).join(" and ")}.`);
  return rule;
}

async function* draw(model: MeanFlowModel, request: DrawRequest): AsyncGenerator<Drawn, void, void> {
  const { labels, noise, calls, rule = "average", guidance: scale, guided: interval, signal } = request;
  const batch = noise.length / sizeOf(model.shape);
  const walk = model.walk({ labels, noise, calls, rule: ruleNamed(rule), scale, interval, signal });
  for await (const { step, steps, time, latents } of walk)
    yield {
      ...{ step, steps, noiseLevel: model.noiseLevel(time) },
      read: () => readTensor(model.gpu, latents.reshape(batch, ...model.shape)),
    };
}
