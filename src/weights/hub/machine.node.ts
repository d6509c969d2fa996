/**
 * Which process a file under construction belongs to. A process id means something only where processes see one another:
 * two containers, or two hosts on one network file system, both have a process 17.
 */
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";

export interface Machine {
  /** 12 hex digits; equal only for processes that see one another by their ids */
  readonly place: string;
  readonly pid: number;
  /** tells this process from an earlier one of the same id; "0" where the system does not say */
  readonly started: string;
  /** whether the process of this place that began at `started` still runs; when in doubt it does */
  runs(pid: number, started: string): Promise<boolean>;
}

let known: Machine | undefined;

/** This process and the ones it sees. */
export function thisMachine(): Machine {
  return (known ??= {
    place: createHash("sha256").update(placeName()).digest("hex").slice(0, 12),
    pid: process.pid,
    started: readStart(process.pid),
    runs,
  });
}

/** On Linux this boot of the kernel and the namespace of process ids; elsewhere the machine. */
function placeName(): string {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return `${boot} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    const addresses = Object.values(networkInterfaces()).flatMap((list) => list?.map(({ mac }) => mac) ?? []);
    return `${hostname()} ${[...new Set(addresses)].sort().join(" ")}`;
  }
}

function readStart(pid: number): string {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "utf8")).started;
  } catch {
    return "0";
  }
}

async function runs(pid: number, started: string): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (text !== undefined) {
    const stat = parseStat(text);
    // A zombie has written its last.
    return stat.started === started && !/^[ZXx]$/.test(stat.state);
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** proc(5): the name stands in parentheses and may hold any character; the state is field 3, the start field 22. */
function parseStat(text: string): { state: string; started: string } {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0], started: fields[19] };
}
