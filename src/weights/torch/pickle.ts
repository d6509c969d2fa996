/**
 * A pickle reader that cannot run anything. Pickle is a program for a stack machine that may call any function
 * by name; here only the opcodes that build containers and scalars exist, and a name is only a name: what to do
 * with one is decided by the caller, who knows a handful (`rebuild.ts`). Every other call leaves a placeholder. Opcode
 * facts: Python's `pickletools`.
 */
import { FormatError } from "../../errors.ts";

/** A function or class that the pickle mentions; inert. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** What a call of an unknown function or class would have made: its name and what it was given. Nothing was called. */
export class PicklePlaceholder {
  /** arguments, state, items: all that may be reached through it */
  readonly parts: unknown[];
  constructor(
    readonly name: string,
    parts: readonly unknown[],
  ) {
    this.parts = [...parts];
  }
}

/** Bytes, as numpy keeps an array's elements. */
export class PickleBytes extends PicklePlaceholder {
  constructor(readonly bytes: Uint8Array) {
    super("bytes", []);
  }
}

/** A tuple; kept apart from lists because only tuples are arguments. */
export class PickleTuple {
  constructor(readonly items: readonly unknown[]) {}
}

/** A dict or OrderedDict. Keys are what the pickle used; equal scalars are equal keys. */
export class PickleDict {
  readonly entries = new Map<unknown, unknown>();
  /** attributes set on it, such as the `_metadata` of a state dict */
  readonly attached: unknown[] = [];
}

export interface PickleHost {
  /** what a name means, or an error that says the name is refused */
  global(module: string, name: string): PickleGlobal;
  /** the object behind a persistent id */
  persistent(id: unknown): unknown;
  /** the result of applying a callable of `global` to arguments */
  reduce(callable: PickleGlobal, args: readonly unknown[]): unknown;
}

const noMark = -1;

/** A checkpoint has about six a tensor. */
const maxContainers = 250_000;

/**
 * Interprets `bytes`.
 * @param where named in messages
 * @param newest protocol that is read; torch.save writes 2, and what only newer ones have is not in its list of opcodes
 * @throws FormatError for an opcode outside the list, a name the host refuses, or a program that is not well formed
 */
