/** `node dist/serve.js`: its options, and a whole run of the built command with the toy. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { runServe } from "../../src/commands/serve.node.ts";
import { Client, picture } from "../server/support.ts";

const run = async (words: string[], environment = {}) => {
  let out = "";
  let errors = "";
  const code = await runServe(words, {
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (errors += text) },
    environment,
    signal: AbortSignal.abort(new Error("interrupted")),
  });
  return { code, out, errors };
};

test("--help", async () => {
  const { code, out } = await run(["--help"]);
  expect(code).toBe(0);
  for (const word of ["--model", "--frozen", "--stop", "--request-hz", "--api-key", "MIMIC_VIDEO_API_KEY"])
    expect(out).toContain(word);
});

describe("what does not fit is refused before weights are read", () => {
  test.each([
    [["--port", "70000"], "ports end at 65535"],
    [["--port", "-1"], "port"],
    [["--stop", "1.5"], "--stop 1.5"],
    [["--request-hz", "0"], "above 0"],
    [["--max-message", "x"], "above 0"],
    [["--max-queue", "0"], "at least 1"],
    [["--api-key", "two words"], "printable ASCII"],
    [["--dtype", "f8"], "f32, bf16 or f16"],
    [["--stopp", "1"], "stopp"],
    [["toy"], "toy"],
    [["--model", "/nowhere"], "no such file or folder"],
    [
      [
        "--model",
        "test/lingbot-mini/libero/lerobot/lingbot_va_libero_long",
        "--frozen",
        "/nowhere",
        "--adapter",
        "software",
      ],
      "/nowhere",
    ],
  ])("%j", async (words, message) => {
    await expect(run(words)).rejects.toThrow(message);
  });

  test("a key of the environment", async () => {
    await expect(run([], { MIMIC_VIDEO_API_KEY: "é" })).rejects.toThrow("printable ASCII");
  });
});

interface Running {
  readonly port: Promise<number>;
  readonly ended: Promise<{ code: number | null; out: string; errors: string }>;
  readonly stop: (signal: NodeJS.Signals) => void;
}

function serve(...words: string[]): Running {
  const child = spawn(process.execPath, ["dist/serve.js", "--port", "0", ...words], {
    env: { ...process.env, MIMIC_VIDEO_API_KEY: "" },
  });
  let out = "";
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const ended = new Promise<{ code: number | null; out: string; errors: string }>((resolve) =>
    child.once("close", (code) => resolve({ code, out, errors })),
  );
  const port = new Promise<number>((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
      const found = /ws:\/\/[^ ]*:(\d+)/.exec(out);
      if (found) resolve(Number(found[1]));
    });
    void ended.then(() => reject(new Error(errors)));
  });
  return { port, ended, stop: (signal) => void child.kill(signal) };
}

describe.skipIf(!existsSync("dist/serve.js"))("the built command", { timeout: 300_000 }, () => {
  const request = {
    "observation/image": picture(32, 32, 50),
    "observation/state": [0, 0, -1],
    prompt: "push the red block left",
  };

  test("serves until it is told to end, and finishes what runs", async () => {
    const { port, ended, stop } = serve("--stop", "0", "--api-key", "k", "--adapter", "software");
    const client = await Client.open(await port, { authorization: "Api-Key k" });
    expect((await client.infer(request)).has("actions")).toBe(true);
    client.send(request);
    await new Promise((resolve) => setTimeout(resolve, 100));
    stop("SIGTERM");
    expect(await client.next()).toBeInstanceOf(Map);
    expect((await client.closed).code).toBe(1001);
    const { code, out, errors } = await ended;
    expect([code, out]).toEqual([0, expect.stringContaining("read after 0 of 50 steps") as string]);
    expect(errors).toContain("say --request-hz");
    expect(errors).toContain("left after 2 answers and 0 errors");
    expect(errors).not.toContain("Warning");
  });

  test("a stop that the policy does not have", async () => {
    const { port, ended } = serve("--stop", "51", "--adapter", "software");
    await expect(port).rejects.toThrow("--stop 51: toy block pushing can be read after 0 to 50 steps.");
    expect((await ended).code).toBe(1);
  });

  test("listening to everybody without a key is warned of", async () => {
    const { port, ended, stop } = serve("--host", "0.0.0.0", "--adapter", "software", "--quiet");
    await port;
    stop("SIGINT");
    const { code, errors } = await ended;
    expect(code).toBe(0);
    expect(errors).toContain("Warning: everybody who can reach 0.0.0.0");
  });
});
