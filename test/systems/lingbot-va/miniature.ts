/** The miniature of the published folders, opened, and an episode that its policy acts through. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { LingbotPolicy } from "../../../src/systems/lingbot-va/policy.ts";
import type { Picture } from "../../../src/systems/policy.ts";
import { recognise } from "../../../src/systems/registry.ts";
import type { Opened } from "../../../src/systems/system.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import type { TensorSource } from "../../../src/weights/source.ts";
import { testGpu } from "../../support/gpu.ts";

export const MINI = "test/lingbot-mini/libero";
/** every `video_exec_step` of the reference */
export const EXECS: readonly number[] = [0, 1, 2, 5, 12, 20, 21, -1];
export const ACTIONS = 7;
const CAMERAS = ["observation.images.image", "observation.images.image2"];
const [SEEDS, STEPS, HEIGHT, WIDTH] = [2, 44, 72, 72];

const reference = JSON.parse(readFileSync(`${MINI}/reference/reference.json`, "utf8")) as {
  torch_float32_relative_error: Record<string, number>;
};
/** What an output may be off. */
export const bound = (name: string): number =>
  Math.max(2e-5, 10 * reference.torch_float32_relative_error[name]);

/** One run of the reference. */
export interface Rollout {
  readonly episode: number;
  readonly seed: number;
  readonly exec: number;
}

export class Miniature {
  readonly opened: Opened;
  readonly prompts: readonly string[];
  readonly #truths: TensorSource;
  readonly #frames: Readonly<Record<string, Uint8Array>>;

  private constructor(
    opened: Opened,
    prompts: readonly string[],
    truths: TensorSource,
    frames: Readonly<Record<string, Uint8Array>>,
  ) {
    this.opened = opened;
    this.prompts = prompts;
    this.#truths = truths;
    this.#frames = frames;
  }

  static async open(): Promise<Miniature> {
    const files = await openModelFolder(`${MINI}/lerobot/lingbot_va_libero_long`);
    const opened = await (
      await recognise(files)
    ).open(await testGpu(), files, {
      dtype: "f32",
      openModel: (name) => openModelFolder(`${MINI}/${name}`),
    });
    await opened.load({});
    const episodes = await openWeights(`${MINI}/episodes/episodes.safetensors`);
    const frames = await Promise.all(CAMERAS.map(async (key) => [key, await episodes.read(key)] as const));
    await episodes.close();
    const list = JSON.parse(await readFile(`${MINI}/episodes/episodes.json`, "utf8")) as { prompt: string }[];
    const truths = await openWeights(`${MINI}/reference/reference.safetensors`);
    return new Miniature(
      opened,
      list.map(({ prompt }) => prompt),
      truths,
      Object.fromEntries(frames),
    );
  }

  async close(): Promise<void> {
    await this.opened.release();
    await this.#truths.close();
  }

  /** A tensor of the reference. */
  async truth(name: string): Promise<Float32Array> {
    return new Float32Array((await this.#truths.read(name)).slice().buffer);
  }

  /** Actions of the reference, (44, 7). */
  async reacted({ episode, seed, exec }: Rollout): Promise<Float32Array> {
    const size = STEPS * ACTIONS;
    const at = ((episode * SEEDS + seed) * EXECS.length + EXECS.indexOf(exec)) * size;
    return (await this.truth("actions")).slice(at, at + size);
  }

  /** What every camera saw before these actions. */
  pictures(episode: number, steps: readonly number[]): Readonly<Record<string, Picture[]>> {
    return Object.fromEntries(
      CAMERAS.map((key) => [key, steps.map((step) => this.#picture(key, episode, step))]),
    );
  }

  /** The whole episode, with the policy's own actions fed back: (44, 7). */
  async act({ episode, seed, exec }: Rollout): Promise<number[]> {
    const policy = (await this.opened.policy!()) as LingbotPolicy;
    policy.reset();
    const actions: number[] = [];
    let seen = [0];
    while (actions.length < STEPS * ACTIONS) {
      const frames = this.pictures(episode, seen);
      const observation = { frames, state: new Float32Array(), prompt: this.prompts[episode] };
      const { actions: chunk } = await policy.actAfter(observation, { exec, seed });
      const done = actions.length / ACTIONS;
      actions.push(...chunk);
      seen = Array.from({ length: chunk.length / ACTIONS }, (_, i) => done + 1 + i);
    }
    policy.dispose();
    return actions;
  }

  #picture(camera: string, episode: number, step: number): Picture {
    const area = HEIGHT * WIDTH;
    const at = (episode * STEPS + step) * 3 * area;
    const rgb = Uint8Array.from(
      { length: 3 * area },
      (_, i) => this.#frames[camera][at + (i % 3) * area + Math.floor(i / 3)],
    );
    return { width: WIDTH, height: HEIGHT, rgb };
  }
}
