/** What a server takes at most, from all that may reach it. */
export interface ServerLimits {
  /** bytes of a message; a longer one is refused by its header, before it is received */
  readonly message: number;
  /** rows times columns of a picture */
  readonly pixels: number;
  /** requests of a connection that wait; then its socket is not read until there is room */
  readonly queue: number;
  /** bytes of all requests that wait; those that come then are answered with an error */
  readonly waiting: number;
  readonly connections: number;
}

export const SERVER_LIMITS: ServerLimits = {
  message: 32 * 2 ** 20,
  pixels: 2 ** 22,
  queue: 4,
  waiting: 256 * 2 ** 20,
  connections: 64,
};
