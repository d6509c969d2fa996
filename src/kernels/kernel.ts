/**
 * How a kernel is declared: its parameters, constants and bindings are named once, with their WGSL types, and this writes of them
 * the parameter struct, the binding lines, the head of `main` and the dispatch. What is left to a kernel is WGSL.
 *
 * The text sees
 *
 *   p.name             parameters, one uniform struct
 *   NAME               constants: overrides, so that a value costs a pipeline and no text
 *   name[i]            bindings, arrays of their element; an optional one ("bias?") that is not given is bound to a few zeros, and
 *                      HAS_BIAS says whether it was
 *   group, lane, index the workgroup's number, the invocation's in it, the invocation's over all; WORKGROUP invocations a workgroup
 *
 * A kernel may have forms: plain facts that its text is made from. The pipeline cache is keyed by the declaration, the form and the
 * constants, so that no key is written by hand. Constants that the text of a form does not mention are no part of it.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Program } from "../gpu/pipelines.ts";
import { recording } from "../gpu/recording.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { LIGHT_INVOCATIONS } from "./variants.ts";

/** What an array that is bound consists of. */
export type Element = "f32" | "u32" | "vec2f" | "vec2u" | "vec4f";

/** Bytes and alignment of a parameter. */
const PARAM_TYPES = {
  u32: { bytes: 4, align: 4 },
  f32: { bytes: 4, align: 4 },
  "array<vec4u, 2>": { bytes: 32, align: 16 },
} as const;

type Params = Readonly<Record<string, keyof typeof PARAM_TYPES>>;
type Constants = Readonly<Record<string, "u32" | "bool">>;
type Bindings = Readonly<Record<string, Element>>;
type None = Readonly<Record<never, never>>;

/** What the text of a kernel depends on: plain values, of which the cache key is made. */
export type Form = Readonly<Record<string, string | number | boolean>>;

export interface Declaration<
  P extends Params,
  C extends Constants,
  R extends Bindings,
  W extends Bindings,
  F extends Form,
> {
  /** for labels and messages */
  readonly name: string;
  readonly params: P;
  readonly constants?: C;
  /** read only; a name that ends in "?" may be left out of a dispatch */
  readonly read: R | ((form: F) => R);
  /** written, or read and written in place */
  readonly write: W | ((form: F) => W);
  /** the parameter that counts the invocations: those beyond it return at once */
  readonly over?: keyof P & string;
  /** invocations a workgroup where a dispatch does not say; default `LIGHT_INVOCATIONS` */
  readonly workgroup?: (gpu: Gpu) => number;
  /** lines that enable WGSL extensions */
  readonly enable?: string;
  /** further parameters of `main` */
  readonly builtins?: string;
  /** functions, constants and workgroup variables */
  readonly functions?: string | ((form: F) => string);
  /** the statements of `main` */
  readonly main: string | ((form: F) => string);
}

type Value<T> = T extends "bool" ? boolean : T extends "u32" | "f32" ? number : readonly number[];
type Values<T> = { readonly [K in keyof T]: Value<T[K]> };
type Tensors<B> = { readonly [K in keyof B as K extends `${string}?` ? never : K]: Tensor } & {
  readonly [K in keyof B as K extends `${infer Name}?` ? Name : never]?: Tensor;
};

/** One dispatch. The workgroups are as many as `over`, `invocations` or, for those that work together, `workgroups` say. */
export type Dispatch<
  P extends Params,
  C extends Constants,
  R extends Bindings,
  W extends Bindings,
  F extends Form,
> = {
  readonly params: Values<P>;
  readonly read: Tensors<R>;
  readonly write: Tensors<W>;
  readonly workgroup?: number;
  readonly invocations?: number;
  readonly workgroups?: number;
} & (keyof C extends never ? { readonly constants?: None } : { readonly constants: Values<C> }) &
  (keyof F extends never ? { readonly form?: None } : { readonly form: F });

/** The text of one form, and what it mentions. */
interface Source {
  readonly wgsl: string;
  readonly read: readonly { readonly name: string; readonly optional: boolean }[];
  readonly write: readonly string[];
  readonly constants: readonly string[];
}

/** "relativeBias" → "HAS_RELATIVE_BIAS" */
const presence = (name: string): string => `HAS_${name.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`;

/**
 * A kernel: a function that appends a dispatch to the recording in progress. `source(form)` is its text.
 * @throws UsageError from a dispatch that leaves out a name, or whose parameter is no number of its type
 */
export function kernel<
  const P extends Params,
  const R extends Bindings,
  const W extends Bindings,
  const C extends Constants = None,
  F extends Form = None,
