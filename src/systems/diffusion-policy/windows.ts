/**
 * The moments at which a policy plans, and what it sees there. `Windows` is where data of any kind join; here is the plainest,
 * `inputs.safetensors`: one episode of consecutive environment steps, `frames` (F, rows, columns, 3) of bytes and `states` (F, J),
 * perhaps `actions` (F, A). A plan is made at steps 0, T, 2T, …, each with the S observations up to its own; before the first
 * stands the first.
 */
import { FormatError, UsageError } from "../../errors.ts";
import type { DiffusionPolicyConfig } from "../../networks/diffusion-policy/config.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { expectTensor, type TensorSource } from "../../weights/source.ts";
import { fromBytes, type Observed } from "./observed.ts";

/** One of them, in the data's units. */
export interface PlanWindow {
  readonly id: string;
  readonly prompt: string;
  /** what the data say of it, by name */
  readonly labels?: Readonly<Record<string, string>>;
  readonly observed: Observed;
  /** (T, A) what was really done from the last observation on, where it is known to the end */
  readonly actions?: Float32Array<ArrayBuffer>;
}

export interface Windows {
  readonly count: number;
  /** files whose bytes are the data */
  readonly files: readonly string[];
  /** names of the action's dimensions and their unit, where the data say */
  readonly actionNames?: readonly string[];
  readonly actionUnit?: string;
  /** @throws UsageError when there is no such window, FormatError when a number of it is not finite */
  read(index: number): Promise<PlanWindow>;
  close(): Promise<void>;
}

export const INPUTS = "inputs.safetensors";

type Sizes = Pick<
  DiffusionPolicyConfig,
  "cameras" | "state" | "environment" | "action" | "observations" | "actionSteps"
>;

/** @throws FormatError or UsageError when the file does not fit the policy */
export async function openInputs(files: ModelFiles, config: Sizes): Promise<Windows> {
  const { cameras, state, environment, action, observations: S, actionSteps: T } = config;
  if (cameras.length !== 1 || environment)
    throw new UsageError(
      `${files.name}/${INPUTS} holds one camera's pictures and states; this policy sees ${cameras.length} cameras ` +
        `(${cameras.map(({ key }) => key).join(", ")})${environment ? " and an environment state" : ""}.`,
    );
  const source = await files.weights(INPUTS);
  try {
    const [, rows, columns] = cameras[0].shape;
    const F = source.tensors.get("frames")?.shape[0] ?? 0;
    expectTensor(source, "frames", ["U8"], [F, rows, columns, 3]);
    expectTensor(source, "states", FLOATS, [F, ...state.shape]);
    const known = source.tensors.has("actions");
    if (known) expectTensor(source, "actions", FLOATS, [F, ...action.shape]);
    const [frames, states, actions] = await Promise.all([
      source.read("frames"),
      floats(source, "states"),
      known ? floats(source, "actions") : undefined,
    ]);
    const [J, A] = [state.shape[0], action.shape[0]];
    const count = Math.ceil(F / T);
    if (count === 0) throw new FormatError(`${source.name} holds no frames`);
    return {
      count,
      files: [INPUTS],
      read: (index) => {
        if (index >= count)
          return Promise.reject(
            new UsageError(`episode ${index} does not exist; the data hold ${count} plans, counted from 0`),
          );
        const now = index * T;
        const seen = Array.from({ length: S }, (_, s) => Math.max(0, now - S + 1 + s));
        const size = rows * columns * 3;
        const bytes = new Uint8Array(S * size);
        const vectors = new Float32Array(S * J);
        seen.forEach((at, s) => {
          bytes.set(frames.subarray(at * size, (at + 1) * size), s * size);
          vectors.set(states.subarray(at * J, (at + 1) * J), s * J);
        });
        const done = actions && now + T <= F ? actions.slice(now * A, (now + T) * A) : undefined;
        return Promise.resolve({
          id: `step ${now}`,
          prompt: "",
          observed: { pictures: [fromBytes(bytes, S)], state: vectors },
          ...(done && { actions: done }),
        });
      },
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

const FLOATS = ["F32", "F64", "F16", "BF16"];

async function floats(source: TensorSource, name: string): Promise<Float32Array<ArrayBuffer>> {
  const values = Float32Array.from(toFloat32(await source.read(name), source.tensors.get(name)!.dtype));
  const bad = values.find((value) => !Number.isFinite(value));
  if (bad === undefined) return values;
  throw new FormatError(`${source.name}: "${name}" holds ${bad}, expected finite numbers`);
}
