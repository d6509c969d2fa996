/** What the page's own thread does while something goes on, out of the browser's trace. */
import type { Browser, Page } from "playwright-core";

/** One task of the page's thread; nothing else is answered while it lasts. */
export interface Task {
  /** milliseconds since the trace began */
  readonly at: number;
  /** milliseconds by the clock, and of them on a processor: the difference went to other processes */
  readonly wall: number;
  readonly thread: number;
}

/** Tasks with the promises they settle; "toplevel" has tasks without. */
const TASKS = "disabled-by-default-devtools.timeline";

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
  readonly tdur?: number;
}

/** @returns the page's tasks while `body` ran, which may open another document, the longest (by thread time) first */
export async function tasksDuring(browser: Browser, page: Page, body: () => Promise<void>): Promise<Task[]> {
  const session = await browser.newBrowserCDPSession();
  const events: TraceEvent[] = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...(value as unknown as TraceEvent[])));
  await session.send("Tracing.start", {
    transferMode: "ReportEvents",
    traceConfig: { includedCategories: [TASKS, "blink.user_timing"], excludedCategories: ["*"] },
  });
  try {
    await body();
    // Afterwards, as another document may run in another process.
    await page.evaluate(() => performance.mark("the traced page"));
  } finally {
    const complete = new Promise((done) => session.once("Tracing.tracingComplete", done));
    await session.send("Tracing.end");
    await complete;
    await session.detach();
  }
  const mark = events.find(({ name }) => name === "the traced page");
  if (!mark) throw new Error("the trace does not hold the page's mark");
  return events
    .filter(({ name, pid, tid }) => name === "RunTask" && pid === mark.pid && tid === mark.tid)
    .map(({ ts, dur = 0, tdur = 0 }) => ({
      at: (ts - mark.ts) / 1000,
      wall: dur / 1000,
      thread: tdur / 1000,
    }))
    .sort((a, b) => b.thread - a.thread);
}
