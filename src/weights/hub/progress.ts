/** One line for a whole download: bytes, rate and time left over all files. */
import { formatBytes } from "../listing.ts";

export interface Progress {
  readonly name: string;
  readonly totalBytes: number;
  readonly totalFiles: number;
  /** bytes in place, those of earlier runs included */
  bytes: number;
  files: number;
}

/** Seconds over which the rate is taken: long enough to be steady, short enough to notice a stall. */
const windowSeconds = 8;

/** Turns a progress into lines; keeps the recent past for the rate. */
export class ProgressLine {
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];

  /** @param now seconds */
  line(progress: Progress, now: number): string {
    const { name, bytes, totalBytes, files, totalFiles } = progress;
    this.#samples.push({ at: now, bytes });
    while (this.#samples.length > 2 && now - this.#samples[1].at > windowSeconds) this.#samples.shift();
    const [first] = this.#samples;
    const rate = now > first.at ? (bytes - first.bytes) / (now - first.at) : 0;
    const percent = totalBytes === 0 ? 100 : Math.floor((100 * bytes) / totalBytes);
    const speed =
      rate > 0
        ? `, ${formatBytes(Math.round(rate))}/s, ${formatSeconds((totalBytes - bytes) / rate)} left`
        : "";
    return `${name}: ${formatBytes(bytes)} of ${formatBytes(totalBytes)} (${percent} %)${speed}, ${files} of ${totalFiles} files`;
  }
}

/** "8 s", "3 min 20 s", "2 h 5 min". */
export function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
