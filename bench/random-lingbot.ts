/**
 * Writes a random LingBot-VA of the published sizes (10.2 GB, and an encoder of 0.6 GB): `node dist/.bench/bench/random-lingbot.js DIR [SEED] [BLOCKS]`,
 * after `npx tsc -p tsconfig.bench.json`. With fewer blocks than 30 it is as wide and as much smaller.
 */
import { writeRandomLingbot } from "./lingbot/write.ts";

const [folder, seed = "0", blocks = "30"] = process.argv.slice(2) as (string | undefined)[];
if (folder === undefined || !/^\d{1,9}$/.test(seed) || !/^[1-9]\d?$/.test(blocks)) {
  console.error("usage: node dist/.bench/bench/random-lingbot.js DIR [SEED] [BLOCKS]");
  process.exitCode = 2;
} else {
  const model = await writeRandomLingbot(folder, { policy: { num_layers: Number(blocks) } }, Number(seed));
  console.log(
    `${folder} is written. Run it:\n  node dist/probe.js --model ${model} --text ${folder}/text.safetensors ` +
      "--video-steps 1 --action-steps 2 --video-seeds 1",
  );
}
