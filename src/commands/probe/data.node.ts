/** `--data`: a folder of the system's own episodes, or a recorded data set with what was chosen of it. */
import { readFile, stat } from "node:fs/promises";
import { FormatError, UsageError } from "../../errors.ts";
import { openLeRobot } from "../../data/lerobot/files.node.ts";
import { isLeRobotFolder, resolveData } from "../../data/lerobot/open.node.ts";
import { Recordings } from "../../data/lerobot/recordings.ts";
import type { ProbeSettings } from "../../probe/experiment/measurement.ts";
import { DEFAULTS } from "../../probe/experiment/settings.ts";
import { looksLocal } from "../../weights/hub/local-path.node.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { openModelFolder } from "../../weights/model-files.node.ts";

/** What a system is bound to. @throws FormatError, UsageError or HubError when it cannot be opened */
export async function openData(
  settings: ProbeSettings,
  own: string,
  onNote?: (line: string) => void,
): Promise<ModelFiles | Recordings> {
  const { dataDir = own, recording = {} } = settings;
  const here = (await stat(dataDir).catch(() => undefined)) !== undefined || (await looksLocal(dataDir));
  if (here && !(await isLeRobotFolder(dataDir))) {
    const option = Object.entries(recording).find(([, value]) => value !== undefined)?.[0];
    if (option !== undefined) {
      throw new UsageError(
        `--${option === "cameras" ? "camera" : option} chooses of a LeRobot data set; ${dataDir} has no meta/info.json. Leave it out.`,
      );
    }
    const expected =
      "with --data a folder that holds episodes.json and episodes.safetensors, or a LeRobot data set";
    return openModelFolder(dataDir, undefined, { expected });
  }
  const set = await openLeRobot(await resolveData(dataDir), { onNote });
  const { embodiment, ...choices } = recording;
  return new Recordings(set, {
    ...choices,
    ...(embodiment !== undefined && { embodiment: await embodimentOf(embodiment) }),
    asked: settings.episodes === "all" ? undefined : (settings.episodes ?? DEFAULTS.episodes),
  });
}

/** A name, or what a mapping file says. */
async function embodimentOf(text: string): Promise<unknown> {
  if (!/[./\\]/.test(text)) return text;
  const json = await readFile(text, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new FormatError(`--embodiment ${text} cannot be read (${error.code ?? error.message}).`);
  });
  try {
    return JSON.parse(json) as unknown;
  } catch (error) {
    throw new FormatError(`--embodiment ${text} is not JSON: ${(error as Error).message}`);
  }
}
