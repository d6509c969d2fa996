/**
 * Writes a random checkpoint of the published sizes (5.4 GB): `node dist/.bench/bench/random-release.js DIR [SEED] [ROWSxCOLUMNS FUTURE]`, after
 * `npx tsc -p tsconfig.bench.json`. Clips are 64x64 with 4 future frames (9 in all) unless said; the published ones are 480x640 with 56.
 */
import { PUBLISHED } from "./release/layout.ts";
import { writeRandomRelease } from "./release/write.ts";

const [folder, seed = "0", size = "64x64", future = "4"] = process.argv.slice(2) as (string | undefined)[];
const frame = /^(\d{2,4})x(\d{2,4})$/.exec(size);
if (folder === undefined || !/^\d{1,9}$/.test(seed) || !frame || !/^\d{1,3}$/.test(future)) {
  console.error("usage: node dist/.bench/bench/random-release.js DIR [SEED] [ROWSxCOLUMNS FUTURE_FRAMES]");
  process.exitCode = 2;
} else {
  const sizes = {
    ...PUBLISHED,
    frameSize: [Number(frame[1]), Number(frame[2])] as const,
    futureFrames: Number(future),
  };
  const policy = await writeRandomRelease(folder, sizes, Number(seed));
  console.log(
    `${folder} is written. Run it:\n  node dist/probe.js --model ${folder} --policy ${policy} --text ${folder}/text.safetensors ` +
      "--probe-steps 0,1 --dtype bf16",
  );
}
