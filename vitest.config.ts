import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // Files share a process and its module graph: a fresh one takes longer than many a file.
    isolate: false,
    // The tests on Deno run at the same time, also in two processes (test/run.ts).
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
