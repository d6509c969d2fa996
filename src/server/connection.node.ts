/** A client's socket: requests wait here, are answered one by one and in order, and what cannot be read is answered by an error text. */
import type { WebSocket } from "ws";
import { DeviceLostError, MimicVideoError, UsageError } from "../errors.ts";
import { encodeMessage, type Sent } from "./message.ts";
import type { ServerLimits } from "./limits.ts";
import type { Session } from "./session.ts";
import type { Turns } from "./turns.ts";

/** Bytes that wait, of all connections together. */
export interface Load {
  bytes: number;
}

/** What a connection shares with the others. */
export interface Shared {
  readonly turns: Turns;
  readonly load: Load;
  readonly limits: ServerLimits;
  readonly metadata: Sent;
  /** told a line that a person should read */
  readonly onLine: (line: string) => void;
  /** told an error after which nothing can be answered any more */
  readonly onFatal: (error: Error) => void;
}

interface Waiting {
  /** the request, or why it is none */
  readonly request: Uint8Array | Error;
  readonly since: number;
}

/** Errors of a client that are printed; one that sends nothing else would fill a disk. */
const MOST_PRINTED = 20;

/** How long a client may take to say goodbye, in milliseconds. */
const GOODBYE_MS = 2000;

export class Connection {
  private readonly waiting: Waiting[] = [];
  private readonly leaving = new AbortController();
  private readonly socket: WebSocket;
  private readonly session: Session;
  private readonly shared: Shared;
  private readonly name: string;
  /** Settles when the client is gone, its running request ended and its policy is freed. */
  readonly left: Promise<void>;
  private closing = false;
  private current?: Promise<void>;
  private answers = 0;
  private errors = 0;

  /**
   * Sends the metadata and answers from then on.
   * @param name of the client in lines that a person reads
   */
  constructor(socket: WebSocket, session: Session, name: string, shared: Shared) {
    this.socket = socket;
    this.session = session;
    this.shared = shared;
    this.name = name;
    socket.on("message", (data: Buffer, isBinary) =>
      this.receive(isBinary ? data : new UsageError("A request is a binary message; this one is a text.")),
    );
    // Its close follows.
    socket.on("error", (error) => shared.onLine(`${name}: ${error.message}`));
    this.left = new Promise<void>((resolve) => socket.once("close", resolve)).then(() => this.leave());
    shared.onLine(`${name} connected`);
    void this.send(encodeMessage(shared.metadata));
  }

  /**
   * Takes nothing more, lets what waits be answered, and ends when the client is gone.
   * @param why the client is told
   */
  async close(code: number, why: string): Promise<void> {
    this.closing = true;
    // A client that does not read its answers is not waited for.
    const impatience = setTimeout(() => this.socket.terminate(), GOODBYE_MS);
    while (this.current) await this.current;
    this.socket.resume();
    this.socket.close(code, why);
    await this.left;
    clearTimeout(impatience);
  }

  private receive(request: Uint8Array | Error): void {
    if (this.closing) return;
    const { load, limits } = this.shared;
    const bytes = request instanceof Error ? 0 : request.length;
    if (load.bytes + bytes > limits.waiting)
      request = new MimicVideoError(
        `The server is busy: ${load.bytes} bytes of requests wait, and ${bytes} more would be more than ${limits.waiting}. Ask again.`,
      );
    else load.bytes += bytes;
    this.waiting.push({ request, since: performance.now() });
    // What is already on its way still comes; it is bounded by a read of the socket.
    if (this.waiting.length >= limits.queue) this.socket.pause();
    this.next();
  }

  /** Begins with the request that waits longest, unless one is being answered. */
  private next(): void {
    if (this.current || this.leaving.signal.aborted) return;
    const next = this.waiting.shift();
    if (!next) return;
    if (this.waiting.length < this.shared.limits.queue) this.socket.resume();
    this.current = this.respond(next).finally(() => {
      this.current = undefined;
      this.free(next);
      this.next();
    });
  }

  private free({ request }: Waiting): void {
    if (!(request instanceof Error)) this.shared.load.bytes -= request.length;
  }

  private async respond({ request, since }: Waiting): Promise<void> {
    const { signal } = this.leaving;
    try {
      if (request instanceof Error) throw request;
      const answer = await this.shared.turns.take(async () => {
        signal.throwIfAborted();
        return this.session.answer(request, performance.now() - since, signal);
      });
      await this.send(answer);
      this.session.sent(performance.now() - since);
      this.answers++;
    } catch (error) {
      if (signal.aborted) return;
      this.errors++;
      await this.send(this.words(error));
      if (error instanceof DeviceLostError) this.shared.onFatal(error);
    }
  }

  /** What a client is told; what is no error of its own is for the server's reader. */
  private words(error: unknown): string {
    const own = error instanceof MimicVideoError;
    const words = error instanceof Error ? ((own ? undefined : error.stack) ?? error.message) : String(error);
    if (this.errors <= MOST_PRINTED) this.shared.onLine(`${this.name}: ${words}`);
    if (this.errors === MOST_PRINTED) this.shared.onLine(`${this.name}: further errors are not printed`);
    return own ? error.message : "The server failed at this request; it printed why. Other requests go on.";
  }

  /** Ends when the message is with the system, so that a client that does not read piles nothing up; errors are the socket's. */
  private send(message: Uint8Array | string): Promise<void> {
    return new Promise((resolve) => this.socket.send(message, () => resolve()));
  }

  private async leave(): Promise<void> {
    this.leaving.abort(new Error("the client left"));
    for (const waiting of this.waiting.splice(0)) this.free(waiting);
    await this.current;
    this.session.dispose();
    const counted = (count: number, word: string) => `${count} ${word}${count === 1 ? "" : "s"}`;
    this.shared.onLine(
      `${this.name} left after ${counted(this.answers, "answer")} and ${counted(this.errors, "error")}`,
    );
  }
}
