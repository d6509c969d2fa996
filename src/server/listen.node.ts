/**
 * The policy server: openpi's websocket protocol. Metadata first, then a binary answer for each binary message; errors are texts.
 * Requests of all clients take turns on the one GPU.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import { MimicVideoError, UsageError } from "../errors.ts";
import { refusal } from "./admission.node.ts";
import { Connection, type Shared } from "./connection.node.ts";
import { SERVER_LIMITS, type ServerLimits } from "./limits.ts";
import { serverMetadata } from "./metadata.ts";
import { REQUEST_LIMITS } from "./request.ts";
import { Session, type SessionSettings } from "./session.ts";
import { Turns } from "./turns.ts";

export interface ServerSettings extends Omit<SessionSettings, "limits"> {
  /** default 127.0.0.1 */
  readonly host?: string;
  /** default 8000; 0: any that is free */
  readonly port?: number;
  /** clients must send it as `Authorization: Api-Key …`; default: none is asked for */
  readonly apiKey?: string;
  readonly limits?: Partial<ServerLimits>;
  /** told lines that a person should read: clients that come and go, errors */
  readonly onLine?: (line: string) => void;
}

export interface PolicyServer {
  readonly host: string;
  readonly port: number;
  /** settles when the server ended: resolved by `close`, rejected by an error after which nothing can be answered, such as a lost device */
  readonly ended: Promise<void>;
  /** Finishes the running request, refuses those that wait, and says goodbye. */
  close(): Promise<void>;
}

/**
 * Serves a policy until it is closed.
 * @throws UsageError when the address cannot be had
 */
export async function servePolicy(settings: ServerSettings): Promise<PolicyServer> {
  const { host = "127.0.0.1", port = 8000, apiKey, description, onLine = () => {} } = settings;
  const limits: ServerLimits = { ...SERVER_LIMITS, ...settings.limits };
  const turns = new Turns();
  const connections = new Set<Connection>();
  let fail: (error: Error) => void = () => {};
  let finish: () => void = () => {};
  const ended = new Promise<void>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  // Whoever waits for it is told; nobody has to.
  ended.catch(() => {});

  const shared: Shared = {
    turns,
    load: { bytes: 0 },
    limits,
    metadata: serverMetadata(withStop(description, settings.stop), settings.requestHz, limits),
    onLine,
    onFatal: (error) => fail(error),
  };
  const sessionSettings: SessionSettings = {
    ...settings,
    limits: { ...REQUEST_LIMITS, pixels: limits.pixels },
  };

  const http = createServer((request, response) => {
    const health = request.url === "/healthz" && (request.method === "GET" || request.method === "HEAD");
    response.writeHead(health ? 200 : 426, { "content-type": "text/plain", connection: "close" });
    response.end(
      request.method === "HEAD"
        ? undefined
        : health
          ? "OK\n"
          : "This is a policy server: connect by websocket.\n",
    );
  });
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: limits.message,
    perMessageDeflate: false,
    WebSocket: politeSocket(limits.message),
  });
  let closing: Promise<void> | undefined;
  http.on("upgrade", (request, socket, head) => {
    const refused = closing
      ? { status: 503, why: "The server is shutting down." }
      : connections.size >= limits.connections
        ? { status: 503, why: `${connections.size} clients are connected, as many as there may be.` }
        : refusal(request, { apiKey, host });
    const { remoteAddress, remotePort } = request.socket;
    const name = `${remoteAddress}:${remotePort}`;
    if (refused) {
      onLine(`${name} refused: ${refused.why}`);
      return refuse(socket, refused.status, refused.why);
    }
    // Finds peers that are gone without a word.
    request.socket.setKeepAlive(true, 30_000);
    sockets.handleUpgrade(request, socket, head, (client) => {
      const connection = new Connection(client, new Session(sessionSettings), name, shared);
      connections.add(connection);
      void connection.left.then(() => connections.delete(connection));
    });
  });
  await listening(http, host, port);
  // Such as too many open files: those that are connected go on.
  http.on("error", (error) => onLine(error.message));

  const close = async (): Promise<void> => {
    http.close();
    const why = "The server is shutting down.";
    await turns.stop(new MimicVideoError(why));
    await Promise.all([...connections].map((connection) => connection.close(1001, why)));
    http.closeAllConnections();
    finish();
  };
  return {
    host,
    port: (http.address() as AddressInfo).port,
    ended,
    close: () => (closing ??= close()),
  };
}

/** Sockets that say why, where the protocol itself would only give a number: of a message that is too long nothing but its header is read. */
function politeSocket(mostBytes: number): typeof WebSocket {
  return class extends WebSocket {
    override close(code?: number, reason?: string | Buffer): void {
      if (code !== 1009 || reason !== undefined || this.readyState !== WebSocket.OPEN)
        return super.close(code, reason);
      const why = `The message is longer than ${mostBytes} bytes.`;
      this.send(`${why} Send smaller pictures, or start the server with another --max-message.`);
      super.close(code, why);
    }
  };
}

const withStop = (
  description: ServerSettings["description"],
  stop?: number,
): ServerSettings["description"] =>
  stop === undefined ? description : { ...description, stops: { ...description.stops, default: stop } };

const STATUS: Readonly<Record<number, string>> = {
  401: "Unauthorized",
  403: "Forbidden",
  503: "Service Unavailable",
};

function refuse(socket: Duplex, status: number, why: string): void {
  socket.on("error", () => socket.destroy());
  const body = `${why}\n`;
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS[status]}`,
      "Connection: close",
      "Content-Type: text/plain; charset=utf-8",
      `Content-Length: ${Buffer.byteLength(body)}`,
      ...(status === 401 ? ["WWW-Authenticate: Api-Key"] : []),
      "",
      body,
    ].join("\r\n"),
  );
}

function listening(http: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        new UsageError(
          error.code === "EADDRINUSE"
            ? `Port ${port} of ${host} is in use. Name another with --port, or 0 for any that is free.`
            : `Nothing can listen at port ${port} of ${host} (${error.code ?? error.message}). See --host and --port.`,
          { cause: error },
        ),
      ),
    );
    http.listen(port, host, () => resolve());
  });
}
