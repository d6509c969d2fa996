/**
 * Turns on the one GPU: jobs run one at a time in the order they came. A connection has at most one job here, the rest of its requests
 * wait with the connection, so that this order is a round of all that want something.
 */
export class Turns {
  private readonly waiting: { run: () => Promise<void>; refuse: (reason: Error) => void }[] = [];
  private running?: Promise<void>;
  private stopped?: Error;

  /** The job's result, or what it throws. @throws the reason of `stop` when its turn did not come */
  take<T>(job: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.stopped) return reject(this.stopped);
      this.waiting.push({ run: () => job().then(resolve, reject), refuse: reject });
      this.running ??= this.work();
    });
  }

  /** Refuses what waits and what comes, and ends with the running job. */
  async stop(reason: Error): Promise<void> {
    this.stopped ??= reason;
    for (const { refuse } of this.waiting.splice(0)) refuse(this.stopped);
    await this.running;
  }

  private async work(): Promise<void> {
    for (let next = this.waiting.shift(); next; next = this.waiting.shift()) await next.run();
    this.running = undefined;
  }
}