export function readPickle(bytes: Uint8Array, host: PickleHost, where: string, newest = 3): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const stack: unknown[] = [];
  const marks: number[] = [];
  const memo = new Map<number, unknown>();
  let [at, containers] = [0, 0];

  const fail: (what: string) => never = (what) => {
    throw new FormatError(
      `${where}: ${what} at byte ${at} of ${bytes.length}; the pickle is damaged or not of torch.save.`,
    );
  };
  const take = (count: number): number => {
    if (at + count > bytes.length) return fail(`${count} bytes are needed beyond the end`);
    at += count;
    return at - count;
  };
  const pop = (): unknown =>
    stack.length > (marks.at(-1) ?? 0) ? stack.pop() : fail("nothing left to take from the stack");
  const top = (): unknown =>
    stack.length > (marks.at(-1) ?? 0) ? stack[stack.length - 1] : fail("an empty stack");
  const popToMark = (): unknown[] => {
    const mark = marks.pop() ?? noMark;
    return mark === noMark ? fail("no mark") : stack.splice(mark);
  };
  const text = (start: number, end: number): string => {
    try {
      return utf8.decode(bytes.subarray(start, end));
    } catch {
      return fail("text that is not UTF-8");
    }
  };
  const line = (): string => {
    const end = bytes.indexOf(10, at);
    if (end < 0) return fail("a name without its end");
    const start = take(end + 1 - at);
    return text(start, end);
  };
  const number = (length: number): number => {
    const start = take(length);
    if (length > 8) return Infinity;
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[start + i]);
    // A value beyond 2^53 can only be a scalar that nobody reads, or a size that is refused.
    return Number(BigInt.asIntN(8 * length, value));
  };
  const recall = (index: number): unknown =>
    memo.has(index) ? memo.get(index) : fail(`memo ${index} was never set`);
  const setItems = (target: unknown, items: unknown[]): void => {
    if (items.length % 2 !== 0) fail("a key without its value");
    if (target instanceof PicklePlaceholder) return void target.parts.push(...items);
    if (!(target instanceof PickleDict)) return fail("items for something that is not a dict");
    for (let i = 0; i < items.length; i += 2) target.entries.set(items[i], items[i + 1]);
  };
  const append = (target: unknown, items: unknown[]): void => {
    const list = target instanceof PicklePlaceholder ? target.parts : target;
    if (!Array.isArray(list)) return fail("items for something that is not a list");
    for (const item of items) list.push(item);
  };
  /** A call, of which only what `host` knows is carried out, and that is ours. */
  const call = (): void => {
    const args = pop();
    const callable = pop();
    if (!(args instanceof PickleTuple)) return fail("a call whose arguments are not a tuple");
    if (callable instanceof PicklePlaceholder)
      return void stack.push(new PicklePlaceholder(callable.name, [callable, ...args.items]));
    if (!(callable instanceof PickleGlobal)) return fail("a call of something that is no function");
    stack.push(host.reduce(callable, args.items));
  };
  const tuple = (count: number): PickleTuple => {
    const items = Array.from({ length: count }, pop);
    return new PickleTuple(items.reverse());
  };

  // One byte makes a dict of some 200, so their number is bounded by more than the length of the pickle.
  const push = (container: unknown): void => {
    if (++containers > maxContainers) fail(`more than ${maxContainers} dicts, lists, tuples and bytes`);
    stack.push(container);
  };

  const bytesOf = (length: number): void => {
    const start = take(length);
    push(new PickleBytes(bytes.subarray(start, start + length)));
  };

  const operations: Record<number, () => unknown> = {
    128: () => {
      const protocol = bytes[take(1)];
      if (protocol > newest)
        fail(`pickle protocol ${protocol} (only 2, the default of torch.save, to ${newest} are read)`);
    },
    40: () => marks.push(stack.length), // MARK
    125: () => push(new PickleDict()), // EMPTY_DICT
    93: () => push([]), // EMPTY_LIST
    41: () => push(new PickleTuple([])), // EMPTY_TUPLE
    133: () => push(tuple(1)), // TUPLE1
    134: () => push(tuple(2)), // TUPLE2
    135: () => push(tuple(3)), // TUPLE3
    116: () => push(new PickleTuple(popToMark())), // TUPLE
    88: () => {
      const length = view.getUint32(take(4), true); // BINUNICODE
      const start = take(length);
      stack.push(text(start, start + length));
    },
    75: () => stack.push(bytes[take(1)]), // BININT1
    77: () => stack.push(view.getUint16(take(2), true)), // BININT2
    74: () => stack.push(view.getInt32(take(4), true)), // BININT
    138: () => stack.push(number(bytes[take(1)])), // LONG1, two's complement
    139: () => stack.push(number(view.getUint32(take(4), true))), // LONG4
    136: () => stack.push(true), // NEWTRUE
    137: () => stack.push(false), // NEWFALSE
    78: () => stack.push(null), // NONE
    71: () => stack.push(view.getFloat64(take(8), false)), // BINFLOAT, the one big-endian value
    99: () => stack.push(host.global(line(), line())), // GLOBAL
    81: () => stack.push(host.persistent(pop())), // BINPERSID
    82: call, // REDUCE
    129: call, // NEWOBJ
    66: () => bytesOf(view.getUint32(take(4), true)), // BINBYTES
    67: () => bytesOf(bytes[take(1)]), // SHORT_BINBYTES
    117: () => {
      const items = popToMark(); // SETITEMS
      setItems(top(), items);
    },
    115: () => {
      const value = pop(); // SETITEM
      const key = pop();
      setItems(top(), [key, value]);
    },
    101: () => {
      const items = popToMark(); // APPENDS
      append(top(), items);
    },
    97: () => {
      const item = pop(); // APPEND
      append(top(), [item]);
    },
    98: () => {
      const state = pop(); // BUILD
      const target = top();
      if (target instanceof PickleDict) target.attached.push(state);
      else if (target instanceof PicklePlaceholder) target.parts.push(state);
      else fail("state for something that has none");
    },
    113: () => memo.set(bytes[take(1)], top()), // BINPUT
    114: () => memo.set(view.getUint32(take(4), true), top()), // LONG_BINPUT
    104: () => stack.push(recall(bytes[take(1)])), // BINGET
    106: () => stack.push(recall(view.getUint32(take(4), true))), // LONG_BINGET
  };

  if (newest >= 4) {
    Object.assign(operations, {
      149: () => take(8), // FRAME
      140: () => {
        const length = bytes[take(1)]; // SHORT_BINUNICODE
        const start = take(length);
        stack.push(text(start, start + length));
      },
      142: () => bytesOf(Number(view.getBigUint64(take(8), true))), // BINBYTES8
      147: () => {
        const name = pop(); // STACK_GLOBAL
        stack.push(host.global(String(pop()), String(name)));
      },
      148: () => memo.set(memo.size, top()), // MEMOIZE
    });
  }

  for (;;) {
    const opcode = bytes[take(1)];
    if (opcode === 46) {
      const result = pop(); // STOP
      return stack.length === 0 && marks.length === 0 && at === bytes.length
        ? result
        : fail("something left after the end");
    }
    const operation = operations[opcode];
    if (operation === undefined)
      fail(`opcode 0x${opcode.toString(16)}, which is not in the list of allowed ones,`);
    operation();
  }
}
