/**
 * Just enough of ONNX to write a model of a few nodes: protobuf by hand, with the field numbers of onnx.proto (ir version 8,
 * operator set 17, and the first of com.microsoft).
 */

export interface OnnxNode {
  readonly op: string;
  /** names of inputs of the model or of results of earlier nodes, in the operator's order */
  readonly inputs: readonly string[];
  /** name of the result; default `y`, the model's output */
  readonly result?: string;
  /** "" for ONNX's own operators */
  readonly domain?: string;
  readonly integers?: Readonly<Record<string, number>>;
  readonly lists?: Readonly<Record<string, readonly number[]>>;
  readonly floats?: Readonly<Record<string, number>>;
}

export interface OnnxModel {
  readonly nodes: readonly OnnxNode[];
  /** shapes of the float32 inputs, by name */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** shape of the output `y` */
  readonly output: readonly number[];
}

type Part = number | readonly Part[];

const flat = (part: Part): number[] => (typeof part === "number" ? [part] : part.flatMap(flat));

/** A whole number as protobuf's varint; negative ones as their 64-bit two's complement. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) + 128);
  return [...bytes, Number(rest)];
}

const integer = (field: number, value: number): Part => [varint(field * 8), varint(value)];

const single = (field: number, value: number): Part => [
  varint(field * 8 + 5),
  [...new Uint8Array(Float32Array.of(value).buffer)],
];

function message(field: number, content: string | Part): Part {
  const bytes = typeof content === "string" ? [...new TextEncoder().encode(content)] : flat(content);
  return [varint(field * 8 + 2), varint(bytes.length), bytes];
}

const FLOAT = 1;

/** ValueInfoProto of a float32 tensor. */
const tensor = (name: string, shape: readonly number[]): Part => [
  message(1, name),
  message(
    2,
    message(1, [
      integer(1, FLOAT),
      message(
        2,
        shape.map((n) => message(1, integer(1, n))),
      ),
    ]),
  ),
];

/** AttributeProto; `type` is its kind of value. */
const attribute = (name: string, type: number, value: Part): Part =>
  message(5, [message(1, name), value, integer(20, type)]);

/** NodeProto. */
const nodeOf = ({ op, inputs, result = "y", domain = "", ...given }: OnnxNode): Part => [
  inputs.map((name) => message(1, name)),
  message(2, result),
  message(4, op),
  Object.entries(given.floats ?? {}).map(([name, value]) => attribute(name, 1, single(2, value))),
  Object.entries(given.integers ?? {}).map(([name, value]) => attribute(name, 2, integer(3, value))),
  Object.entries(given.lists ?? {}).map(([name, values]) => {
    const items = values.map((value) => integer(8, value));
    return attribute(name, 7, items);
  }),
  message(7, domain),
];

/** The bytes of a model. */
export function onnxModel({ nodes, inputs, output }: OnnxModel): Uint8Array {
  const graph = [
    nodes.map((node) => message(1, nodeOf(node))),
    message(2, "bench"),
    Object.entries(inputs).map(([name, shape]) => message(11, tensor(name, shape))),
    message(12, tensor("y", output)),
  ];
  const sets = [["", 17] as const, ["com.microsoft", 1] as const].map(([name, version]) =>
    message(8, [message(1, name), integer(2, version)]),
  );
  return Uint8Array.from(flat([integer(1, 8), message(7, graph), sets]));
}
