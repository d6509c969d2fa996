import { defineConfig } from "vitest/config";

// The GPU adapter is reached through process-wide environment variables, so every test file runs in a process
// of its own; two at a time, as the software GPU already uses every core.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
