/**
 * Writes a random checkpoint of the published sizes (5.4 GB): `node dist/.bench/bench/random-release.js DIR [SEED]`, after
 * `npx tsc -p tsconfig.bench.json`.
 */
import { PUBLISHED } from "./release/layout.ts";
import { writeRandomRelease } from "./release/write.ts";

const [folder, seed = "0"] = process.argv.slice(2) as (string | undefined)[];
if (folder === undefined || !/^\d{1,9}$/.test(seed)) {
  console.error("usage: node dist/.bench/bench/random-release.js DIR [SEED]");
  process.exitCode = 2;
} else {
  const policy = await writeRandomRelease(folder, PUBLISHED, Number(seed));
  console.log(
    `${folder} is written. Run it:\n  node dist/probe.js --model ${folder} --policy ${policy} --text ${folder}/text.safetensors ` +
      "--probe-steps 0,1 --dtype bf16",
  );
}
