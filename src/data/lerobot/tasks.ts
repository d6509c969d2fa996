/** The sentences: `meta/tasks.jsonl` (2.x) or `meta/tasks.parquet` (3.0), by their number. */
import { FormatError } from "../../errors.ts";
import { type DataFiles, readText } from "./files.ts";
import { parseJsonLines } from "./json.ts";
import { Table } from "./table.ts";

/** @throws FormatError naming the file, the column or line */
export async function readTasks(files: DataFiles, major: 2 | 3): Promise<ReadonlyMap<number, string>> {
  return major === 2 ? linesOf(files) : tableOf(files);
}

async function linesOf(files: DataFiles): Promise<Map<number, string>> {
  const path = "meta/tasks.jsonl";
  const where = `${files.name}/${path}`;
  const rows = parseJsonLines(await readText(files, path), where);
  return new Map(
    rows.map(({ task_index: index, task }, i) => {
      if (Number.isSafeInteger(index) && typeof task === "string") return [index as number, task] as const;
      throw new FormatError(`${where}, line ${i + 1}, has no task_index and task.`);
    }),
  );
}

/** The sentence stands in a column `task`, or in one that pandas calls `__index_level_0__`: in the one that is not the number. */
async function tableOf(files: DataFiles): Promise<Map<number, string>> {
  const table = await Table.open(await files.bytes("meta/tasks.parquet"));
  try {
    const others = table.columns.filter((name) => name !== "task_index");
    const column = ["task", "__index_level_0__"].find((name) => others.includes(name)) ?? others[0];
    if (!table.columns.includes("task_index") || column === undefined) {
      throw new FormatError(
        `${table.name} has the columns ${table.columns.join(", ") || "none"}; expected task_index and the sentence.`,
      );
    }
    const [numbers, sentences] = await Promise.all([table.numbers("task_index"), table.column(column)]);
    return new Map([...numbers].map((index, i) => [index, textOf(sentences[i])]));
  } finally {
    await table.close();
  }
}

/** A text, which is bytes where the writer did not mark it as one. */
export function textOf(value: unknown): string {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : String(value);
}
