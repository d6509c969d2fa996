/**
 * The recipes of docs/cluster.md, dry: the body of the Slurm array with its variables set, on the toy, one part killed and started again as a
 * requeue does; the Kubernetes manifest against the fields of batch/v1 that it uses, and its script.
 */
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const recipes = readFileSync(join(root, "docs/cluster.md"), "utf8");
const block = (language: string): string => {
  const found = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(recipes);
  if (!found) throw new Error(`docs/cluster.md has no ${language} block`);
  return found[1];
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cluster-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  code: number;
  out: string;
  err: string;
}

function sh(shell: string, words: string[], env: Record<string, string>): Promise<Ran> {
  const all = { ...process.env, ...env };
  return new Promise((done) =>
    execFile(shell, words, { cwd: root, env: all }, (error, out, err) =>
      done({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
    ),
  );
}

const FEW =
  "--video-steps 2 --probe-steps 1,2 --action-steps 2 --video-seeds 1 --episodes 3 --adapter software --quiet";

it(
  "the Slurm array: parts, one of them killed, are the run that was not split",
  { timeout: 300_000 },
  async () => {
    const script = join(folder, "probe.sbatch");
    writeFileSync(script, block("sh"));
    const out = join(folder, "cluster");
    const env = (task: number) => ({
      ...{ SLURM_ARRAY_TASK_ID: String(task), SLURM_ARRAY_TASK_COUNT: "2", OUT: out },
      ...{ PROBE: `${process.execPath} ${join(root, "dist/probe.js")}`, SETTINGS: FEW },
    });
    // Episodes 1 and 2 are the second part; 1 is saved before 2.
    const killed = spawn("bash", [script], { cwd: root, env: { ...process.env, ...env(1) } });
    const ended = new Promise((done) => killed.on("close", done));
    const saved = join(out, "part-1/units/episode-000001.safetensors");
    while (!existsSync(saved) && killed.exitCode === null) await new Promise((done) => setTimeout(done, 10));
    killed.kill("SIGKILL");
    await ended;
    expect(existsSync(saved)).toBe(true);
    for (const task of [0, 1, 1]) {
      const { code, err } = await sh("bash", [script], env(task));
      expect(code, err).toBe(0);
    }
    const probe = (...words: string[]) => sh(process.execPath, [join(root, "dist/probe.js"), ...words], {});
    const [parts, merged] = [[0, 1].map((i) => join(out, `part-${i}`)), join(out, "whole")];
    expect((await probe("merge", ...parts, "--out", merged, "--quiet")).err).toBe("");
    const once = join(folder, "once");
    expect((await probe(...FEW.split(" "), "--out", once)).err).toBe("");
    for (const name of ["probe.json", "actions.safetensors", "action_convergence.png"])
      expect(readFileSync(join(merged, name)).equals(readFileSync(join(once, name))), name).toBe(true);
  },
);

interface Job {
  spec: {
    completions: number;
    template: {
      spec: { containers: { env: { name: string; value: string }[]; command: string[] }[] };
    };
  };
}

const text = { type: "string" };
const count = { type: "integer", minimum: 1 };
/** All that is named must be there, and nothing else. */
const exactly = (properties: Record<string, object>) => ({
  ...{ type: "object", properties, required: Object.keys(properties), additionalProperties: false },
});
const named = (properties: Record<string, object>) => ({
  ...{ type: "array", minItems: 1, items: exactly({ name: text, ...properties }) },
});

/** The fields of batch/v1 that the manifest uses, as its reference gives them. */
const JOB = exactly({
  apiVersion: { const: "batch/v1" },
  kind: { const: "Job" },
  metadata: exactly({ name: { type: "string", pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", maxLength: 63 } }),
  spec: exactly({
    completionMode: { enum: ["NonIndexed", "Indexed"] },
    ...{ completions: count, parallelism: count, backoffLimit: count },
    template: exactly({
      spec: exactly({
        // A Job's pods may not be restarted always.
        restartPolicy: { enum: ["OnFailure", "Never"] },
        containers: named({
          ...{ image: text, workingDir: text, command: { type: "array", items: text } },
          env: named({ value: text }),
          resources: exactly({ limits: { type: "object" } }),
          volumeMounts: named({ mountPath: text }),
        }),
        volumes: named({ persistentVolumeClaim: exactly({ claimName: text }) }),
      }),
    }),
  }),
});

it("the Kubernetes manifest: an Indexed Job whose script measures its part", async () => {
  const yaml = createRequire(import.meta.url)("js-yaml") as { load: (text: string) => unknown };
  const manifest = yaml.load(block("yaml"));
  const validate = new Ajv2020({ allErrors: true }).compile(JOB);
  expect(validate(manifest), JSON.stringify(validate.errors)).toBe(true);
  const { completions, template } = (manifest as Job).spec;
  const [{ env, command }] = template.spec.containers;
  const set = Object.fromEntries(env.map(({ name, value }) => [name, value]));
  expect(set.PARTS).toBe(String(completions));

  const out = join(folder, "results");
  const pod = (index: number) =>
    sh(command[0], command.slice(1), {
      ...set,
      ...{ OUT: out, PROBE: "echo", JOB_COMPLETION_INDEX: String(index) },
    });
  const words = `${set.SETTINGS} --shard 3/8 --out ${out}/part-3`;
  expect(await pod(3)).toMatchObject({ code: 0, out: `${words}\n` });
  mkdirSync(join(out, "part-3/units"), { recursive: true });
  expect((await pod(3)).out).toBe(`${words} --resume\n`);
  writeFileSync(join(out, "part-3/shard.json"), "{}");
  expect(await pod(3)).toMatchObject({ code: 0, out: "" });
});
