/**
 * Progress on stderr: one line that is redrawn, with rate and time left, on a terminal; elsewhere a plain line when a
 * phase begins, at most every ten seconds while it lasts, and when it is done.
 */
import { formatBytes } from "../../weights/listing.ts";
import type { ProbeProgress } from "../../probe/experiment/measurement.ts";

/** What is written to; `process.stderr` fits. */
export interface ProgressStream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** Seconds between two redraws on a terminal, and between two plain lines elsewhere. */
const INTERVAL = { terminal: 0.1, plain: 10 };

/** Draws what `onProgress` of a run reports. */
export interface ProgressBar {
  report: (progress: ProbeProgress) => void;
  /** Leaves the cursor on an empty line; call before anything else is printed. */
  finish: () => void;
}

/**
 * @param quiet draw nothing.
 * @param now seconds of a clock; injectable for tests.
 */
export function progressBar(
  stream: ProgressStream,
  quiet = false,
  now: () => number = () => performance.now() / 1000,
): ProgressBar {
  const interval = stream.isTTY ? INTERVAL.terminal : INTERVAL.plain;
  let phase: string | undefined;
  // A phase may begin with units that were stored before; rate counts from its first report.
  let start = { time: 0, done: 0 };
  let drawnAt = Number.NEGATIVE_INFINITY;
  let lineOpen = false;

  const closeLine = () => {
    if (lineOpen) stream.write("\n");
    lineOpen = false;
  };

  return {
    report(progress) {
      if (quiet) return;
      const time = now();
      const begins = progress.phase !== phase;
      if (begins) {
        closeLine();
        phase = progress.phase;
        start = { time, done: progress.done };
      }
      const ends = progress.done >= progress.total;
      if (!begins && !ends && time - drawnAt < interval) return;
      drawnAt = time;
      const text = progressLine(progress, time - start.time, progress.done - start.done);
      if (stream.isTTY) {
        const width = (stream.columns ?? 80) - 1;
        stream.write(`\r\x1b[2K${withBar(text, progress.done / progress.total, width)}`);
        lineOpen = true;
        if (ends) closeLine();
      } else stream.write(`${text}\n`);
    },
    finish: closeLine,
  };
}

/**
 * Such as "video steps: 120 of 400 steps, 8.2 steps/s, 34 s left".
 *
 * @param seconds since the phase began; @param made units since then.
 */
export function progressLine(
  { phase, done, total, unit }: ProbeProgress,
  seconds: number,
  made: number,
): string {
  const bytes = unit === "bytes";
  const head = bytes
    ? `${phase}: ${formatBytes(done)} of ${formatBytes(total)}`
    : `${phase}: ${done} of ${total} ${unit}`;
  if (done >= total) return `${head}, ${duration(seconds)}`;
  if (made <= 0 || seconds <= 0) return head;
  const rate = made / seconds;
  const shown = bytes
    ? `${formatBytes(Math.round(rate))}/s`
    : rate >= 1 || rate === 0
      ? `${rate.toPrecision(2)} ${unit}/s`
      : `${(1 / rate).toPrecision(2)} s each`;
  return `${head}, ${shown}, ${duration((total - done) / rate)} left`;
}

/** Seconds as "0.4 s", "34 s", "3 min 20 s" or "2 h 5 min". */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 100) return `${whole} s`;
  if (whole < 5400) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function withBar(text: string, fraction: number, width: number): string {
  const room = Math.min(30, width - text.length - 1);
  if (room < 8) return text.slice(0, width);
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * room);
  return `${"█".repeat(filled)}${"░".repeat(room - filled)} ${text}`;
}
