/** The video decoder of Node, which has none of its own: an optional peer, loaded when the first video is opened. */
import { UsageError } from "../../errors.ts";

let loaded: Promise<void> | undefined;

/** @throws UsageError saying what to install, when it is not there */
export function loadNodeDecoder(): Promise<void> {
  loaded ??= load();
  // What is missing may be installed while this process runs.
  loaded.catch(() => (loaded = undefined));
  return loaded;
}

async function load(): Promise<void> {
  const server = await import("@mediabunny/server").catch((error: Error) => {
    throw new UsageError(
      "Node has no video decoder of its own. Install one for this project: npm install @mediabunny/server node-av " +
        `(${error.message.split("\n")[0]}). Data sets whose pictures lie in their tables need none.`,
      { cause: error },
    );
  });
  // Or it tries CUDA, VAAPI and Vulkan, and prints what it found.
  server.registerMediabunnyServer({ hardwareContext: null });
}
