import { configDefaults, defineConfig } from "vitest/config";

// `npm test` runs what is done in minutes on two cores; `npm run test:long` (LONG=1) runs `*.long.test.ts`, what takes longer.
const long = process.env.LONG === "1";

// The GPU adapter is reached through process-wide environment variables, so every test file runs in a process
// of its own; two at a time, as the software GPU already uses every core.
export default defineConfig({
  test: {
    include: [long ? "test/**/*.long.test.ts" : "test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...(long ? [] : ["test/**/*.long.test.ts"])],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: long ? 3_600_000 : 120_000,
    hookTimeout: 120_000,
  },
});