>(declaration: Declaration<P, C, R, W, F>) {
  const { name, over, workgroup: usual = () => LIGHT_INVOCATIONS } = declaration;
  const sources = new Map<string, Source>();
  const source = (form: F, key: string): Source => {
    let made = sources.get(key);
    if (!made) sources.set(key, (made = write(declaration, form)));
    return made;
  };
  const pack = packer(name, declaration.params);
  const dispatch = (call: Dispatch<P, C, R, W, F>): void => {
    const list = recording();
    const form = (call.form ?? {}) as F;
    const key = formKey(form);
    const { wgsl, read, write: written, constants } = source(form, key);
    const workgroup = call.workgroup ?? usual(list.gpu);
    const given = (call.constants ?? {}) as Readonly<Record<string, number | boolean>>;
    const inputs = call.read as Readonly<Record<string, Tensor | undefined>>;
    const outputs = call.write as Readonly<Record<string, Tensor | undefined>>;
    const values = call.params as Readonly<Record<string, number | readonly number[]>>;
    const constantOf = (constant: string): number => {
      if (constant === "WORKGROUP") return workgroup;
      const optional = read.find((binding) => presence(binding.name) === constant);
      return Number(optional ? inputs[optional.name] !== undefined : named(name, given, constant));
    };
    const program: Program = {
      ...{ declaration, name, wgsl, inputs: read.length, outputs: written.length },
      ...{ form: key, constants: Object.fromEntries(constants.map((c) => [c, constantOf(c)])) },
    };
    const invocations = over === undefined ? call.invocations : (values[over] as number);
    const workgroups = call.workgroups ?? Math.ceil((invocations ?? Number.NaN) / workgroup);
    if (!Number.isInteger(workgroups)) throw new UsageError(`kernel ${name}: ${workgroups} workgroups`);
    list.dispatch({
      ...{ program, workgroups, params: pack(values) },
      inputs: read.map(({ name: binding, optional }) =>
        optional
          ? (inputs[binding] ?? list.gpu.memory.nothing)
          : named(name, inputs as Readonly<Record<string, Tensor>>, binding),
      ),
      outputs: written.map((binding) => named(name, outputs as Readonly<Record<string, Tensor>>, binding)),
    });
  };
  return Object.assign(dispatch, { source: (form: F): string => source(form, formKey(form)).wgsl });
}

function named<T>(kernelName: string, values: Readonly<Record<string, T | undefined>>, name: string): T {
  const value = values[name];
  if (value !== undefined) return value;
  const given = Object.keys(values).join(", ");
  throw new UsageError(`kernel ${kernelName}: "${name}" is not given; there are ${given || "none"}`);
}

/** "blocks=4 ragged" */
function formKey(form: Form): string {
  const words = Object.entries(form).map(([name, value]) =>
    typeof value === "boolean" ? (value ? name : "") : `${name}=${value}`,
  );
  return words.filter(Boolean).join(" ");
}

/** The whole text of one form. */
function write<P extends Params, C extends Constants, R extends Bindings, W extends Bindings, F extends Form>(
  {
    params,
    constants,
    read,
    write: written,
    over,
    enable = "",
    builtins = "",
    ...text
  }: Declaration<P, C, R, W, F>,
  form: F,
): Source {
  const of = <T>(part: T | ((form: F) => T)): T =>
    typeof part === "function" ? (part as (form: F) => T)(form) : part;
  const inputs = Object.entries(of<R>(read)).map(([name, element]) => {
    const optional = name.endsWith("?");
    return { name: optional ? name.slice(0, -1) : name, optional, element };
  });
  const outputs = Object.entries(of<W>(written));
  const [functions, main] = [of(text.functions ?? ""), of(text.main)];
  const mentioned = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(functions + main);
  const overrides: [string, string][] = [
    ...Object.entries(constants ?? {}),
    ...inputs
      .filter(({ optional }) => optional)
      .map(({ name }): [string, string] => [presence(name), "bool"]),
  ].filter(([name]) => mentioned(name));
  const bindings = [
    ...inputs.map(({ name, element }) => ({ name, element, access: "read" })),
    ...outputs.map(([name, element]) => ({ name, element, access: "read_write" })),
  ];
  const fields = Object.entries(params).map(([name, type]) => `${name}: ${type}`);
  const wgsl = /* wgsl */ `${enable}
${fields.length > 0 ? `struct Params { ${fields.join(", ")} }\n@group(0) @binding(0) var<uniform> p: Params;` : ""}
${bindings
  .map((b, i) => `@group(0) @binding(${i + 1}) var<storage, ${b.access}> ${b.name}: array<${b.element}>;`)
  .join("\n")}
override WORKGROUP: u32;
${overrides.map(([name, type]) => `override ${name}: ${type};`).join("\n")}
${functions}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32, ${builtins}) {
  let group = wg.x + wg.y * grid.x;
  let index = group * WORKGROUP + lane;
${over === undefined ? "" : `  if (index >= p.${over}) { return; }`}
${main}
}
`;
  return {
    wgsl,
    read: inputs,
    write: outputs.map(([name]) => name),
    constants: ["WORKGROUP", ...overrides.map(([name]) => name)],
  };
}

/** Lays parameters out as WGSL lays out their struct. */
function packer(kernelName: string, params: Params) {
  let bytes = 0;
  const places = Object.entries(params).map(([name, type]) => {
    const { bytes: size, align } = PARAM_TYPES[type];
    const at = Math.ceil(bytes / align) * align;
    bytes = at + size;
    return { name, type, at };
  });
  return (values: Readonly<Record<string, number | readonly number[]>>): Uint32Array => {
    const block = new Uint32Array(Math.ceil(bytes / 16) * 4);
    const floats = new Float32Array(block.buffer);
    for (const { name, type, at } of places) {
      const given = named(kernelName, values, name);
      const numbers = typeof given === "number" ? [given] : given;
      if (numbers.length !== (type === "array<vec4u, 2>" ? 8 : 1))
        throw new UsageError(
          `kernel ${kernelName}: ${numbers.length} numbers for parameter ${name}: ${type}`,
        );
      for (const value of type === "f32" ? [] : numbers) {
        if (Number.isInteger(value) && value >= 0 && value <= 0xffffffff) continue;
        throw new UsageError(
          `kernel ${kernelName}: parameter ${name} = ${value} is not a 32-bit unsigned integer; a tensor is too large to index`,
        );
      }
      (type === "f32" ? floats : block).set(numbers, at / 4);
    }
    return block;
  };
}
