/**
 * The real client against the built server: 200 queries of test/server/openpi_client_check.py. Runs where MIMIC_VIDEO_PYTHON names a Python
 * that has openpi-client (and typing_extensions, which it imports and does not name).
 */
import { execFile, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const python = process.env.MIMIC_VIDEO_PYTHON ?? "python3";
const atHand =
  existsSync("dist/serve.js") &&
  spawnSync(python, ["-c", "import openpi_client"], { stdio: "ignore" }).status === 0;

test.skipIf(!atHand)("200 queries of openpi-client", async () => {
  const words = ["dist/serve.js", "--port", "0", "--stop", "0", "--adapter", "software"];
  const server = spawn(process.execPath, words, { env: { ...process.env, MIMIC_VIDEO_API_KEY: "secret" } });
  try {
    const port = await new Promise<string>((resolve, reject) => {
      let out = "";
      server.stdout.on("data", (chunk: Buffer) => {
        out += chunk.toString();
        const found = /ws:\/\/[^ ]*:(\d+)/.exec(out);
        if (found) resolve(found[1]);
      });
      server.once("close", () => reject(new Error(`the server ended: ${out}`)));
    });
    const { out, errors } = await new Promise<{ out: string; errors: string }>((resolve) =>
      execFile(
        python,
        [join(import.meta.dirname, "openpi_client_check.py"), port, "secret"],
        (_, out, errors) => resolve({ out, errors }),
      ),
    );
    expect(errors).toBe("");
    expect(JSON.parse(out)).toMatchObject({
      answers: 200,
      errors: 8,
      "same request, same actions": true,
      "wrong key": "server rejected WebSocket connection: HTTP 401",
      "100 MB": expect.stringContaining("longer than 33554432 bytes") as string,
    });
  } finally {
    server.kill();
  }
});
