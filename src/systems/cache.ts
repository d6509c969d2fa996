/** Small results that are dear to compute, kept between runs by whoever runs a system; a browser may bring its own. */
export interface Cache {
  /** names of what lies in a folder, which may not exist */
  list(folder: string): Promise<readonly string[]>;
  /** undefined where there is nothing, or it cannot be read */
  read(path: string): Promise<Uint8Array | undefined>;
  /** All of it or nothing; what cannot be written is computed again next time. */
  write(path: string, bytes: Uint8Array): Promise<void>;
}

/** Keeps nothing. */
export const noCache: Cache = {
  list: () => Promise.resolve([]),
  read: () => Promise.resolve(undefined),
  write: () => Promise.resolve(),
};
